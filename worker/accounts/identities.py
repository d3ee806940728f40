"""
The doors of the ways into an account: tell, add a password or a key pair, remove.

Adding and removing needs a sign-in of the last minutes and proof of the new way; that something
looks equal (an address at two providers) links nothing (facts/seeds.md §3.2).
"""

from typing import Any

from worker.accounts import identity_store, key_proof, store
from worker.accounts.answers import NO_STORE, granted
from worker.accounts.identity_store import Way
from worker.accounts.model import Members, fault, read_entry
from worker.accounts.registration import chosen
from worker.codec import iso_time
from worker.env import Env
from worker.errors import IdentityTaken, LastIdentity, NotFound, Unauthorized, Unprocessable
from worker.identity.caller import Caller, pseudonym
from worker.identity.cookies import check_origin
from worker.identity.sessions import SignIn, begin, end_all
from worker.identity.sign_in_guard import guarded
from worker.identity.tokens import CHALLENGE
from worker.web import Request, Response


async def list_identities(request: Request, caller: Caller, env: Env) -> Response:
    """Answer the caller's ways in, the oldest first."""
    rows = await identity_store.ways(env, caller.subject)
    return Response.json({"items": [shown(env, row) for row in rows]}, headers=NO_STORE)


async def remove(request: Request, caller: Caller, env: Env) -> Response:
    """Remove one of the caller's ways in, never the last; its other sessions end."""
    rows = await identity_store.ways(env, caller.subject)
    row = next((row for row in rows if _id(env, row) == request.params["id"]), None)
    if row is None:
        raise NotFound("You have no such way in.")
    if not await identity_store.remove(env, caller.subject, row):
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
    return Response.json(key_proof.challenge(env, caller.subject), headers=NO_STORE)


async def add_key(request: Request, caller: Caller, env: Env) -> Response:
    """Make a key pair that signed a challenge a way into the caller's account."""
    members = await Members.of(request)
    proof = key_proof.read_proof(members, needs_key=True)
    members.done()
    if not await key_proof.holds(env, proof, caller.subject):
        wrong = fault("signature", "mismatch", "The challenge or its signature does not hold.")
        raise Unprocessable("The key was not linked; get a new challenge.", errors=[wrong])
    return await _added(env, caller, proof.way)


async def sign_in_challenge(request: Request, caller: Caller, env: Env) -> Response:
    """Answer a challenge that signs in with a linked key pair."""
    return Response.json(key_proof.challenge(env), headers=NO_STORE)


async def sign_in(request: Request, caller: Caller, env: Env) -> Response:
    """Sign in with a linked key pair; every refusal of a well-formed proof reads the same."""
    members = await Members.of(request)
    proof = key_proof.read_proof(members, needs_key=False)
    entry = read_entry(members, "api", named=False)
    if entry.cookies:
        check_origin(request, env)
    async with guarded(env, request.remote, proof.user_hash):
        held = await identity_store.find(env, proof.way)
        key = key_proof.read_key(held.secret) if held is not None else b""
        judged = key_proof.Proof(proof.user_hash, key, proof.challenge_id, proof.signature)
        if not await key_proof.holds(env, judged) or held is None:
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
    await identity_store.add(env, caller.subject, way)
    rows = await identity_store.ways(env, caller.subject)
    spelt = (way.kind, *way.spellings[0])
    found = [row for row in rows if (row["kind"], row["issuer"], row["subject"]) == spelt]
    # Removed again at this very moment: it was added all the same.
    return Response.json(shown(env, found[0]) if found else {}, 201, NO_STORE)


def shown(env: Env, row: dict[str, Any]) -> dict[str, Any]:
    """Return a way in as its owner sees it."""
    return {
        "id": _id(env, row),
        "kind": row["kind"],
        "hint": hint(row),
        "created_at": iso_time(row["created_at"] / 1000),
    }


def hint(row: dict[str, Any]) -> str | None:
    """Return what tells one way from another: of an address only the hash is kept, so nothing."""
    if row["kind"] == "password":
        return str(row["subject"])
    if row["kind"] == "oidc":
        return str(row["issuer"])
    if row["kind"] == "pq_key":
        return f"{row['subject'][:10]}…{row['subject'][-4:]}"
    return None


def _id(env: Env, row: dict[str, Any]) -> str:
    """Return the name of a way in outside: neither its subject nor to be guessed from it."""
    return pseudonym(env, "\0".join(("identity", row["kind"], row["issuer"], row["subject"])))
