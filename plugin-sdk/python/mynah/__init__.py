"""Write a reply plugin for the Mynah chatbot host in Python.

    from mynah import Message, plugin

    @plugin
    def handle(message: Message) -> str:
        return f"你说的是：{message.text}"

Every message meets a fresh copy of the program, as it was after its imports when it was built: a global is new each time, and
what is to last belongs in `store` or in a conversation.
"""

from . import config, conversation, http, reply, store, wechat
from ._ask import ask, once
from ._message import Message
from ._plugin import plugin
from .errors import Error
from .reply import Article, Reply

__all__ = [
    "Article",
    "Error",
    "Message",
    "Reply",
    "ask",
    "config",
    "conversation",
    "http",
    "once",
    "plugin",
    "reply",
    "store",
    "wechat",
]
