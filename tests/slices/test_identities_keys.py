"""Key pairs: linked and signed in with by signing a challenge that holds once."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from tests.support.accounts import later, sign_up
from tests.support.key_pairs import KeyPair, b64, link, sign_in_by
from tests.support.mails import ways_of
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost, running_host
from worker.accounts import store
from worker.accounts.model import Way
from worker.possession import user_hash

_LINK, _OPEN = "/v1/identities/key", "/v1/sessions/key"


@pytest.fixture(params=["ML-DSA-87", "Ed25519"])
def pair(request: pytest.FixtureRequest) -> KeyPair:
    """A key pair of each kind."""
    return KeyPair(request.param)


async def _challenge(host: RunningHost) -> dict[str, str]:
    found: dict[str, str] = (await host.ask("POST", f"{_OPEN}/challenge")).json()
    return found


async def test_a_challenge_is_what_the_seed_says(host: RunningHost) -> None:
    """64 lower-case hexadecimal digits, a minute, each time another."""
    first, second = await _challenge(host), await _challenge(host)
    assert first["expires_in"] == 60
    assert first["challenge"] != second["challenge"]
    assert len(bytes.fromhex(first["challenge"])) == 32
    assert first["challenge"] == first["challenge"].lower()


async def test_a_linked_key_opens_its_account(host: RunningHost, pair: KeyPair) -> None:
    """By the key or by its user hash however spelt; in cookies for a page; as `pq_key`."""
    person = await sign_up(host)
    added = await link(person, pair)
    assert added.status == 201
    wanted = "01" + hashlib.sha3_512(pair.public).hexdigest()
    assert user_hash(pair.public) == wanted
    row = await host.env.db.prepare("SELECT subject FROM identities WHERE kind = 'pq_key'").first()
    assert row is not None
    assert row["subject"] == wanted
    for named in (wanted, wanted.upper(), f"\\x{wanted}", f"0x{wanted}", f"u_{wanted[2:]}"):
        answer = await sign_in_by(host, pair, sign_pkey=None, user_hash=named)
        assert answer.status == 200, answer.body
        assert answer.json()["account_id"] == person.grant["account_id"]
    in_cookies = await sign_in_by(host, pair, cookies=True, label="phone")
    assert "token" not in in_cookies.json()
    items = (await person.get("/v1/sessions")).json()["items"]
    assert {item["method"] for item in items} == {"password", "pq_key"}
    assert "phone" in {item["label"] for item in items}
    # Once more is no fault.
    assert (await link(person, pair)).status == 201
    assert len(await ways_of(person)) == 2


async def test_unpadded_base64_and_alg_are_taken(host: RunningHost, pair: KeyPair) -> None:
    """As the seed's clients send it; alg must be the truth."""
    person = await sign_up(host)
    await link(person, pair)
    challenge = await _challenge(host)
    body = {name: str(value).rstrip("=") for name, value in pair.proof(challenge).items()}
    kind = "ML-DSA-87" if len(pair.public) == 2592 else "Ed25519"
    answer = await host.ask("POST", _OPEN, json={**body, "alg": kind})
    assert answer.status == 200, answer.body
    body["alg"] = "Ed25519" if kind == "ML-DSA-87" else "ML-DSA-87"
    assert_problem(await host.ask("POST", _OPEN, json=body), 400, "bad_request", members={"errors"})


