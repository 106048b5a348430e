"""Durable keys and values of this plugin for this bot.

A message takes effect as a whole: its writes are committed together with its reply, or not at all. Two messages at once never
mix: read, compute and write as if nobody else were there. All followers share the keys; put `message.sender` in a key that
belongs to one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from wit_world.imports import store as _host

from . import _ask
from .errors import raised


def get(key: str) -> bytes | None:
    """The value under `key`."""
    with raised():
        return _host.get(key)


def get_text(key: str, default: str | None = None) -> str | None:
    """The value under `key` as a text."""
    value = get(key)
    return default if value is None else value.decode()


def get_json(key: str, default: Any = None) -> Any:
    """The value under `key`, as `set_json` took it."""
    value = get(key)
    return default if value is None else json.loads(value)


def set(key: str, value: bytes | str) -> None:
    """Puts `value` under `key`."""
    _ask.wrote("store.set")
    with raised():
        _host.set(key, value.encode() if isinstance(value, str) else bytes(value))


def set_json(key: str, value: Any) -> None:
    """Puts anything that JSON can hold under `key`."""
    set(key, json.dumps(value, ensure_ascii=False))


def delete(key: str) -> None:
    """Removes `key` and its value."""
    _ask.wrote("store.delete")
    with raised():
        _host.delete(key)


def keys(prefix: str = "", after: str | None = None, limit: int | None = None) -> Iterator[str]:
    """The keys that begin with `prefix`, in order, those after `after`; read from the host as they are used."""
    while limit is None or limit > 0:
        asked = 256 if limit is None else min(limit, 256)
        with raised():
            page = _host.list(prefix, after, asked)
        yield from page
        if len(page) < asked:
            return
        after = page[-1]
        limit = None if limit is None else limit - len(page)


def add(key: str, delta: int = 1) -> int:
    """Adds to the counter under `key`, which begins at 0, and returns the sum."""
    _ask.wrote("store.add")
    with raised():
        return _host.add(key, delta)
