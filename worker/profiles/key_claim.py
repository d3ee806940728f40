"""What an import does with its Idempotency-Key: claim it, give it back, leave its answer."""

import hashlib

from kv.contract import KVError
from worker.codec import canonical_json
from worker.env import Env
from worker.errors import KeyInUse, KeyReused, PayloadTooLarge
from worker.idempotency import PREFIX, Answer
from worker.profiles.report import Plan
from worker.web import Request, Response


async def claim_key(env: Env, plan: Plan, request: Request) -> Response | None:
    """
    Have this run noted and take its key; return the earlier answer when there is one.

    Called by a room that already counts as running, so that a rival who finds the key held and asks
    the holder gets a true answer. Raises `KeyInUse` or `KeyReused`.
    """
    box = env.idempotency_box.get_by_name(plan.principal)
    mine = (plan.import_id, env.settings.import_report_days, plan.box)
    claim = await box.call("claim", *mine)
    if claim["state"] == "held":
        holder = env.import_room.get_by_name(claim["run"])
        if not await holder.call("is_running"):
            claim = await box.call("claim", *mine, claim["run"])
    if claim["state"] == "held":
        raise KeyInUse("Wait for the first request to finish.", headers={"Retry-After": "1"})
    if claim["state"] == "done":
        return await replay(Answer.read(claim["answer"]), plan, request, env)
    return None


async def replay(answer: Answer, plan: Plan, request: Request, env: Env) -> Response:
    """
    Return *answer* when the same was asked: the same body in the same mode.

    Raises `KeyReused` for anything else, `PayloadTooLarge` for a body that no import may have.
    """
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
        if size > env.settings.import_max_bytes:
            raise PayloadTooLarge(
                f"An import may have at most {env.settings.import_max_bytes} bytes."
            )
    if _asked(plan, digest.hexdigest()) != answer.digest:
        raise KeyReused("Use a new Idempotency-Key for a new body or mode.")
    return answer.replay()


def _asked(plan: Plan, digest: str) -> str:
    """Return what tells one request from another: the body's SHA-256 and the mode."""
    return f"{digest}:atomic" if plan.atomic else digest


async def give_back(env: Env, plan: Plan) -> None:
    """Let the key be used again: this run did not come to an answer that should be repeated."""
    if plan.box is not None:
        box = env.idempotency_box.get_by_name(plan.principal)
        await box.call("release", plan.import_id, plan.box)


async def keep_answer(env: Env, plan: Plan, digest: str, response: Response) -> None:
    """Leave the answer of this run for all who come with the same key."""
    if plan.box is None or not isinstance(response.body, bytes):
        return
    asked = _asked(plan, digest)
    answer = Answer(asked, response.status, response.headers["Content-Type"], response.body)
    box = env.idempotency_box.get_by_name(plan.principal)
    if not await box.call("finish", plan.import_id, plan.box, answer.plain()):
        return
    try:
        await env.idempotency_kv.put(
            PREFIX + plan.box,
            canonical_json(answer.plain()),
            expiration_ttl=env.settings.idempotency_hours * 3600,
        )
    except KVError as error:
        # The box has the answer; the copy in KV only saves asking it.
        env.log.error("answer_not_copied", error)
