"""
ImportRoom: the actor in which one import happens; its name is the import id.

It keeps order, counts, live progress and the report. What it holds in storage lets it tell the
truth after a crash: a run that is in storage and not in memory was interrupted; a staged import
whose commit had begun is carried to its end. When everything is delivered, it empties itself.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from d1_schema.contract import D1Error
from durable.contract import AlarmInfo, DurableObject, ObjectContext
from kv.contract import KVError
from worker.codec import iso_time
from worker.env import Env
from worker.errors import InternalError, NotFound, Problem, StorageUnavailable, UpgradeRequired
from worker.idempotency import Answer
from worker.passing import passes
from worker.profiles import report as reports
from worker.profiles.errors import ImportIdTaken
from worker.profiles.import_run import ImportRun
from worker.profiles.key_claim import answer_of, claim_key, leave_answer
from worker.profiles.progress import AUDITOR, Audience
from worker.profiles.report import Plan, Tally
from worker.profiles.store.profiles import Row, keep_report, open_store, read_report
from worker.profiles.store.room import Commit, Memory, Seen, Staging
from worker.web import Request, Response, refusal

# How often the room looks after itself, in milliseconds; with each try in vain the wait for a store
# is twice as long, up to the longest.
_WATCH_MS = 5_000
_LONGEST_WAIT_MS = 300_000
# How long a report that the box does not hold stays here, for caches of KV that know of none.
_STAY_MS = 3_600_000
# Progress goes out at most this often, in milliseconds.
_PROGRESS_MS = 200


class ImportRoom(DurableObject):
    """One import. `fetch` takes the import itself (/import) and progress sockets (/progress)."""

    env: Env

    def __init__(self, ctx: ObjectContext, env: Env) -> None:
        super().__init__(ctx, env)
        self._run: ImportRun | None = None
        self._is_busy = False  # an event without a request stores or delivers
        self._made: dict[str, Any] | None = None
        self._ending = asyncio.Lock()
        self._told_ms = 0
        self._memory = Memory(ctx.storage)
        self._audience = Audience(ctx)
        self._seen = Seen(ctx.storage)
        self._staging = Staging(ctx.storage)

    async def fetch(self, request: Request) -> Response:
        """Run the import of a forwarded request, or accept a progress socket."""
        request_id = request.query["request_id"]
        try:
            if request.path == "/progress":
                return await self._watch(request)
            return await self._import(request, request_id)
        except Problem as problem:
            return refusal(problem, request_id)

    async def settle(self) -> bool:
        """
        Say whether the import is under way, or will be carried on by the room itself.

        When it is not, its Idempotency-Key has been given its answer, or back.
        """
        state = await self._memory.state()
        if self._run is not None:
            return True
        if state == reports.COMMITTING:
            await self._see_that_it_goes_on()
            return True
        if state == reports.RUNNING:
            await self._conclude_broken_off()
        elif state is not None:
            await self._leave_answer()
        return False

    async def report(self, asker: str = AUDITOR) -> dict[str, Any] | None:
        """Return the report as of now; None when *asker* has no import here."""
        state = await self._memory.state()
        if state is None:
            return None
        plan = await self._memory.plan()
        if asker not in (AUDITOR, plan.principal):
            return None
        kept: dict[str, Any] | None = await self.ctx.storage.get("report")
        if kept is not None:
            return kept
        if self._run is not None:
            # What is told now is not taken back after a crash.
            await self._memory.note(self._run.tally, state)
            return await self._make_report(plan, self._run.tally, state)
        if state == reports.RUNNING:
            return await self._conclude_broken_off()
        await self._see_that_it_goes_on()
        return await self._report_of_commit(plan)

    async def abandon(self, asker: str) -> dict[str, Any] | None:
        """Give the import up: what is stored stays, nothing more comes; returns the report."""
        state = await self._memory.state()
        if state not in (reports.RUNNING, reports.COMMITTING):
            return await self.report(asker)
        if asker not in (AUDITOR, (await self._memory.plan()).principal):
            return None
        await self.ctx.storage.put("failure", "abandoned")
        if self._run is not None or self._is_busy:
            await self.ctx.storage.set_alarm(self.env.now_ms())
            await self.ctx.storage.sync()
            self.ctx.abort("The import was abandoned.")
        return await self._conclude_broken_off()

    async def erase(self) -> None:
        """Remove everything; an import under way is broken off: the account goes."""
        await self.ctx.storage.delete_all()
        self._audience.leave(reports.INTERRUPTED)
        if self._run is not None or self._is_busy:
            await self.ctx.storage.sync()
            self.ctx.abort("The account was deleted.")

    async def alarm(self, info: AlarmInfo) -> None:
        """Look after the room: finish what a crash left, and leave when the time is over."""
        state = await self._memory.state()
        # Whatever happens below, it rings again: the runtime gives an alarm up after some failures.
        await self.ctx.storage.set_alarm(self.env.now_ms() + _WATCH_MS)
        if self._run is not None or self._is_busy:
            return
        self._is_busy = True
        try:
            if state is None or await self.ctx.storage.get("is_delivered"):
                await self.ctx.storage.delete_all()
            elif await self.ctx.storage.get("report"):
                await self._deliver()
            elif state == reports.COMMITTING and not await self.ctx.storage.get("failure"):
                await self._resume_commit()
            else:
                await self._conclude_broken_off()
        except Exception as error:
            # A store that is away: it is tried for as long as it takes.
            self.env.log.error("import_room_failed", error)
        finally:
            self._is_busy = False

    # The import

    async def _import(self, request: Request, request_id: str) -> Response:
        plan = Plan(**json.loads(request.query["plan"]))
        if self._run is not None or await self._memory.state() is not None:
            raise ImportIdTaken("Choose another import id.")
        self._run = run = ImportRun(self.env, plan, self._sink_for(plan), self._tick)
        try:
            if plan.chosen and await read_report(self.env, plan.import_id) is not None:
                raise ImportIdTaken("Choose another import id.")
            self._audience.begin(plan.principal)
            replay = await claim_key(self.env, plan, request)
            return replay or await self._perform(run, request, request_id)
        finally:
            self._run = None

    async def _perform(self, run: ImportRun, request: Request, request_id: str) -> Response:
        now_ms = self.env.now_ms()
        await self._memory.begin(run.plan, reports.RUNNING, now_ms)
        await self.ctx.storage.set_alarm(now_ms + _WATCH_MS)
        self._staging.create()
        self._seen.create()
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
            await self._memory.note(run.tally, reports.COMMITTING, digest=run.digest)
            await self._commit_or_leave_it_to_the_alarm(run)
        return await self._finish(run, status, request_id)

    async def _finish(self, run: ImportRun, status: int, request_id: str) -> Response:
        if not run.plan.staged:
            run.tally.profiles_stored = self._seen.count()
        state = reports.REFUSED if status == 422 else reports.DONE
        seems = {"seems": run.seems} if run.seems else {}
        made = await self._make_report(run.plan, run.tally, state, status=status, **seems)
        response = reports.answer(made, request_id)
        await self._conclude(made, answer_of(run.plan, run.digest, response))
        return response

    async def _fail(self, run: ImportRun, problem: Problem) -> Problem:
        """Conclude a request that broke off; the counts say what had been stored by then."""
        run.tally.profiles_stored = await self._stored_by_now(run.plan)
        made = await self._make_report(run.plan, run.tally, reports.FAILED, failure=problem.code)
        await self._conclude(made)
        problem.members = {
            **problem.members,
            "import_id": run.plan.import_id,
            **run.tally.counts(),
        }
        return problem

    # Where rows go

    def _sink_for(self, plan: Plan) -> Callable[[list[Row]], Awaitable[None]]:
        return self._stage if plan.staged else self._store

    async def _stage(self, rows: list[Row]) -> None:
        assert self._run is not None
        self._run.tally.repeat(self._staging.add(rows))
        await self._memory.note(self._run.tally, reports.RUNNING)

    async def _store(self, rows: list[Row]) -> None:
        """Store *rows*; they are noted durably before, so that a kill leaves a true count."""
        assert self._run is not None
        run = self._run
        run.tally.repeat(self._seen.expect(rows))
        await self._memory.note(run.tally, reports.RUNNING)
        await self.ctx.storage.sync()
        await open_store(self.env).put_many(rows, run.plan.import_id, self.env.now_ms())
        self._seen.confirm()
        run.tally.profiles_stored += len(rows)

    async def _commit(self, plan: Plan, tally: Tally) -> Commit:
        """
        Store what was staged, from where it broke off; returns how it ended.

        Repeating a part of it after a crash changes nothing.
        """
        store = open_store(self.env)
        commit = await self._memory.commit()
        tally.profiles_stored = self._staging.count(commit.place) - commit.left_out
        for place, rows in self._staging.batches(commit.place):
            taken = [row for row in rows if store.takes(row.profile_id)]
            await store.put_many(taken, plan.import_id, self.env.now_ms())
            commit = Commit(place, commit.left_out + len(rows) - len(taken))
            await self._memory.note_commit(commit)
            tally.profiles_stored += len(taken)
            await self._tick()
        return commit

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
        commit = await self._memory.commit()
        await self._memory.note_commit(commit._replace(tries=commit.tries + 1))
        wait = min(_WATCH_MS * 2 ** min(commit.tries, 16), _LONGEST_WAIT_MS)
        await self.ctx.storage.set_alarm(self.env.now_ms() + wait)
        plan, tally = await self._memory.plan(), await self._memory.tally()
        commit = await self._commit(plan, tally)
        if commit.left_out:
            # Staged by an earlier version: rows that no line may have today.
            made = await self._make_report(plan, tally, reports.FAILED, failure="import_refused")
            await self._conclude(made)
            return
        status = reports.status_of(plan, tally)
        made = await self._make_report(plan, tally, reports.DONE, status=status)
        digest: str | None = await self.ctx.storage.get("digest")
        response = reports.answer(made, request_id="")
        await self._conclude(made, None if digest is None else answer_of(plan, digest, response))

    async def _see_that_it_goes_on(self) -> None:
        """Set the alarm of a commit that has none: earlier versions gave it up."""
        if not self._is_busy and await self.ctx.storage.get_alarm() is None:
            await self.ctx.storage.set_alarm(self.env.now_ms())

    # How it ends

    async def _conclude_broken_off(self) -> dict[str, Any]:
        """Conclude, once, what nobody carries on: the server was stopped, or it was abandoned."""
        async with self._ending:
            return self._made or await self._conclude_now()

    async def _conclude_now(self) -> dict[str, Any]:
        failure: str | None = await self.ctx.storage.get("failure")
        plan, tally = await self._memory.plan(), await self._memory.tally()
        try:
            tally.profiles_stored = await self._stored_by_now(plan)
        except Exception as error:
            if failure is None or not passes(error):
                raise
            # Given up because the store is away: what it took last is not known.
            self.env.log.error("import_not_counted", error)
        state, members = reports.INTERRUPTED, {}
        if failure is not None:
            state, members = reports.FAILED, {"failure": failure}
        made = await self._make_report(plan, tally, state, **members)
        await self._conclude(made)
        return made

    async def _stored_by_now(self, plan: Plan) -> int:
        """Return how many profiles are stored; the store is asked for those of the last moment."""
        store = open_store(self.env)
        if not plan.staged:
            if pending := self._seen.pending():
                self._seen.confirm(await store.written(pending, plan.import_id))
            return self._seen.count()
        if await self._memory.state() != reports.COMMITTING:
            return 0
        commit = await self._memory.commit()
        stored = self._staging.count(commit.place) - commit.left_out
        for _, rows in self._staging.batches(commit.place):
            digests = {row.profile_id: row.digest() for row in rows if store.takes(row.profile_id)}
            return stored + len(await store.written(digests, plan.import_id))
        return stored

    async def _conclude(self, made: dict[str, Any], answer: Answer | None = None) -> None:
        """Make *made* the final report, and *answer* what the key gets: here first, exactly."""
        self._staging.drop()
        self._seen.drop()
        self._made = made
        plain = None if answer is None else answer.plain()
        await self.ctx.storage.put({"report": made, "state": made["state"], "answer": plain})
        try:
            await self._deliver()
        except Exception as error:
            self.env.log.error("report_not_kept", error)
            await self.ctx.storage.set_alarm(self.env.now_ms() + _WATCH_MS)
        self._audience.end(made)

    async def _deliver(self) -> None:
        """Bring the answer to its box and the report to KV, as often as it takes, and leave."""
        kept = await self.ctx.storage.get(["plan", "report"])
        is_in_box = await self._leave_answer()
        await keep_report(self.env, kept["report"], kept["plan"]["principal"])
        if is_in_box:
            await self.ctx.storage.delete_all()
        else:
            await self.ctx.storage.put("is_delivered", True)
            await self.ctx.storage.set_alarm(self.env.now_ms() + _STAY_MS)

    async def _leave_answer(self) -> bool:
        """See that the key is answered or free; returns whether the box has the report as well."""
        kept = await self.ctx.storage.get(["answer", "plan", "report"])
        if "report" not in kept:
            return True  # it left meanwhile
        answer = Answer.read(kept["answer"]) if "answer" in kept else None
        return await leave_answer(self.env, Plan(**kept["plan"]), answer, kept["report"])

    # What is told

    async def _report_of_commit(self, plan: Plan) -> dict[str, Any]:
        """Report a commit that waits for its store: how far, how often tried, when next."""
        commit, tally = await self._memory.commit(), await self._memory.tally()
        tally.profiles_stored = self._staging.count(commit.place) - commit.left_out
        next_ms = await self.ctx.storage.get_alarm()
        told: dict[str, Any] = {"tries": commit.tries}
        if next_ms is not None:
            told["next_try_at"] = iso_time(next_ms / 1000)
        return await self._make_report(plan, tally, reports.COMMITTING, waits=told)

    async def _make_report(
        self, plan: Plan, tally: Tally, state: str, **members: Any
    ) -> dict[str, Any]:
        started_ms = await self._memory.started_ms()
        return reports.make_report(plan, tally, state, started_ms, self.env.now_ms(), **members)

    async def _watch(self, request: Request) -> Response:
        if (request.headers.get("upgrade") or "").lower() != "websocket":
            raise UpgradeRequired("Progress is told over a WebSocket.")
        asker = request.query.get("asker", AUDITOR)
        made = await self.report(asker)
        if made is None and await self._memory.state() is not None:
            raise NotFound("There is no import with this id.")
        if made is None and self._run is None and self.ctx.id.name is not None:
            kept = await read_report(self.env, self.ctx.id.name)
            if kept is not None and asker not in (AUDITOR, kept.owner):
                raise NotFound("There is no import with this id.")
            made = kept and kept.report
        client, server = self.env.tools.socket_pair()
        self._audience.admit(server, asker, made)
        return Response.websocket(client)

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        """Progress sockets only listen; what they say is ignored."""

    async def _tick(self) -> None:
        """Note the counts with each chunk, for a crash, and tell them now and then."""
        now = self.env.now_ms()
        run = self._run
        if run is None:
            return
        state = await self._memory.state() or reports.RUNNING
        if state == reports.RUNNING:
            await self._memory.note(run.tally, state)
        if now - self._told_ms >= _PROGRESS_MS and not self._audience.is_empty:
            self._told_ms = now
            self._audience.tell(await self._make_report(run.plan, run.tally, state))
