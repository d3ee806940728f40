"""What goes over a WebSocket: messages and closes, their limits and their checks (facts D6)."""

from dataclasses import dataclass
from typing import Final

from durable.errors import InvalidAccessError, SocketStateError
from durable.values import stored_size

OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3

MAX_ATTACHMENT_BYTES: Final = 16_384
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
MAX_WAITING_MESSAGES: Final = 10_000
MAX_REASON_BYTES: Final = 123
"""Room in a close frame (RFC 6455, 5.5)."""

NO_CODE: Final = 1005
ABNORMAL: Final = 1006
TOO_SLOW: Final = 1013

_NEVER_SENT = frozenset({1004, NO_CODE, ABNORMAL, 1015})


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a socket, as its peer sees it."""

    code: int
    reason: str = ""
    was_clean: bool = True


DROPPED: Final = Closed(
    ABNORMAL, "WebSocket disconnected without sending Close frame.", was_clean=False
)
SLOW: Final = Closed(TOO_SLOW, "The receiver is too slow.", was_clean=False)

Message = str | bytes


def check_close(code: int | None, reason: str) -> None:
    """Refuse what cannot go into a close frame."""
    if code is not None and type(code) is not int:
        raise TypeError(f"A close code must be an int, not {type(code).__name__}.")
    if code is not None and (not 1000 <= code <= 4999 or code in _NEVER_SENT):
        raise InvalidAccessError(f"Invalid WebSocket close code: {code}.")
    if not isinstance(reason, str):
        raise TypeError(f"A close reason must be a str, not {type(reason).__name__}.")
    size = len(reason.encode("utf-8", "replace"))
    if size > MAX_REASON_BYTES:
        raise ValueError(f"A close reason has at most {MAX_REASON_BYTES} bytes, not {size}.")


def check_message(message: object) -> Message:
    """Return *message* as str or bytes. TypeError for anything else."""
    if isinstance(message, (bytearray, memoryview)):
        return bytes(message)
    if not isinstance(message, (str, bytes)):
        raise TypeError(f"A message must be str or bytes, not {type(message).__name__}.")
    return message


def check_attachment(encoded: str | bytes) -> str | bytes:
    """Return *encoded*, an attachment's stored form. SocketStateError when it is too long."""
    size = stored_size(encoded)
    if size > MAX_ATTACHMENT_BYTES:
        raise SocketStateError(
            f"A WebSocket 'attachment' cannot be larger than {MAX_ATTACHMENT_BYTES} bytes."
            f"'attachment' was {size} bytes."
        )
    return encoded


def size_of(item: Message | Closed) -> int:
    """Return what *item* counts for in a queue: bytes, or characters of text."""
    return 0 if isinstance(item, Closed) else len(item)
