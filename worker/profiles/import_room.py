"""
ImportRoom: the actor in which one import happens; its name is the import id.

It keeps order, counts, live progress and the report. What it holds in storage lets it tell the
truth after a crash: a run that is in storage and not in memory was interrupted; a staged import
whose commit had begun is carried to its end.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from d1_schema.contract import D1Error
from durable.contract import AlarmInfo, DurableObject, ObjectContext
from kv.contract import KVError
from worker.env import Env
from worker.errors import InternalError, Problem, StorageUnavailable, UpgradeRequired
from worker.profiles import report as reports
from worker.profiles.errors import ImportIdTaken
from worker.profiles.import_run import ImportRun
from worker.profiles.key_claim import claim_key, give_back, keep_answer
from worker.profiles.report import Plan, Tally
from worker.profiles.store import Row, Seen, Staging, keep_report, open_store
from worker.web import Request, Response, refusal

# How often the room looks after itself, and how long it stays after the end, in milliseconds.
_WATCH_MS = 5_000
_STAY_MS = 3_600_000
# Progress goes out at most this often, in milliseconds.
_PROGRESS_MS = 200


class ImportRoom(DurableObject):
    """One import. `fetch` takes the import itself (/import) and progress sockets (/progress)."""

    env: Env

    def __init__(self, ctx: ObjectContext, env: Env) -> None:
        super().__init__(ctx, env)
        self._run: ImportRun | None = None
        self._started_ms = 0
        self._told_ms = 0

    async def fetch(self, request: Request) -> Response:
        """Run the import of a forwarded request, or accept a progress socket."""
        if request.path == "/progress":
            return await self._watch(request)
        request_id = request.query["request_id"]
        try:
            return await self._import(request, request_id)
        except Problem as problem:
            return refusal(problem, request_id)

    async def is_running(self) -> bool:
        """Whether the import is under way, or will be carried on by the room itself."""
        return self._run is not None or await self._state() == reports.COMMITTING

    async def report(self) -> dict[str, Any] | None:
        """Return the report as of now; None when this room never saw an import."""
        kept: dict[str, Any] | None = await self.ctx.storage.get("report")
        if kept is not None:
            return kept
        state = await self._state()
        if state is None:
            return None
        if self._run is not None:
            return self._make_report(self._run.plan, self._run.tally, state)
        if state == reports.RUNNING:
            return await self._conclude_interrupted()
        plan, tally = await self._recall()
        return self._make_report(plan, tally, state)

    async def erase(self) -> None:
        """Remove everything; an import under way is broken off: the account goes."""
        await self.ctx.storage.delete_all()
        for socket in self.ctx.get_web_sockets():
            socket.close(1000, reports.INTERRUPTED)
        if self._run is not None:
            await self.ctx.storage.sync()
            self.ctx.abort("The account was deleted.")

    async def alarm(self, info: AlarmInfo) -> None:
        """Look after the room: finish what a crash left, and leave when the time is over."""
        state = await self._state()
        if self._run is not None:
            await self.ctx.storage.set_alarm(self.env.now_ms() + _WATCH_MS)
        elif state == reports.COMMITTING:
            await self._resume_commit()
        elif state == reports.RUNNING:
            await self._conclude_interrupted()
        elif (made := await self.ctx.storage.get("report")) and not await self._is_kept():
            await self._keep(made)
        else:
            await self.ctx.storage.delete_all()

    # The import

    async def _import(self, request: Request, request_id: str) -> Response:
        plan = Plan(**json.loads(request.query["plan"]))
        if self._run is not None or await self._state() is not None:
            raise ImportIdTaken("Choose another import id.")
        self._run = run = ImportRun(self.env, plan, self._sink_for(plan), self._tick)
        try:
            replay = await claim_key(self.env, plan, request)
            return replay or await self._perform(run, request, request_id)
        finally:
            self._run = None

    async def _perform(self, run: ImportRun, request: Request, request_id: str) -> Response:
        self._started_ms = self.env.now_ms()
        storage = self.ctx.storage
        await storage.put(
            {"plan": asdict(run.plan), "state": reports.RUNNING, "started_ms": self._started_ms}
        )
        await storage.set_alarm(self._started_ms + _WATCH_MS)
        Staging(storage).create()
        Seen(storage).create()
        try:
            await run.consume(request.stream())
        except (KVError, D1Error, OSError) as error:
            self.env.log.error("import_storage_failed", error)
            raise await self._fail(
                run, StorageUnavailable("Storing the profiles failed.")
            ) from None
        except Problem as problem:
            raise await self._fail(run, problem) from None
        except Exception as error:
            self.env.log.error("import_failed", error)
            raise await self._fail(run, InternalError()) from None
        status = reports.status_of(run.plan, run.tally)
        if run.plan.staged and status != 422:
            await self._checkpoint(run.tally, reports.COMMITTING)
            await self._commit_or_leave_it_to_the_alarm(run)
        return await self._finish(run, status, request_id)

    async def _finish(self, run: ImportRun, status: int, request_id: str) -> Response:
        if not run.plan.staged:
            run.tally.profiles_stored = Seen(self.ctx.storage).count()
        state = reports.REFUSED if status == 422 else reports.DONE
        made = self._make_report(run.plan, run.tally, state, status=status)
        await self._conclude(made)
        response = reports.answer(made, request_id)
        await keep_answer(self.env, run.plan, run.digest, response)
        return response

    async def _fail(self, run: ImportRun, problem: Problem) -> Problem:
        """Conclude a request that broke off; the counts say what had been stored by then."""
        run.tally.profiles_stored = 0 if run.plan.staged else Seen(self.ctx.storage).count()
        made = self._make_report(run.plan, run.tally, reports.FAILED, failure=problem.code)
        await self._conclude(made)
        await give_back(self.env, run.plan)
        problem.members = {
            **problem.members,
            "import_id": run.plan.import_id,
            **run.tally.counts(),
        }
        return problem

    # Where rows go

    def _sink_for(self, plan: Plan) -> Callable[[list[Row]], Awaitable[None]]:
        if plan.staged:
            return Staging(self.ctx.storage).add
        store = open_store(self.env)
        seen = Seen(self.ctx.storage)

        async def store_batch(rows: list[Row]) -> None:
            await store.put_many(rows, plan.import_id, self.env.now_ms())
            seen.add(rows)
            if self._run is not None:
                self._run.tally.profiles_stored += len(rows)
                await self._checkpoint(self._run.tally, reports.RUNNING)

        return store_batch

    async def _commit(self, plan: Plan, tally: Tally) -> None:
        """Store what was staged. Repeating a part of it after a crash changes nothing."""
        store = open_store(self.env)
        staging = Staging(self.ctx.storage)
        tally.profiles_stored = 0
        for rows in staging.batches():
            await store.put_many(rows, plan.import_id, self.env.now_ms())
            tally.profiles_stored += len(rows)
            await self._tick()

    async def _commit_or_leave_it_to_the_alarm(self, run: ImportRun) -> None:
        """Once begun, a commit is carried to its end: what was staged stays until it is stored."""
        try:
            await self._commit(run.plan, run.tally)
        except (KVError, D1Error, OSError) as error:
            self.env.log.error("import_commit_failed", error)
            await self.ctx.storage.set_alarm(self.env.now_ms())
            raise StorageUnavailable(
                "Storing failed halfway and is carried on without you; the report tells the end.",
                members={"import_id": run.plan.import_id},
            ) from None

    async def _resume_commit(self) -> None:
        plan, tally = await self._recall()
        await self._commit(plan, tally)
        status = reports.status_of(plan, tally)
        await self._conclude(self._make_report(plan, tally, reports.DONE, status=status))
        await give_back(self.env, plan)

    # What is remembered

    async def _state(self) -> str | None:
        state: str | None = await self.ctx.storage.get("state")
        return state

    async def _checkpoint(self, tally: Tally, state: str) -> None:
        shown = {**asdict(tally), "errors": tally.errors[:1000]}
        await self.ctx.storage.put({"tally": shown, "state": state})

    async def _recall(self) -> tuple[Plan, Tally]:
        plan = Plan(**await self.ctx.storage.get("plan"))
        tally = Tally(**(await self.ctx.storage.get("tally") or {}))
        self._started_ms = await self.ctx.storage.get("started_ms")
        return plan, tally

    async def _conclude_interrupted(self) -> dict[str, Any]:
        plan, tally = await self._recall()
        tally.profiles_stored = 0 if plan.staged else Seen(self.ctx.storage).count()
        made = self._make_report(plan, tally, reports.INTERRUPTED)
        await self._conclude(made)
        return made

    async def _conclude(self, made: dict[str, Any]) -> None:
        """Make *made* the final report: here first (exact), then in KV (kept for weeks)."""
        storage = self.ctx.storage
        Staging(storage).drop()
        Seen(storage).drop()
        await storage.put({"report": made, "state": made["state"]})
        await self._keep(made)
        self._tell({"event": "report", **_progress(made), "status": made.get("status")})
        for socket in self.ctx.get_web_sockets():
            socket.close(1000, made["state"])

    async def _is_kept(self) -> bool:
        return bool(await self.ctx.storage.get("kept"))

    async def _keep(self, made: dict[str, Any]) -> None:
        """Write the report to KV; when that fails, the alarm tries again before the room leaves."""
        try:
            await keep_report(self.env, made)
        except (KVError, OSError) as error:
            self.env.log.error("report_not_kept", error)
            await self.ctx.storage.set_alarm(self.env.now_ms() + _WATCH_MS)
            return
        await self.ctx.storage.put("kept", True)
        await self.ctx.storage.set_alarm(self.env.now_ms() + _STAY_MS)

    def _make_report(self, plan: Plan, tally: Tally, state: str, **members: Any) -> dict[str, Any]:
        now = self.env.now_ms()
        return reports.make_report(plan, tally, state, self._started_ms, now, **members)

    # Live progress

    async def _watch(self, request: Request) -> Response:
        if (request.headers.get("upgrade") or "").lower() != "websocket":
            problem = UpgradeRequired("Progress is told over a WebSocket.")
            return refusal(problem, request.query["request_id"])
        client, server = self.env.tools.socket_pair()
        self.ctx.accept_web_socket(server)
        made = await self.report()
        if made is None:
            server.send(json.dumps({"event": "waiting", "import_id": self.ctx.id.name}))
        elif made["state"] in (reports.RUNNING, reports.COMMITTING):
            server.send(json.dumps({"event": "progress", **_progress(made)}))
        else:
            server.send(
                json.dumps({"event": "report", **_progress(made), "status": made.get("status")})
            )
            server.close(1000, made["state"])
        return Response.websocket(client)

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        """Progress sockets only listen; what they say is ignored."""

    async def _tick(self) -> None:
        now = self.env.now_ms()
        run = self._run
        if run is None or now - self._told_ms < _PROGRESS_MS:
            return
        self._told_ms = now
        if self.ctx.get_web_sockets():
            state = await self._state() or reports.RUNNING
            made = self._make_report(run.plan, run.tally, state)
            self._tell({"event": "progress", **_progress(made)})

    def _tell(self, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        for socket in self.ctx.get_web_sockets():
            if socket.ready_state == 1:  # not one that came late, has its report, and is closing
                socket.send(text)


_SHOWN = ("import_id", "state", "bytes_read", "lines_total", "lines_valid", "lines_invalid")


def _progress(made: dict[str, Any]) -> dict[str, Any]:
    return {name: made[name] for name in (*_SHOWN, "profiles_stored")}
