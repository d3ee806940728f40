"""The doors of the key store (seed signal-relay.md US1, FR-002, FR-003; facts/seeds.md 2.004)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from d1_schema.contract import D1Statement
from worker.env import Env
from worker.errors import BadRequest, Conflict, NotFound, StorageUnavailable
from worker.identity.caller import Caller
from worker.identity.usernames import find_account, username_of
from worker.limiter.counting import refused, spared
from worker.limits import FETCH_KEYS, FETCH_KEYS_OF, KIB
from worker.relay.keys.errors import PrekeysExhausted
from worker.relay.keys.model import Bundle, Prekey, Upload, check_signatures, parse
from worker.relay.keys.store import KeyStore, purge_taken, untold
from worker.web import Request, Response

# Keys of one call: a hundred Kyber prekeys are 220 KiB of base64.
KEYS_BYTES = 512 * KIB
# With fewer left, their owner is told.
PREKEYS_LOW = 20
# A change of identity that the inbox has not heard of by then is announced by the hourly job.
UNTOLD_SECONDS = 600

Door = Callable[[Request, Caller, Env], Awaitable[Response]]

_NO_STORE = {"Cache-Control": "no-store"}
_ONE_TIME = ("one_time_pre_keys", "kyber_pre_keys")


async def with_account(env: Env, account_id: str, body: dict[str, Any]) -> Sequence[D1Statement]:
    """Return what stores the keys of a registration; raises `BadRequest` when some are missing."""
    upload = parse(body)
    upload.check_complete()
    await check_signatures(upload, upload.identity_key or "", env.tools)
    return KeyStore(env, account_id).replacing(upload)


async def put_keys(request: Request, caller: Caller, env: Env) -> Response:
    """
    Store or update the caller's keys; what the body does not name stays.

    A new identity key is a new identity: older prekeys and the messages that wait are dropped, and
    who wrote those is told.
    """
    upload = parse(await request.json(KEYS_BYTES))
    store = KeyStore(env, caller.subject)
    known = await store.identity()
    identity_key = upload.identity_key or (known.key if known else None)
    if known is None or identity_key is None or identity_key != known.key:
        upload.check_complete()
        await check_signatures(upload, upload.identity_key or "", env.tools)
        await store.replace(upload)
    else:
        await _update(store, upload, identity_key, env)
    return await _told(store, caller, env)


async def add_one_time(request: Request, caller: Caller, env: Env) -> Response:
    """Top up the one-time prekeys; more than may be held push out the oldest."""
    body = await request.json(KEYS_BYTES)
    if isinstance(body, dict):
        body = {name: body[name] for name in _ONE_TIME if name in body}
    upload = parse(body)
    if not upload.one_time and not upload.kyber:
        raise BadRequest("Send one_time_pre_keys or kyber_pre_keys.")
    store = KeyStore(env, caller.subject)
    known = await store.identity()
    if known is None:
        raise NotFound("Upload your identity key first.")
    await _update(store, upload, known.key, env)
    return await _told(store, caller, env)


async def count_keys(request: Request, caller: Caller, env: Env) -> Response:
    """Answer how many one-time prekeys are left."""
    return await _told(KeyStore(env, caller.subject), caller, env)


async def get_bundle(request: Request, caller: Caller, env: Env) -> Response:
    """
    Answer somebody's bundle and take one one-time prekey; raises `PrekeysExhausted`, `NotFound`.

    The parameter is a username or, as messages carry it, an account id. `allow_no_otpk=1` asks for
    a bundle without one rather than none (facts X37). HEAD only says whether there are keys.
    """
    target = await _target(request, env)
    store = KeyStore(env, target)
    if request.method == "HEAD":
        if await store.identity() is None:
            raise _no_keys()
        return Response(None, 200, dict(_NO_STORE))
    await _limit(request, caller, target, env)
    may_lack = request.query.get("allow_no_otpk") == "1"
    bundle = await store.take(may_lack_one_time=may_lack)
    if bundle is None:
        raise _no_keys()
    if bundle.left < PREKEYS_LOW:
        env.tools.wait_until(_hint(env, target, bundle.left))
    if bundle.one_time is None and not may_lack:
        raise PrekeysExhausted("This person has to upload new one-time prekeys first.")
    return Response.json(_shown(target, bundle), headers=_NO_STORE)


def with_hint(open_socket: Door) -> Door:
    """Return the door to the relay's socket, which also says so when few prekeys are left."""

    async def door(request: Request, caller: Caller, env: Env) -> Response:
        response = await open_socket(request, caller, env)
        if response.status == 101:
            env.tools.wait_until(_hint_if_low(env, caller.subject))
        return response

    return door


