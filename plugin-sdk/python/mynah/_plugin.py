"""The plugin's handler."""

from __future__ import annotations

from collections.abc import Callable

from ._message import Message
from .reply import Answer

Handler = Callable[[Message], Answer]

handlers: list[Handler] = []


def plugin(handle: Handler) -> Handler:
    """Makes a function the plugin: the host calls it with each message that a rule gives to this plugin."""
    handlers.append(handle)
    return handle
