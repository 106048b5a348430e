"""A dialogue written as if the follower answered at once.

Each answer runs the handler again, from its beginning and with its first message; `ask` then returns what was answered before,
and the question that has no answer yet goes out. What was asked and answered is the conversation's state.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

from . import conversation
from ._message import Message

MARK = "mynah.ask"


class Asked(BaseException):
    """Leaves the handler; the question is its answer. No `except Exception` of a plugin holds it up."""


@dataclasses.dataclass
class _Dialogue:
    """What was said so far, and how far this run has come in it."""

    first: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    journal: list[list[Any]] = dataclasses.field(default_factory=list)
    at: int = 0
    written: str = ""
    pure: int = 0
    asked: bool = False


_dialogue = _Dialogue()


def ask(question: str, seconds: int = 600) -> Message:
    """Sends the follower a question and returns the message that answers it; they have `seconds` for that.

    The handler runs again from its beginning with each answer, so write after the last question, or within `once`. `random` is the
    same in all of these runs.
    """
    known = _next("ask", question)
    if known is not None:
        return Message(**known)
    if _dialogue.written:
        raise RuntimeError(
            f"{_dialogue.written} before ask({question!r}): what comes before a question runs again with each answer; "
            "write after the last question, or within once(…)"
        )
    _dialogue.journal.append(["ask", question, None])
    state = {"is": MARK, "first": _dialogue.first, "seed": _dialogue.seed, "journal": _dialogue.journal}
    conversation.remember(json.dumps(state, ensure_ascii=False), seconds)
    raise Asked(question)


def once(work: Callable[[], Any]) -> Any:
    """Does something once in a dialogue, however many questions follow, and returns what it returned, which JSON must be able to
    hold."""
    name = getattr(work, "__qualname__", "work")
    if _dialogue.at < len(_dialogue.journal):
        known = _next("once", name)
        return known
    _dialogue.pure += 1
    try:
        value = work()
    finally:
        _dialogue.pure -= 1
    _dialogue.journal.append(["once", name, value])
    _dialogue.at += 1
    return value


def wrote(what: str) -> None:
    """Something was changed that a second run would change again."""
    if not _dialogue.pure:
        _dialogue.written = _dialogue.written or what


def _next(kind: str, name: str) -> Any:
    """What the journal says came next. A dialogue that went another way, such as in a newer version of the plugin, goes on from here."""
    if _dialogue.at >= len(_dialogue.journal):
        return None
    known_kind, known_name, value = _dialogue.journal[_dialogue.at]
    if (known_kind, known_name) != (kind, name):
        del _dialogue.journal[_dialogue.at :]
        return None
    _dialogue.at += 1
    return value


def run(handle: Callable[[Message], Any], message: Message) -> Any:
    """Calls the handler with the dialogue's first message, or with this one if there is none."""
    global _dialogue
    # The seed of the time when the plugin was built would be everybody's.
    _dialogue = _Dialogue(dataclasses.asdict(message), random.SystemRandom().getrandbits(64))
    # An event is never an answer: it comes by a rule, whatever dialogue is under way.
    state = None if message.kind == "event" else _recall()
    if state is not None:
        state["journal"][-1][2] = dataclasses.asdict(message)
        _dialogue = _Dialogue(state["first"], state["seed"], state["journal"])
        message = Message(**state["first"])
    random.seed(_dialogue.seed)
    try:
        answer = handle(message)
    except Asked as question:
        return str(question)
    if state is not None:
        conversation.end()
    return answer


def _recall() -> dict[str, Any] | None:
    """The dialogue that is under way; none if the conversation is the plugin's own."""
    try:
        state = json.loads(conversation.recall() or b"null")
    except ValueError:
        return None
    return state if isinstance(state, dict) and state.get("is") == MARK else None
