"""
The structured log: one JSON line per request, and rare events.

What must never be written: query strings, bodies, names, e-mail addresses, subjects of tokens, key
material, message payloads. So the request line is made from the route template, not from the path,
and callers appear as `actor_uid`, an HMAC pseudonym (facts/seeds.md 003-39 to 003-45).

Attributes of a request line: `actor_uid` and `session_id` from a credential that held; `device_id`
and `client_session_id` as the client says, which nobody vouches for, and only when they are UUIDs.
Who it says to be (X-DR-Actor) is not believed and not written.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from worker.codec import iso_time
from worker.web import HeaderMap
from worker.wire.sent_headers import sent

_DEVICE = sent("X-Device-Id")
_DR_DEVICE = sent("X-DR-Device")
_DR_SESSION = sent("X-DR-Session")
# DeepRecall's clients send it beside them; who acts is told by the credential.
_DR_ACTOR = sent("X-DR-Actor")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class FinishedRequest(NamedTuple):
    """What a request line tells; *started* and *ended* are epoch seconds."""

    method: str
    route: str
    status: int
    started: float
    ended: float
    request_id: str
    attributes: Mapping[str, str | None]


def client_ids(headers: HeaderMap) -> dict[str, str]:
    """Return the device and the session that a client names, as further members of a log line."""
    device = headers.get(_DR_DEVICE) or headers.get(_DEVICE)
    session = headers.get(_DR_SESSION)
    if device is None and session is None:
        return {}
    named = {"device_id": device, "client_session_id": session}
    return {
        name: value.lower() for name, value in named.items() if value and _UUID.fullmatch(value)
    }


class Log:
    """
    Writes JSON lines to *write*; *labels* are the fixed members app, env and platform.

    *later* may call back soon instead of at once: the lines of many requests are then formatted in
    one go, which costs a third of formatting each between two requests.
    """

    __slots__ = ("_finished", "_labels", "_later", "_now", "_second", "_stamp", "_write")

    def __init__(
        self,
        write: Callable[[str], None],
        now: Callable[[], float],
        labels: Mapping[str, str],
        later: Callable[[Callable[[], None]], object] = lambda call: call(),
    ) -> None:
        self._write = write
        self._now = now
        self._later = later
        self._labels = labels
        self._second = -1
        self._stamp = ""
        self._finished: list[FinishedRequest] = []

    def request(self, finished: FinishedRequest) -> None:
        """Note one finished request."""
        self._finished.append(finished)
        if len(self._finished) == 1:
            self._later(self.flush)

    def flush(self) -> None:
        """Write the lines of the requests that finished since the last time."""
        finished, self._finished = self._finished, []
        if finished:
            self._write("".join(map(self._request_line, finished)))

    def _request_line(self, one: FinishedRequest) -> str:
        method, route, status, started, ended, request_id, attributes = one
        members = {
            "ts": self._time(ended),
            "level": "info",
            "event": "request",
            **self._labels,
            "method": method if method in METHODS else "OTHER",
            "route": route,
            "status": status,
            "ms": round((ended - started) * 1000, 2),
            "request_id": request_id,
            **attributes,
        }
        return _encode(members) + "\n"

    def event(self, level: str, event: str, **members: Any) -> None:
        """Write one event; *members* are for machines and must hold nothing personal."""
        self.flush()  # keeps the lines in order
        head = {"ts": self._time(self._now()), "level": level, "event": event}
        self._write(_encode({**head, **members, **self._labels}) + "\n")

    def error(self, event: str, error: BaseException, **members: Any) -> None:
        """
        Write an unexpected exception: its type and where it happened, never its text.

        The text of an exception may quote the data that caused it.
        """
        frames = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}:{code.co_name}")
            trace = trace.tb_next
        self.event("error", event, exception=type(error).__name__, at=frames[-6:], **members)

    def _time(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = iso_time(second)[:-5]
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"
