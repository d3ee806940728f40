"""The doors of the key store (seed signal-relay.md US1, FR-002, FR-003; facts/seeds.md 2.004)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from d1_schema.contract import D1Statement
from worker.env import Env
from worker.errors import BadRequest, Conflict, NotFound, StorageUnavailable
from worker.identity.caller import Caller
from worker.identity.usernames import find_account, username_of
from worker.limiter.counting import refused, spared
from worker.limits import FETCH_KEYS, KIB
from worker.relay.keys.errors import PrekeysExhausted
from worker.relay.keys.model import (
    Bundle,
    Prekey,
    Upload,
    check_signatures,
    digest,
    digest_lasting,
    parse,
)
from worker.relay.keys.store import KeyStore, purge_taken, untold
from worker.web import Request, Response

# Keys of one call: a hundred Kyber prekeys are 220 KiB of base64.
KEYS_BYTES = 512 * KIB
# With fewer left, their owner is told.
PREKEYS_LOW = 20
# A change of identity that the inbox has not heard of by then is announced by the hourly job.
UNTOLD_SECONDS = 600

Door = Callable[[Request, Caller, Env], Awaitable[Response]]

_NO_KEYS = "This person has published no keys."
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
    Store the caller's keys: each that the body names takes the place of what was held of it.

    What it does not name stays, unless it names all that a first upload needs: then that is all
    there is. A new identity key is a new identity: older prekeys and the messages that wait are
    dropped, and who wrote those is told.
    """
    upload = parse(await request.json(KEYS_BYTES))
    store = KeyStore(env, caller.subject)
    known = await store.identity()
    identity_key = upload.identity_key or (known.key if known else None)
    if known is None or identity_key is None or identity_key != known.key:
        upload.check_complete()
        await check_signatures(upload, upload.identity_key or "", env.tools)
        await _check_lasting(store, upload)
        await store.replace(upload)
    else:
        await _update(store, upload, identity_key, env)
    return await _told(store, caller, env)


async def add_one_time(request: Request, caller: Caller, env: Env) -> Response:
    """
    Top up the one-time prekeys; more than may be held push out the oldest.

    A body that names an identity key is another device's, and refused, when that has changed.
    """
    body = await request.json(KEYS_BYTES)
    if isinstance(body, dict):
        body = {name: body[name] for name in (*_ONE_TIME, "identity_key") if name in body}
    upload = parse(body)
    if upload.one_time is None and upload.kyber is None:
        raise BadRequest("Send one_time_pre_keys or kyber_pre_keys.")
    store = KeyStore(env, caller.subject)
    known = await store.identity()
    if known is None:
        raise NotFound("Upload your identity key first.")
    if upload.identity_key not in (None, known.key):
        raise Conflict("The account has another identity key: these prekeys are not its device's.")
    await _update(store, upload, known.key, env, adds=True)
    return await _told(store, caller, env)


async def clear_one_time(request: Request, caller: Caller, env: Env) -> Response:
    """Remove the one-time prekeys that wait: their owner has lost the secrets."""
    store = KeyStore(env, caller.subject)
    await store.clear()
    return await _told(store, caller, env)


async def digest_keys(request: Request, caller: Caller, env: Env) -> Response:
    """Answer digests of what is held, for an owner to compare with what his device has."""
    store = KeyStore(env, caller.subject)
    identity, prekeys = await store.identity(), await store.held()
    body: dict[str, Any] = {"lasting_keys": identity and digest_lasting(identity)}
    for name, held in zip(_ONE_TIME, prekeys, strict=True):
        body[name] = {"ids": [one.id for one in held], "sha256": digest(held)}
    return Response.json(body, headers=_NO_STORE)


async def count_keys(request: Request, caller: Caller, env: Env) -> Response:
    """Answer how many one-time prekeys are left."""
    return await _told(KeyStore(env, caller.subject), caller, env)


async def get_bundle(request: Request, caller: Caller, env: Env) -> Response:
    """
    Answer somebody's bundle and take one one-time prekey; raises what `_check_taken` does.

    The parameter is a username or, as messages carry it, an account id. `allow_no_otpk=1` asks for
    a bundle without one rather than none (facts X37). Nothing is taken by HEAD, which only says
    whether there are keys, nor by whoever looks at his own.
    """
    target = await _target(request, env)
    store = KeyStore(env, target)
    if request.method == "HEAD" or target == caller.subject:
        identity = await store.identity()
        if identity is None:
            raise NotFound(_NO_KEYS)
        seen = Bundle(identity, None, identity.last_resort, 0)
        return Response.json(_shown(target, seen), headers=_NO_STORE)
    may_lack = request.query.get("allow_no_otpk") == "1"
    taker = None if spared(env.settings, request.remote) else caller.subject
    bundle = await store.take(may_lack_one_time=may_lack, taker=taker)
    if bundle is None:
        raise NotFound(_NO_KEYS)
    if bundle.one_time is not None and bundle.left < PREKEYS_LOW:
        env.tools.wait_until(_hint(env, target, bundle.left))
    if not may_lack:
        _check_taken(bundle)
    return Response.json(_shown(target, bundle), headers=_NO_STORE)


def _check_taken(bundle: Bundle) -> None:
    """Raise `RateLimited` when the caller's share is used up, `PrekeysExhausted` when all is."""
    if bundle.one_time is not None:
        return
    if bundle.left and bundle.wait:
        raise refused(bundle.wait, FETCH_KEYS)
    if bundle.left:
        raise PrekeysExhausted("What is left is for people who took none of this person's today.")
    raise PrekeysExhausted("This person has to upload new one-time prekeys first.")


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


async def _update(
    store: KeyStore, upload: Upload, identity_key: str, env: Env, *, adds: bool = False
) -> None:
    await check_signatures(upload, identity_key, env.tools)
    await _check_lasting(store, upload)
    if not await store.update(upload, identity_key, adds=adds):
        raise Conflict("The identity key has changed meanwhile.")


async def _check_lasting(store: KeyStore, upload: Upload) -> None:
    if await store.gave_once(upload):
        raise Conflict("A key that was given out as a one-time prekey is given to nobody else.")


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
