"""What the host answers when it will not do something."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from componentize_py_types import Err


class Error(Exception):
    """The host's refusal, with a code to branch on: "not-granted", "too-large", "quota", "unavailable", "timeout", …"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Turns what the generated code raises into `Error`."""
    try:
        yield
    except Err as error:
        raise Error(error.value.code, error.value.message) from None
