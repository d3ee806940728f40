"""A server of the backup doors that fails on demand, for what a real host never does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, web

from clients.python.backup.server import Server

# Faults that a request can meet: "drop" before it is carried out, "lose" after, or a status.
Fault = str | int


@dataclass(slots=True)
class Cloud:
    """One slot. *faults* are met one by one, by requests of the methods they name."""

    url: str = ""
    version: int = 0
    blob: bytes | None = None
    history: list[bytes] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    naps: list[float] = field(default_factory=list)
    session: ClientSession | None = None

    def server(self) -> Server:
        """Return a client of this server that does not really wait."""

        async def nap(seconds: float) -> None:
            self.naps.append(seconds)

        assert self.session is not None
        return Server(self.session, nap)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of `/v1/backup`, or fail as ordered."""
        self.requests.append(request.method)
        self.headers = dict(request.headers)
        fault: Fault = ""
        if self.faults and self.faults[0][0] == request.method:
            fault = self.faults.pop(0)[1]
        if isinstance(fault, int):
            return web.Response(status=fault, headers=self.extra)
        if fault == "drop":
            assert request.transport is not None
            request.transport.close()
        body = await request.read() if fault != "drop" else b""
        answer = self._carry_out(request, body) if fault != "drop" else web.Response()
        if fault == "lose":
            assert request.transport is not None
            request.transport.close()
        return answer

    def _carry_out(self, request: web.Request, body: bytes) -> web.Response:
        tag = {"ETag": f'"{self.version}"'}
        if request.method in ("GET", "HEAD"):
            if self.blob is None:
                return web.json_response({"title": "Not found"}, status=404)
            answer = web.Response(body=self.blob, headers={**tag, **self.extra})
            if self.chunked:
                # Then nobody knows beforehand how much will come.
                answer.enable_chunked_encoding()
            return answer
        known = request.headers.get("If-Match", "").strip('"')
        if known != (str(self.version) if self.blob is not None else ""):
            return web.json_response({"title": "Conflict"}, status=409, headers=tag)
        self.blob = body if request.method == "POST" else None
        if request.method == "DELETE":
            return web.Response(status=204)
        self.version += 1
        self.history.append(body)
        return web.json_response({}, status=201, headers={"ETag": f'"{self.version}"'})


@asynccontextmanager
async def running_cloud() -> AsyncIterator[Cloud]:
    """Run a `Cloud` on a free port."""
    cloud = Cloud()
    app = web.Application(client_max_size=1 << 22)
    app.router.add_route("*", "/v1/backup", cloud.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    cloud.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with ClientSession(cloud.url + "/") as cloud.session:
            yield cloud
    finally:
        await runner.cleanup()
