"""
The pipeline: request id, route, rate limit, who is calling, handler, error mapping, CORS, log.

`handle` never raises: whatever happens becomes a response with a request id.
"""

from collections.abc import Iterable, Mapping

from worker.env import Env
from worker.errors import (
    InternalError,
    MethodNotAllowed,
    NotFound,
    Problem,
)
from worker.identity import cookies
from worker.identity.caller import identify
from worker.limiter.counting import address_key, network_key, refused, spared
from worker.limits import GENERAL, OF_NETWORK, RateLimit
from worker.log import FinishedRequest, client_ids
from worker.passing import passes
from worker.quotas import require_room, store_failed
from worker.registry import AT_START, SCHEDULES, Job
from worker.route_table import Resource, Route, RouteTable
from worker.routes import ROUTES
from worker.web import Request, Response, refusal
from worker.wire import cors


class Worker:
    """The application: its doors and jobs, the product's unless others are handed in."""

    def __init__(
        self,
        routes: Iterable[Route] = ROUTES,
        schedules: Mapping[str, Job] = SCHEDULES,
        at_start: Iterable[Job] = AT_START,
    ) -> None:
        self.table = RouteTable(routes)
        self.schedules = schedules
        self.at_start = tuple(at_start)

    async def handle(self, request: Request, env: Env) -> Response:
        """Answer *request*."""
        started = env.tools.now()
        request_id = request.request_id = env.request_id()
        request.attributes.update(client_ids(request.headers))
        resource, request.params = self.table.match(request.path) or (None, {})
        try:
            response = await _respond(request, resource, env)
        except Exception as error:
            response = refusal(_problem_of(error, env, request_id), request_id)
        response.headers["X-Request-Id"] = request_id
        cookies.fit(request, response, env)
        cors.mark(request, response, resource, env)
        env.log.request(
            FinishedRequest(
                method=request.method,
                route=resource.path if resource is not None else "(none)",
                status=response.status,
                started=started,
                ended=env.tools.now(),
                request_id=request_id,
                attributes=request.attributes,
            )
        )
        return response

    async def begin(self, env: Env) -> None:
        """Do what a host does before it serves; a failure is logged and does not stop the start."""
        for job in self.at_start:
            try:
                await job(env)
            except Exception as error:
                env.log.error("start_job_failed", error)

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


async def _respond(request: Request, resource: Resource | None, env: Env) -> Response:
    remote = request.remote
    address = "" if spared(env.settings, remote) else address_key(remote)
    if address:
        await _take_address(env, GENERAL, remote)
    if resource is None:
        raise NotFound("There is nothing at this path.")
    if request.method == "OPTIONS":
        return cors.options(request, resource, env)
    route = _route(request.method, resource, env)
    limit = route.limit if address else None
    if limit is not None and limit.by == "address":
        await _take_address(env, limit, remote)
    caller = await identify(request, route.who, env)
    if not caller.known:
        if limit is not None and limit.by == "account":
            await _take(env, limit, address)
        return await route.handler(request, caller, env)
    request.attributes["actor_uid"] = caller.uid(env)
    if caller.session_id:
        request.attributes["session_id"] = caller.session_id
    if limit is not None and limit.by == "account":
        await _take(env, limit, caller.subject)
    response = await route.handler(request, caller, env)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _route(method: str, resource: Resource, env: Env) -> Route:
    """Return the door of *method*; raises `MethodNotAllowed`, `StorageFull`."""
    route = resource.methods.get("GET" if method == "HEAD" else method)
    if route is None:
        raise MethodNotAllowed(headers={"Allow": resource.allow})
    if route.stores:
        require_room(env)
    return route


async def _take_address(env: Env, row: RateLimit, remote: str) -> None:
    """Count for an address, and for the network of IPv6 that one customer may have."""
    await _take(env, row, address_key(remote))
    network, wider = network_key(remote), OF_NETWORK.get(row.name)
    if network and wider is not None:
        await _take(env, wider, network)


async def _take(env: Env, row: RateLimit, key: str) -> None:
    wait = await env.limiter.take(row, key)
    if wait > 0:
        raise refused(wait, row)


def _problem_of(error: Exception, env: Env, request_id: str) -> Problem:
    """Return what a caller may know of *error*; the log gets what nobody expected."""
    if isinstance(error, Problem):
        return error
    if passes(error):
        # Bindings write these texts; they quote nobody.
        env.log.error(
            "store_unavailable",
            error,
            request_id=request_id,
            reason=getattr(error, "text", str(error)),
        )
        return store_failed(env, "Try again soon.")
    env.log.error("unexpected", error, request_id=request_id)
    return InternalError()
