"""
The doors of the ways into an account: tell, add a password or a key pair, remove.

Adding and removing needs a sign-in of the last minutes and proof of the new way; that something
looks equal (an address at two providers) links nothing (facts/seeds.md §3.2).
"""

from base64 import b64decode
from dataclasses import replace

from worker import possession
from worker.accounts import store
from worker.accounts.doors.answers import NO_STORE, granted
from worker.accounts.errors import IdentityTaken, LastIdentity
from worker.accounts.model import Members, Way, fault, read_entry, read_proof, way_of
from worker.accounts.sign_in import chosen
from worker.env import Env
from worker.errors import NotFound, Unauthorized, Unprocessable
from worker.identity.caller import Caller
from worker.identity.cookies import check_origin
from worker.identity.sessions import SignIn, begin, end_all
from worker.identity.sign_in_guard import guarded
from worker.identity.tokens import CHALLENGE
from worker.web import Request, Response


async def list_identities(request: Request, caller: Caller, env: Env) -> Response:
    """Answer the caller's ways in, the oldest first."""
    ways = await store.ways(env, caller.subject)
    return Response.json({"items": [way.shown(env) for way in ways]}, headers=NO_STORE)


async def remove(request: Request, caller: Caller, env: Env) -> Response:
    """Remove one of the caller's ways in, never the last; its other sessions end."""
    ways = await store.ways(env, caller.subject)
    named = next((way for way in ways if way.id(env) == request.params["id"]), None)
    if named is None:
        raise NotFound("You have no such way in.")
    if not await store.remove(env, named):
        raise LastIdentity("Add another way in first.")
    await end_all(env, caller.subject, caller.session_id)
    return Response(None, 204, dict(NO_STORE))


async def add_password(request: Request, caller: Caller, env: Env) -> Response:
    """Give the caller's account a username and a password."""
    members = await Members.of(request)
    name, typed = members.text("username"), members.text("password")
    members.done()
    username, secret = await chosen(env, name, typed, "The password was not added.")
    try:
        return await _added(env, caller, Way("password", [("", username)], secret))
    except IdentityTaken:
        raise store.taken() from None


async def key_challenge(request: Request, caller: Caller, env: Env) -> Response:
    """Answer a challenge that links a key pair to the caller's account."""
    return Response.json(possession.challenge(env, caller.subject), headers=NO_STORE)


async def add_key(request: Request, caller: Caller, env: Env) -> Response:
    """Make a key pair that signed a challenge a way into the caller's account."""
    members = await Members.of(request)
    proof = read_proof(members, needs_key=True)
    members.done()
    if not await possession.holds(env, proof, caller.subject):
        wrong = fault("signature", "mismatch", "The challenge or its signature does not hold.")
        raise Unprocessable("The key was not linked; get a new challenge.", errors=[wrong])
    return await _added(env, caller, way_of(proof))


async def sign_in_challenge(request: Request, caller: Caller, env: Env) -> Response:
    """Answer a challenge that signs in with a linked key pair."""
    return Response.json(possession.challenge(env), headers=NO_STORE)


async def sign_in(request: Request, caller: Caller, env: Env) -> Response:
    """Sign in with a linked key pair; every refusal of a well-formed proof reads the same."""
    members = await Members.of(request)
    proof = read_proof(members, needs_key=False)
    entry = read_entry(members, "api", named=False)
    if entry.cookies:
        check_origin(request, env)
    async with guarded(env, request.remote, proof.user_hash, entry.device_id):
        held = await store.find_way(env, way_of(proof))
        key = b64decode(held.secret) if held is not None else b""
        judged = replace(proof, key=key)
        if not await possession.holds(env, judged) or held is None:
            raise _wrong()
        who = SignIn(held.account_id, "pq_key", entry.device_id, entry.label, held.secret)
        try:
            grant = await begin(env, who, entry.audience)
        except Unauthorized:
            raise _wrong() from None
    return granted(env, grant, in_cookies=entry.cookies)


def _wrong() -> Unauthorized:
    return Unauthorized("The key, the challenge or its signature is wrong.", headers=CHALLENGE)


async def _added(env: Env, caller: Caller, way: Way) -> Response:
    await store.add(env, caller.subject, way)
    spelt = (way.kind, *way.spellings[0])
    held = await store.ways(env, caller.subject)
    found = [one for one in held if (one.kind, one.issuer, one.subject) == spelt]
    # Removed again at this very moment: it was added all the same.
    return Response.json(found[0].shown(env) if found else {}, 201, NO_STORE)
