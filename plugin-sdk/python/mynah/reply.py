"""Every kind of answer. A handler may return a `str` for a text, an `Article` or a list of them, or None to let the next rule answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Union

from wit_world.imports import types


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer of any kind; made by the functions of this module."""

    _reply: Any


@dataclasses.dataclass(frozen=True)
class Article:
    """One article of `news`; `picture` and `url` are URLs."""

    title: str
    url: str
    description: str | None = None
    picture: str | None = None


Answer = Union[Reply, str, Article, "list[Article]", None]
"""What a handler may return."""


def text(text: str) -> Reply:
    """A text, as a plain `str` is."""
    return Reply(types.Reply_Text(text))


def image(media_id: str) -> Reply:
    """A picture: one that a follower sent, or that `wechat.upload` gave."""
    return Reply(types.Reply_Image(media_id))


def voice(media_id: str) -> Reply:
    """A voice message."""
    return Reply(types.Reply_Voice(media_id))


def video(media_id: str, title: str | None = None, description: str | None = None) -> Reply:
    """A video."""
    return Reply(types.Reply_Video(types.Video(media_id, title, description)))


def music(
    thumb_media_id: str,
    title: str | None = None,
    description: str | None = None,
    url: str | None = None,
    hq_url: str | None = None,
) -> Reply:
    """A piece of music."""
    return Reply(types.Reply_Music(types.Music(title, description, url, hq_url, thumb_media_id)))


def news(*articles: Article) -> Reply:
    """Articles. WeChat shows one in answer to a message, up to eight in answer to an event."""
    return Reply(types.Reply_News([types.Article(a.title, a.description, a.picture, a.url) for a in articles]))


def transfer(agent: str | None = None) -> Reply:
    """Hand over to human customer service: to one agent's account, or to whoever is free."""
    return Reply(types.Reply_Transfer(agent))


def transfer_to_ai() -> Reply:
    """Hand over to the account's own AI answer."""
    return Reply(types.Reply_TransferToAi())


def raw(kind: str, fields: Mapping[str, str]) -> Reply:
    """A reply of a kind that is not listed here: MsgType, and its leaves, named as in `Message.fields`."""
    return Reply(types.Reply_Raw(types.Raw(kind, [types.Field(name, value) for name, value in fields.items()])))


def silence() -> Reply:
    """Acknowledge, say nothing."""
    return Reply(types.Reply_Silence())


def skip() -> Reply:
    """Not mine: the next rule that matches gets the message. None is the same."""
    return Reply(types.Reply_Pass())


def to_host(answer: Answer) -> Any:
    """The reply of the generated code."""
    if answer is None:
        return types.Reply_Pass()
    if isinstance(answer, str):
        return types.Reply_Text(answer)
    if isinstance(answer, Article):
        return news(answer)._reply
    if isinstance(answer, Reply):
        return answer._reply
    if isinstance(answer, list) and answer and all(isinstance(article, Article) for article in answer):
        return news(*answer)._reply
    raise TypeError(f"a plugin cannot answer with {answer!r}: return a str, an Article, a mynah.reply, or None")
