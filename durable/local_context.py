"""`ctx`: what the local runtime hands to one instance."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from durable.contract import ObjectContext, check_auto_response
from durable.instance import Instance
from durable.local_storage import LocalStorage

if TYPE_CHECKING:
    from durable.cell import Cell


class LocalContext(ObjectContext):
    """The context of one instance of one object."""

    __slots__ = ("_cell", "_instance", "id", "storage")

    def __init__(self, cell: "Cell", instance: Instance) -> None:
        self._cell = cell
        self._instance = instance
        self.id = cell.id
        self.storage = LocalStorage(instance)

    def block_concurrency_while(self, fn: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        return self._instance.block_concurrency_while(fn)

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        self._instance.keep_alive(self._logged(awaitable))

    async def _logged(self, awaitable: Awaitable[Any]) -> None:
        try:
            await awaitable
        except Exception as error:
            self._cell.log("wait_until failed", {"error": repr(error)})

    def abort(self, reason: str | Exception = "") -> None:
        self._instance.abort(reason)

    def accept_web_socket(self, ws: Any, tags: Iterable[str] = ()) -> None:
        self._cell.hub.accept(ws, tags)

    def get_web_sockets(self, tag: str | None = None) -> list[Any]:
        return list(self._cell.hub.sockets(tag)) if self._cell.socket_count else []

    def get_tags(self, ws: Any) -> list[str]:
        return self._cell.hub.tags(ws)

    def set_web_socket_auto_response(
        self, request: str | None = None, response: str | None = None
    ) -> None:
        pair = None if request is None else check_auto_response(request, response or "")
        self._cell.hub.auto_response = pair

    def get_web_socket_auto_response(self) -> tuple[str, str] | None:
        return self._cell.hub.auto_response

    def get_web_socket_auto_response_timestamp(self, ws: Any) -> int | None:
        stamp: int | None = ws.auto_response_ms
        return stamp
