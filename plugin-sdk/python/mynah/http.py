"""HTTP with the hosts that `allow.http` of the plugin's table names."""

from __future__ import annotations

import dataclasses
import json as _json
from collections.abc import Mapping
from typing import Any

from wit_world.imports import http as _host
from wit_world.imports import types as _types

from . import _ask
from .errors import raised


@dataclasses.dataclass(frozen=True)
class Response:
    """What the other side answered, whatever its status."""

    status: int
    headers: dict[str, str]
    """With names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON."""
        return _json.loads(self.body)


def get(url: str, headers: Mapping[str, str] | None = None) -> Response:
    """Sends a GET request."""
    return send("GET", url, headers)


def post(url: str, data: bytes | str = b"", *, json: Any = None, headers: Mapping[str, str] | None = None) -> Response:
    """Sends a POST request with this body, or with `json` as one."""
    headers = dict(headers or {})
    if json is not None:
        data = _json.dumps(json, ensure_ascii=False)
        headers.setdefault("Content-Type", "application/json")
    return send("POST", url, headers, data)


def send(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | str = b"") -> Response:
    """Sends a request of any kind."""
    if method not in ("GET", "HEAD"):
        _ask.wrote(f"http {method}")
    fields = [_types.Field(name, value) for name, value in (headers or {}).items()]
    body = body.encode() if isinstance(body, str) else bytes(body)
    with raised():
        response = _host.send(_host.Request(method, url, fields, body))
    return Response(response.status, {h.name.lower(): h.value for h in response.headers}, bytes(response.body))
