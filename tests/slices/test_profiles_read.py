"""Reading profiles: item, list, count, export, for both stores."""

import itertools
import json
from typing import Any

import pytest

from tests.support.problems import assert_problem
from tests.support.profiles import encode, ids, line, many, ndjson, profile, profile_v2
from tests.support.running_host import RunningHost

READER = "profiles:read"


async def walk(host: RunningHost, limit: int) -> list[list[str]]:
    """Follow the cursors from the first page to the last; return the ids of each."""
    pages: list[list[str]] = []
    cursor = ""
    while True:
        answer = await host.get(f"/api/profiles?limit={limit}&cursor={cursor}")
        assert answer.status == 200
        page = answer.json()
        assert set(page) == {"items", "list_complete", "next_cursor"}
        pages.append([item["id"] for item in page["items"]])
        assert page["list_complete"] is (page["next_cursor"] is None)
        if page["list_complete"]:
            return pages
        cursor = page["next_cursor"]


async def test_an_empty_store_answers_empty(either: RunningHost) -> None:
    """No profiles: count 0, one empty page, an empty export, no item."""
    assert await either.total() == 0
    assert await walk(either, 100) == [[]]
    assert await either.stored() == []
    assert_problem(await either.get("/api/profiles/item?id=usr_aaaaaa"), 404, "not_found")


@pytest.mark.parametrize("count", [1, 100, 1000, 2345])
async def test_pages_cover_every_profile_once_and_in_order(either: RunningHost, count: int) -> None:
    """Whatever the number, the pages together are all ids in order, without twins or holes."""
    assert (await either.send_profiles(many(count))).json()["profiles_stored"] == count
    assert await either.total() == count
    for limit in (100, 1000):
        pages = await walk(either, limit)
        assert list(itertools.chain(*pages)) == ids(count)
        assert all(len(page) <= limit for page in pages)
        assert len(pages) <= count // limit + 1
    assert [one["profile_id"] for one in await either.stored()] == ids(count)


async def test_the_page_size_is_100_when_none_is_asked_for(either: RunningHost) -> None:
    """Default 100 (facts X23)."""
    await either.send_profiles(many(101))
    page = (await either.get("/api/profiles")).json()
    assert [item["id"] for item in page["items"]] == ids(100)
    assert page["list_complete"] is False


async def test_a_list_goes_on_where_it_stood_while_profiles_come(either: RunningHost) -> None:
    """A profile stored between two pages moves neither: nothing is told twice or left out."""
    await either.send_profiles(many(6))
    first = (await either.get("/api/profiles?limit=3")).json()
    await either.send_profiles(ndjson([line("usr_0000000"), line("usr_000004z")]))
    rest = (await either.get(f"/api/profiles?limit=9&cursor={first['next_cursor']}")).json()
    got = [item["id"] for item in first["items"] + rest["items"]]
    assert got == [*ids(5), "usr_000004z", ids(6)[5]]


@pytest.mark.parametrize(
    "limit", ["0", "-1", "1001", "abc", "", "1.5", "1e2", "٣", " 5", "9" * 5000]
)
async def test_a_limit_outside_1_to_1000_is_refused(host: RunningHost, limit: str) -> None:
    """Not clamped, not guessed."""
    answer = await host.get("/api/profiles", params={"limit": limit})
    assert_problem(answer, 400, "bad_request")


@pytest.mark.parametrize("limit", ["1", "1000", "007"])
async def test_a_limit_from_1_to_1000_is_taken(host: RunningHost, limit: str) -> None:
    """Both ends belong to it."""
    assert (await host.get("/api/profiles", params={"limit": limit})).status == 200


async def test_a_tampered_cursor_is_refused(either: RunningHost) -> None:
    """One character changed, cut, extended or made up: 400, and the list says start again."""
    await either.send_profiles(many(3))
    cursor = (await either.get("/api/profiles?limit=1")).json()["next_cursor"]
    swapped = "A" if cursor[-1] != "A" else "B"
    head = "B" if cursor[0] != "B" else "C"
    for wrong in (
        cursor[:-1] + swapped,
        head + cursor[1:],
        cursor[:-1],
        cursor + "A",
        cursor + "=",
        cursor.swapcase(),
        "usr_000001",
        "x",
        "\0",
        "'; DROP TABLE profiles --",
        "é",
    ):
        answer = await either.get("/api/profiles", params={"limit": "1", "cursor": wrong})
        assert_problem(answer, 400, "invalid_cursor")


async def test_a_cursor_of_another_deployment_or_store_is_refused(
    host: RunningHost, tmp_path: Any
) -> None:
    """The seal is bound to the key and to the store."""
    from tests.support.running_host import running_host

    await host.send_profiles(many(2))
    cursor = (await host.get("/api/profiles?limit=1")).json()["next_cursor"]
    for variables in ({"PROFILE_STORE": "d1"}, {"CURSOR_KEY": "A" * 43}):
        async with running_host(tmp_path / "other", **variables) as other:
            answer = await other.get(f"/api/profiles?cursor={cursor}")
            assert_problem(answer, 400, "invalid_cursor")


