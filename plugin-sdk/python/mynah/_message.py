"""What a follower sent."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from typing import Any

BEIJING = timezone(timedelta(hours=8), "Asia/Shanghai")


@dataclasses.dataclass(frozen=True)
class Message:
    """What one follower sent to one account."""

    bot: str
    """The bot's name in bots.toml."""
    account: str
    """The account's original id (ToUserName)."""
    sender: str
    """The follower's OpenID (FromUserName)."""
    id: str
    """MsgId, as text; empty where WeChat gives none."""
    created: int
    """CreateTime, in seconds since 1970."""
    kind: str
    """MsgType in lower case: "text", "image", "voice", "video", "shortvideo", "location", "link", "event", …"""
    text: str
    """What was typed, or heard in a voice message, without white space around it; empty where there is none."""
    captures: dict[str, str]
    """What the rule captured: "rest" after a prefix, a regex's groups by name and number, "scene" of a QR code."""
    fields: dict[str, str]
    """Everything else, under WeChat's own names: "PicUrl", "MediaId", "Label", "Event", "EventKey", …"""

    def capture(self, name: str, default: str = "") -> str:
        """What the rule captured under this name."""
        return self.captures.get(name, default)

    def field(self, name: str, default: str = "") -> str:
        """A field by WeChat's own name for it; names of nested ones are joined with dots."""
        return self.fields.get(name, default)

    @property
    def time(self) -> datetime:
        """When it was sent, in China's time zone."""
        return datetime.fromtimestamp(self.created, BEIJING)

    @property
    def event(self) -> str:
        """The event's name in lower case, such as "subscribe"; empty for what is no event."""
        return self.field("Event").lower() if self.kind == "event" else ""


def from_host(message: Any) -> Message:
    """The message of the generated code."""
    return Message(
        bot=message.bot,
        account=message.account,
        sender=message.sender,
        id=message.id,
        created=message.created,
        kind=message.kind,
        text=(message.text or "").strip(),
        captures={capture.name: capture.value for capture in message.captures},
        fields={field.name: field.value for field in message.fields},
    )
