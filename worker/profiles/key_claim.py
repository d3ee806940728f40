"""What an import does with its Idempotency-Key: claim it, give it back, leave its answer."""

import hashlib
from typing import Any, Final

from kv.contract import KVError
from worker.codec import canonical_json
from worker.env import Env
from worker.errors import KeyInUse, KeyReused, PayloadTooLarge
from worker.idempotency import PREFIX, Answer
from worker.profiles.errors import ImportIdTaken
from worker.profiles.report import Plan
from worker.web import Request, Response

# Characters: a report up to this size is kept by the box, so that its room need not stay.
_SMALL_REPORT: Final = 32_768


async def claim_key(env: Env, plan: Plan, request: Request) -> Response | None:
    """
    Have this run noted and take its key; return the earlier answer when there is one.

    Called by a room that already counts as running, so that a rival who finds the key held and asks
    the holder gets a true answer. Raises `KeyInUse`, `KeyReused` or `ImportIdTaken`.
    """
    box = env.idempotency_box.get_by_name(plan.principal)
    mine = (plan.import_id, env.settings.import_report_days, plan.box)
    claim = await box.call("claim", *mine)
    if claim["state"] == "held":
        # It may have come to its end without having told; then it tells now.
        holder = env.import_room.get_by_name(claim["run"])
        if not await holder.call("settle"):
            claim = await box.call("claim", *mine, claim["run"])
    if claim["state"] == "taken":
        raise ImportIdTaken("Choose another import id.")
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


def answer_of(plan: Plan, digest: str, response: Response) -> Answer | None:
    """Return what all who come with the key of this run get; None when it has no key."""
    if plan.box is None or not isinstance(response.body, bytes):
        return None
    content_type = response.headers["Content-Type"]
    return Answer(_asked(plan, digest), response.status, content_type, response.body)


async def leave_answer(env: Env, plan: Plan, answer: Answer | None, report: dict[str, Any]) -> bool:
    """
    Tell the box how the run ended; may be repeated.

    Its key gets *answer*, or is given back: the run did not come to one that should be repeated.
    Returns whether the box holds the *report* as well: a small one, for the next hour.
    """
    box = env.idempotency_box.get_by_name(plan.principal)
    text = canonical_json(report)
    small = text if len(text) <= _SMALL_REPORT else None
    plain = None if answer is None else answer.plain()
    kept = await box.call("conclude", plan.import_id, plan.box, plain, small)
    if kept["answer"] and plain is not None and plan.box is not None:
        try:
            await env.idempotency_kv.put(
                PREFIX + plan.box,
                canonical_json(plain),
                expiration_ttl=env.settings.idempotency_hours * 3600,
            )
        except KVError as error:
            # The box has the answer; the copy in KV only saves asking it.
            env.log.error("answer_not_copied", error)
    return bool(kept["report"])
