"""The plugin's own settings: `config = { … }` of its table in bots.toml."""

from __future__ import annotations

from wit_world.imports import config as _host


def get(key: str, default: str | None = None) -> str | None:
    """A setting; one given as { file } or { env } arrives as its content."""
    value = _host.get(key)
    return default if value is None else value
