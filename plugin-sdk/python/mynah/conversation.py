"""A dialogue with one follower that spans messages, in the host's own terms; `mynah.ask` is the friendlier way.

From `remember` on, everything that this follower says comes to this plugin before any rule is looked at, until `end`, until the
time is over, or until the follower says one of the bot's `escape` words. Events never come this way.
"""

from __future__ import annotations

from wit_world.imports import conversation as _host

from .errors import raised


def recall() -> bytes | None:
    """What `remember` stored, while the conversation lasts."""
    with raised():
        return _host.recall()


def remember(state: bytes | str, seconds: int = 600) -> None:
    """Begins the conversation, or goes on with it, for `seconds` from now."""
    with raised():
        _host.remember(state.encode() if isinstance(state, str) else bytes(state), seconds)


def end() -> None:
    """Ends the conversation; without one it does nothing."""
    with raised():
        _host.end()
