"""Who watches an import: sockets, each tagged with who opened it, and what they are told."""

import json
from typing import Any

from durable.contract import ObjectContext
from worker.profiles.report import COMMITTING, RUNNING

# The tag of those who may watch every import.
AUDITOR = "auditor"

_SHOWN = ("import_id", "state", "bytes_read", "lines_total", "lines_valid", "lines_invalid")


class Audience:
    """The progress sockets of one room. They may be there before the import begins."""

    def __init__(self, ctx: ObjectContext) -> None:
        self._ctx = ctx

    @property
    def is_empty(self) -> bool:
        """Whether nobody watches."""
        return not self._ctx.get_web_sockets()

    def admit(self, socket: Any, tag: str, made: dict[str, Any] | None) -> None:
        """Take over *socket* and tell how things stand: the report *made*, or that nothing came."""
        self._ctx.accept_web_socket(socket, [tag])
        if made is None:
            socket.send(json.dumps({"event": "waiting", "import_id": self._ctx.id.name}))
        elif made["state"] in (RUNNING, COMMITTING):
            socket.send(json.dumps({"event": "progress", **_shown(made)}))
        else:
            socket.send(_ending(made))
            socket.close(1000, made["state"])

    def begin(self, owner: str) -> None:
        """The import is *owner*'s: whoever else waits here under its id is sent away."""
        for socket in self._ctx.get_web_sockets():
            if not {owner, AUDITOR}.intersection(self._ctx.get_tags(socket)):
                socket.close(1008, "This import is somebody else's.")

    def tell(self, made: dict[str, Any]) -> None:
        """Tell how far the import is."""
        self._send(json.dumps({"event": "progress", **_shown(made)}))

    def end(self, made: dict[str, Any]) -> None:
        """Tell the final report and close."""
        self._send(_ending(made))
        self.leave(made["state"])

    def leave(self, reason: str) -> None:
        """Close every socket."""
        for socket in self._ctx.get_web_sockets():
            socket.close(1000, reason)

    def _send(self, text: str) -> None:
        for socket in self._ctx.get_web_sockets():
            if socket.ready_state == 1:  # not one that came late, has its report, and is closing
                socket.send(text)


def _shown(made: dict[str, Any]) -> dict[str, Any]:
    return {name: made[name] for name in (*_SHOWN, "profiles_stored")}


def _ending(made: dict[str, Any]) -> str:
    return json.dumps({"event": "report", **_shown(made), "status": made.get("status")})
