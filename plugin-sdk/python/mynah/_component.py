"""What componentize-py makes a component of: the contract's side of the plugin."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import plugin  # noqa: F401  the author's module, whose decorator registers the handler
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import log

from . import _ask
from ._message import from_host
from ._plugin import handlers
from .reply import to_host


class _HostLog(logging.Handler):
    """Brings the lines of `logging` to the host's log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = (
            log.Level.ERROR
            if record.levelno >= logging.ERROR
            else log.Level.WARN
            if record.levelno >= logging.WARNING
            else log.Level.INFO
            if record.levelno >= logging.INFO
            else log.Level.DEBUG
        )
        log.log(level, self.format(record))


logging.basicConfig(level=logging.INFO, handlers=[_HostLog()], format="%(message)s")

if len(handlers) != 1:
    raise SystemExit(f"plugin.py has {len(handlers)} functions with @plugin; it needs one")


class Handler(exports.Handler):
    """The export."""

    def handle(self, message: Any) -> Any:
        try:
            return to_host(_ask.run(handlers[0], from_host(message)))
        except Exception:
            raise Err(traceback.format_exc().strip()) from None
