"""
The pipeline: request id, match route, who is calling, handler, error mapping, CORS, log.

`handle` never raises: whatever happens becomes a response with a request id.
"""

from collections.abc import Awaitable, Callable, Mapping

from kv.checks import KVUnavailable
from r2.contract import R2Unavailable
from worker.caller import identify
from worker.env import Env
from worker.errors import (
    InternalError,
    MethodNotAllowed,
    NotFound,
    Problem,
    StorageUnavailable,
)
from worker.routes import SCHEDULES, Resource, RouteTable
from worker.web import Request, Response, refusal

_CORS_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-Checksum-Sha256"
_CORS_EXPOSED = "X-Request-Id, Idempotent-Replayed, Retry-After"


class Worker:
    """The application: a route table and a schedule, served from an `Env`."""

    def __init__(
        self,
        table: RouteTable,
        schedules: Mapping[str, Callable[[Env], Awaitable[None]]] = SCHEDULES,
    ) -> None:
        self.table = table
        self.schedules = schedules

    async def handle(
        self, request: Request, env: Env, resource: Resource | None = None
    ) -> Response:
        """
        Answer *request*.

        A host that has matched the path already hands in its *resource* and has set the request's
        params; otherwise the table is asked here.
        """
        started = env.tools.now()
        request_id = request.request_id = env.request_id()
        actor_uid = None
        if resource is None:
            found = self.table.match(request.path)
            if found is not None:
                resource, request.params = found
        try:
            if resource is None:
                raise NotFound("There is nothing at this path.")
            method = request.method
            if method == "OPTIONS":
                response = _options(request, resource, env)
            else:
                route = resource.methods.get("GET" if method == "HEAD" else method)
                if route is None:
                    raise MethodNotAllowed(headers={"Allow": resource.allow})
                caller = await identify(request, route.who, env)
                if caller.known:
                    actor_uid = caller.uid(env)
                response = await route.handler(request, caller, env)
        except Exception as error:
            response = refusal(_problem_of(error, env, request_id), request_id)
        response.headers["X-Request-Id"] = request_id
        if env.settings.cors_origins:
            _allow_origin(request, response, env)
        path = resource.path if resource is not None else "(none)"
        ended = env.tools.now()
        env.log.request(
            request.method, path, response.status, started, ended, request_id, actor_uid
        )
        return response

    async def scheduled(self, cron: str, env: Env) -> bool:
        """Run the job of *cron*; False when there is none or it failed (the log says why)."""
        job = self.schedules.get(cron)
        if job is None:
            env.log.event("warning", "no_such_cron", cron=cron)
            return False
        try:
            await job(env)
        except Exception as error:
            env.log.error("cron_failed", error, cron=cron)
            return False
        env.log.event("info", "cron_done", cron=cron)
        return True


def _problem_of(error: Exception, env: Env, request_id: str) -> Problem:
    """Return what a caller may know of *error*; the log gets what nobody expected."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, KVUnavailable | R2Unavailable):
        # The adapters write these texts; they quote nobody.
        env.log.error("store_unavailable", error, request_id=request_id, reason=error.text)
        return StorageUnavailable("Try again soon.", headers={"Retry-After": "2"})
    env.log.error("unexpected", error, request_id=request_id)
    return InternalError()


def _options(request: Request, resource: Resource, env: Env) -> Response:
    """Answer what the resource allows; a preflight from a listed origin may go ahead."""
    headers = {"Allow": resource.allow}
    if request.headers.get("origin") in env.settings.cors_origins:
        headers["Access-Control-Allow-Methods"] = resource.allow
        headers["Access-Control-Allow-Headers"] = _CORS_HEADERS
        headers["Access-Control-Max-Age"] = "600"
    return Response(None, 204, headers)


def _allow_origin(request: Request, response: Response, env: Env) -> None:
    response.headers["Vary"] = "Origin"
    origin = request.headers.get("origin")
    if origin in env.settings.cors_origins:
        response.headers["Access-Control-Allow-Origin"] = str(origin)
        response.headers["Access-Control-Expose-Headers"] = _CORS_EXPOSED
