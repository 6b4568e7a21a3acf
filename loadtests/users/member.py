"""One socket of a crowd, and the few bytes of WebSocket that a crowd speaks."""

import base64
import hashlib
from typing import Any

from .messages import Sequence

KEY = base64.b64encode(b"crowd of laurels").decode()
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode(), usedforsecurity=False).digest())

MESSAGE = b'{"type": "message", "id": '
MARKED = b'"text": "'
TEXT, CLOSE, PONG = 0x81, 0x88, 0x8A

CONNECTING, SECURING, SHAKING, SUBSCRIBING, OPEN, CLOSED = range(6)


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame. Its mask is zero: RFC 6455 wants one to be there, and zero leaves the bytes as they are."""
    size = len(payload)
    head = bytes([opcode, 0x80 | size]) if size < 126 else bytes([opcode, 0xFE]) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class Member:
    """One socket of the crowd."""

    __slots__ = (
        "back_since",
        "cookie",
        "deadline",
        "incoming",
        "outgoing",
        "parts",
        "rest",
        "room",
        "secure",
        "sequence",
        "socket",
        "state",
        "tries",
    )

    def __init__(self, room: str, cookie: str, last: int) -> None:
        self.room = room
        self.cookie = cookie
        self.sequence = Sequence(last)
        self.socket: Any = None
        self.secure: Any = None
        self.incoming: Any = None
        self.outgoing: Any = None
        self.rest = b""  # of a frame that has come in part
        self.parts: list[bytes] = []
        self.state = CLOSED
        self.back_since: float | None = None  # when it was cut, until it has its first message again
        self.deadline = 0.0
        self.tries = 0