async def test_strangers_get_a_profile_without_its_birthday(either: RunningHost) -> None:
    """Only the age is public; with the scope profiles:read the document comes as it was sent."""
    sent = profile("usr_secret", birthday="1990-05-06")
    await either.send_profiles(encode(sent))
    door = "/api/profiles/item?id=usr_secret"
    shown = (await either.get(door)).json()
    assert "birthday" not in json.dumps(shown)
    assert shown["profile"]["identity"]["age"] == 35
    del sent["profile"]["identity"]["birthday"]
    assert shown == sent
    other = await either.get(door, headers=either.bearer("profiles:import"))
    assert other.json() == sent
    mine = await either.get(door, headers=either.bearer(READER))
    assert mine.json() == profile("usr_secret", birthday="1990-05-06")


async def test_an_old_profile_can_be_read_as_the_new_version(either: RunningHost) -> None:
    """schema_version= upgrades on read; a document that is newer stays what it is."""
    await either.send_profiles(ndjson([line("usr_oldold"), encode(profile_v2("usr_newnew"))]))
    reader = either.bearer(READER)
    for wanted, name, expected in (
        ("user_profile.v2", "usr_oldold", {"languages": [], "traits": []}),
        ("user_profile.v2", "usr_newnew", profile_v2()["persona_settings"]),
        ("user_profile.v1", "usr_newnew", profile_v2()["persona_settings"]),
    ):
        query = f"id={name}&schema_version={wanted}"
        got = (await either.get(f"/api/profiles/item?{query}", headers=reader)).json()
        assert got["schema_version"] == "user_profile.v2"
        assert got["persona_settings"] == expected
        shown = (await either.get(f"/api/profiles/item?{query}")).json()
        assert "birthday" not in shown["profile"]["identity"]
    as_is = await either.get("/api/profiles/item?id=usr_oldold", headers=reader)
    assert as_is.json() == profile("usr_oldold")


@pytest.mark.parametrize("wrong", ["user_profile.v3", "", "v2", "1"])
async def test_an_unknown_version_is_refused(host: RunningHost, wrong: str) -> None:
    """The known versions are named in the answer."""
    answer = await host.get(f"/api/profiles/item?id=usr_aaaaaa&schema_version={wrong}")
    assert "user_profile.v1" in assert_problem(answer, 400, "bad_request")["detail"]


@pytest.mark.parametrize(
    "wrong",
    ["", "usr_", "usr_ab", "USR_ABCDEF", "usr_abcdeF", "usr_abcdef\n", "../usr_abcdef", "usr_ab\0"],
)
async def test_an_id_that_none_can_have_is_refused(host: RunningHost, wrong: str) -> None:
    """400, not 404; without id= as well."""
    answer = await host.get("/api/profiles/item", params={"id": wrong})
    assert_problem(answer, 400, "bad_request")
    assert_problem(await host.get("/api/profiles/item"), 400, "bad_request")


async def test_an_export_imported_again_changes_nothing(either: RunningHost, tmp_path: Any) -> None:
    """Round trip, odd texts included, into the other store and back."""
    from tests.support.running_host import running_host

    odd = [
        profile("usr_quotes", user_name='",":"birthday":"x"', biography="\\ \u2028 \x01 😀 \x7f"),
        profile("usr_escape", interests=["\ud7ff\ue000", "\U0010ffff", "\x85"]),
        profile_v2("usr_second"),
    ]
    spaced = json.dumps(profile("usr_spaced"), indent=None).encode()
    await either.send_profiles(ndjson([*map(encode, odd), spaced, line("usr_zzzzzz", age=13.0)]))
    door, asker = "/api/profiles/export", either.bearer("profiles:export")
    first = await either.get(door, headers=asker)
    assert first.headers["Content-Type"] == "application/x-ndjson"
    assert first.headers["Cache-Control"] == "no-store"
    assert len(first.lines()) == 5
    for store in ("kv", "d1"):
        async with running_host(tmp_path / store, PROFILE_STORE=store) as other:
            assert (await other.send_profiles(first.body)).status == 200
            again = await other.get(door, headers=other.bearer("profiles:export"))
            assert again.lines() == first.lines()
    assert (await either.send_profiles(first.body)).status == 200
    assert (await either.get(door, headers=asker)).body == first.body


async def test_the_newest_import_of_an_id_wins(either: RunningHost) -> None:
    """An id that is there is overwritten by a valid line, and by no invalid one."""
    await either.send_profiles(line(age=20))
    await either.send_profiles(line(age=21))
    await either.send_profiles(line(age=2))
    [only] = await either.stored()
    assert only["profile"]["identity"]["age"] == 21
