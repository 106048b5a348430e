"""The WeChat API of the bot's account, where `allow.wechat` allows it. The host holds the app secret and the access token."""

from __future__ import annotations

import json
from typing import Any

from wit_world.imports import wechat as _host

from . import _ask
from .errors import raised


def call(path: str, body: Any = None) -> Any:
    """POSTs `body` as JSON to a path such as "/cgi-bin/message/custom/send", or GETs it without a body; an errcode is an `Error`."""
    if body is not None:
        _ask.wrote("wechat.call")
    with raised():
        return json.loads(_host.call(path, None if body is None else json.dumps(body, ensure_ascii=False)))


def upload(kind: str, file_name: str, data: bytes) -> str:
    """Uploads temporary media ("image", "voice", "video", "thumb") and returns its media id."""
    _ask.wrote("wechat.upload")
    with raised():
        return _host.upload(kind, file_name, data)


def download(media_id: str) -> bytes:
    """Downloads temporary media."""
    with raised():
        return bytes(_host.download(media_id))