async def tidy(env: Env) -> None:
    """Forget old marks, and tell inboxes of changes that they missed: the hourly job."""
    await purge_taken(env)
    for account_id, changed_at in await untold(env, env.now_ms() - UNTOLD_SECONDS * 1000):
        try:
            await _announce(env, account_id, changed_at, "")
        except Exception as error:
            # The next hour tries again; the others do not wait for that.
            env.log.error("identity_not_announced", error)


async def _target(request: Request, env: Env) -> str:
    found = await find_account(env, request.params["username"])
    if found is None:
        raise NotFound("There is nobody with this username.")
    return found


def _no_keys() -> NotFound:
    return NotFound("This person has published no keys.")


async def _update(store: KeyStore, upload: Upload, identity_key: str, env: Env) -> None:
    await check_signatures(upload, identity_key, env.tools)
    if not await store.update(upload, identity_key):
        raise Conflict("The identity key has changed meanwhile.")


async def _limit(request: Request, caller: Caller, target: str, env: Env) -> None:
    """Let nobody drain another's keys: neither one caller, nor many together."""
    if spared(env.settings, request.remote):
        return
    for row, key in ((FETCH_KEYS, f"{caller.subject}:{target}"), (FETCH_KEYS_OF, target)):
        wait = await env.limiter.take(row, key)
        if wait:
            raise refused(wait, row)


async def _hint_if_low(env: Env, account_id: str) -> None:
    try:
        store = KeyStore(env, account_id)
        left = (await store.counts()).one_time
        if left < PREKEYS_LOW and await store.identity() is not None:
            await _hint(env, account_id, left)
    except Exception as error:
        env.log.error("keys_low_failed", error)


async def _hint(env: Env, account_id: str, left: int) -> None:
    try:
        await env.inbox.get_by_name(account_id).call("keys_low", left)
    except Exception as error:
        # No more than a hint: whoever has not heard it asks for the count.
        env.log.error("keys_low_failed", error)


async def _announce(env: Env, account_id: str, changed_at: int, keep_session: str) -> None:
    username = await username_of(env, account_id)
    inbox = env.inbox.get_by_name(account_id)
    await inbox.call("identity_changed", username, keep_session, changed_at)
    await KeyStore(env, account_id).told(changed_at)


async def _told(store: KeyStore, caller: Caller, env: Env) -> Response:
    """Answer what is held now; first finish a change of identity, also one that was cut off."""
    identity, counts = await store.identity(), await store.counts()
    if identity is not None and identity.changed_at is not None:
        try:
            await _announce(env, caller.subject, identity.changed_at, caller.session_id)
        except Exception as error:
            env.log.error("identity_not_announced", error)
            raise StorageUnavailable(
                "The keys are stored; send them again, so that others learn of it.",
                headers={"Retry-After": "2"},
            ) from None
    last_resort = identity and identity.last_resort
    body = {
        "one_time_pre_keys": counts.one_time,
        "kyber_pre_keys": counts.kyber,
        "signed_pre_key_id": identity and identity.signed.id,
        "last_resort_kyber_pre_key_id": last_resort and last_resort.id,
        "low": counts.one_time < PREKEYS_LOW,
        "held_at_most": env.settings.prekeys_held,
    }
    return Response.json(body, headers=_NO_STORE)


def _shown(account_id: str, bundle: Bundle) -> dict[str, Any]:
    identity = bundle.identity
    return {
        "account_id": account_id,
        "registration_id": identity.registration_id,
        "identity_key": identity.key,
        "signed_pre_key": _json(identity.signed),
        "one_time_pre_key": _json(bundle.one_time),
        "kyber_pre_key": _json(bundle.kyber),
    }


def _json(prekey: Prekey | None) -> dict[str, Any] | None:
    if prekey is None:
        return None
    signature = {} if prekey.signature is None else {"signature": prekey.signature}
    return {"id": prekey.id, "key": prekey.key, **signature}