async def test_a_challenge_holds_once(host: RunningHost, pair: KeyPair) -> None:
    """Of twenty uses at once one wins; a wrong signature uses it up, too."""
    person = await sign_up(host)
    await link(person, pair)
    body = pair.proof(await _challenge(host))
    answers = await asyncio.gather(*(host.ask("POST", _OPEN, json=body) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 19
    challenge = await _challenge(host)
    forged = pair.proof(challenge, signature=pair.sign("something else"))
    assert (await host.ask("POST", _OPEN, json=forged)).status == 401
    assert (await host.ask("POST", _OPEN, json=pair.proof(challenge))).status == 401


async def test_a_malformed_proof_leaves_the_challenge(host: RunningHost, pair: KeyPair) -> None:
    """Shape is judged first: 400 naming the members, and the challenge still holds."""
    person = await sign_up(host)
    await link(person, pair)
    challenge = await _challenge(host)
    for change, field in (
        ({"signature": "!"}, "signature"),
        ({"signature": b64(b"x" * 63)}, "signature"),
        ({"signature": None}, "signature"),
        ({"signature": 7}, "signature"),
        ({"sign_pkey": b64(b"x" * 31)}, "sign_pkey"),
        ({"sign_pkey": None}, "user_hash"),
        ({"sign_pkey": None, "user_hash": "01ab"}, "user_hash"),
        ({"user_hash": "01" + "ab" * 64}, "user_hash"),
        ({"challenge_id": None}, "challenge_id"),
        ({"alg": "none"}, "alg"),
        ({"audience": "everything"}, "audience"),
    ):
        answer = await host.ask("POST", _OPEN, json=pair.proof(challenge, **change))
        document = assert_problem(answer, 400, "bad_request", members={"errors"})
        assert field in {error["field"] for error in document["errors"]}, change
    assert (await host.ask("POST", _OPEN, json=pair.proof(challenge))).status == 200


async def test_every_other_refusal_reads_the_same(host: RunningHost, pair: KeyPair) -> None:
    """Unknown key, disabled account, wrong, old, foreign, altered challenge, removed key."""
    person, closed = await sign_up(host), await sign_up(host, "closed")
    shut = KeyPair()
    await link(person, pair)
    await link(closed, shut)
    await store.disable(host.env, closed.grant["account_id"])
    mine = await person.ask("POST", f"{_LINK}/challenge")
    refresh = person.grant["refresh_token"]
    good = await _challenge(host)
    altered = {**good, "challenge_id": good["challenge_id"][:-2] + "AA"}
    other = "Ed25519" if len(pair.public) == 2592 else "ML-DSA-87"
    tries = [
        KeyPair().proof(await _challenge(host)),
        KeyPair("Ed25519").proof(await _challenge(host)),
        shut.proof(await _challenge(host)),
        pair.proof(mine.json()),
        pair.proof(altered),
        pair.proof({**good, "challenge_id": refresh}),
        pair.proof({**good, "challenge_id": "é"}),
        pair.proof({**good, "challenge": "0" * 64}),
        # The user hash of one kind of key with a signature of the other kind.
        KeyPair(other).proof(
            await _challenge(host), sign_pkey=None, user_hash=user_hash(pair.public)
        ),
    ]
    late = pair.proof(await _challenge(host))
    answers = [await host.ask("POST", _OPEN, json=body) for body in tries]
    later(host, 61)
    answers.append(await host.ask("POST", _OPEN, json=late))
    told = {
        tuple((name, value) for name, value in answer.json().items() if name != "request_id")
        for answer in answers
    }
    assert len(told) == 1, told
    assert_problem(answers[0], 401, "unauthorized")


async def test_a_removed_key_opens_nothing(host: RunningHost, pair: KeyPair) -> None:
    """And may be linked elsewhere then."""
    person = await sign_up(host)
    await link(person, pair)
    key = next(way for way in await ways_of(person) if way["kind"] == "pq_key")
    assert (await person.ask("DELETE", f"/v1/identities/{key['id']}")).status == 204
    assert (await sign_in_by(host, pair)).status == 401
    assert (await link(await sign_up(host, "bob"), pair)).status == 201


async def test_linking_needs_a_challenge_of_this_account(host: RunningHost, pair: KeyPair) -> None:
    """Not one to sign in, of somebody else, used, or signed by another key: 422, nothing linked."""
    alice, bob = await sign_up(host), await sign_up(host, "bob")
    for challenge in (
        await _challenge(host),
        (await bob.ask("POST", f"{_LINK}/challenge")).json(),
    ):
        answer = await alice.ask("POST", _LINK, json=pair.proof(challenge))
        assert_problem(answer, 422, "unprocessable", members={"errors"})
    own = (await alice.ask("POST", f"{_LINK}/challenge")).json()
    forged = pair.proof(own, signature=pair.sign("0" * 64))
    assert (await alice.ask("POST", _LINK, json=forged)).status == 422
    assert (await alice.ask("POST", _LINK, json=pair.proof(own))).status == 422
    assert len(await ways_of(alice)) == 1
    # A challenge to link opens no session either.
    await link(alice, pair)
    own = (await alice.ask("POST", f"{_LINK}/challenge")).json()
    assert (await host.ask("POST", _OPEN, json=pair.proof(own))).status == 401


async def test_a_signature_of_another_kind_of_key_opens_nothing(host: RunningHost) -> None:
    """
    Not even one that anybody can make: for a key of small order, as the one that nobody has.

    With S = 0 and R of small order it holds for a fourth of all texts.
    """
    person, pair = await sign_up(host), KeyPair()
    await link(person, pair)
    for _ in range(200):
        challenge = await _challenge(host)
        made = [bytes(32), bytes(31) + b"\x80", b"\x01" + bytes(31)]
        for forged in (point + bytes(32) for point in made):
            text = challenge["challenge"].encode()
            if await host.env.tools.crypto.verify_ed25519(bytes(32), text, forged):
                body = pair.proof(challenge, sign_pkey=None, signature=b64(forged))
                body["user_hash"] = user_hash(pair.public)
                assert (await host.ask("POST", _OPEN, json=body)).status == 401
                return
    raise AssertionError("no signature was found")


# RFC 8032: the points of small order, and forms in which y is written as y + p.
_SMALL = (
    *("0100000000000000000000000000000000000000000000000000000000000000",),
    *("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",),
    *("0000000000000000000000000000000000000000000000000000000000000000",),
    *("0000000000000000000000000000000000000000000000000000000000000080",),
    *("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",),
    *("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",),
    *("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",),
    *("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",),
    *("f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",),
    # On no curve at all.
    *("0200000000000000000000000000000000000000000000000000000000000000",),
)


@pytest.mark.parametrize("key", _SMALL)
async def test_a_key_under_which_everybody_can_sign_is_not_linked(
    host: RunningHost, key: str
) -> None:
    """Small order, another spelling, no point: refused by name, whatever the signature says."""
    person, pair = await sign_up(host), KeyPair("Ed25519")
    public = bytes.fromhex(key)
    signature = b64(b"\x01" + bytes(63))
    answer = await link(person, pair, sign_pkey=b64(public), signature=signature)
    problem = assert_problem(answer, 400, "bad_request", members=["errors"])
    assert [(one["field"], one["error_code"]) for one in problem["errors"]] == [
        ("sign_pkey", "weak_key")
    ]


async def test_a_weak_key_that_was_linked_before_opens_nothing(host: RunningHost) -> None:
    """A database of an older version may hold one."""
    person, weak = await sign_up(host), bytes.fromhex(_SMALL[0])
    way = Way("pq_key", [("", user_hash(weak))], b64(weak))
    await store.add(host.env, person.grant["account_id"], way)
    for _ in range(4):
        challenge = await _challenge(host)
        body = {
            "user_hash": user_hash(weak),
            "challenge_id": challenge["challenge_id"],
            "signature": b64(b"\x01" + bytes(63)),
        }
        assert_problem(await host.ask("POST", _OPEN, json=body), 401, "unauthorized")


async def test_guessing_slows_down(tmp_path: Path) -> None:
    """As with passwords: the guard counts by user hash; a good sign-in from there goes on."""
    async with running_host(tmp_path / "state", RATE_LIMITS="on") as host:
        person = await sign_up(host)
        pair = KeyPair()
        await link(person, pair)
        named = user_hash(pair.public)
        statuses = []
        for _ in range(8):
            challenge = {"challenge_id": "x", "challenge": "0" * 64}
            body = KeyPair().proof(challenge, sign_pkey=None, user_hash=named)
            statuses.append((await host.ask("POST", _OPEN, json=body)).status)
        # The door's own limit would hold two tries longer.
        assert statuses[:6] == [401] * 5 + [429]
