"""`edgekeep routes`: the table of doors as it is enforced."""

import json

import pytest

from scripts.cli.doors import how_often, who_may
from tests.support.verbs import edgekeep
from worker.identity.caller import ANYONE, PERSON, Who
from worker.limits import RateLimit
from worker.routes import ROUTES


def test_every_open_door_is_printed_once() -> None:
    """Method, path and who may call; planned ones only with --all."""
    lines = edgekeep("routes").stdout.splitlines()[1:]
    assert [tuple(line.split()[:2]) for line in lines] == [
        (route.method, route.path) for route in ROUTES if not route.planned
    ]
    assert len(edgekeep("routes", "--all").stdout.splitlines()) == len(ROUTES) + 1


def test_scripts_get_what_the_table_says() -> None:
    """The members of each door by the row that the Worker obeys."""
    told = json.loads(edgekeep("routes", "--all", "--json").stdout)
    for one, route in zip(told, ROUTES, strict=True):
        assert (one["method"], one["path"]) == (route.method, route.path)
        assert one["open_to_strangers"] is not route.who.closed
        assert (one["scope"] or "") == route.who.scope
        assert one["audience"] == route.who.audience
        assert one["planned"] is bool(route.planned)
        assert (one["limit"] is None) is (route.limit is None)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (ANYONE, "anyone"),
        (PERSON, "signed in"),
        (Who(person=True, recent=True), "signed in within 10 min"),
        (Who(recent=True), "signed in within 10 min"),
        (Who("a:b"), "scope a:b"),
        (Who("a:b", person=True), "scope a:b + signed in"),
        (Who("a:b", query_token=True), "scope a:b (or ?token=)"),
        (Who(audience="relay"), "a token, for relay"),
        (Who(person=True, audience="any"), "signed in, any audience"),
    ],
)
def test_who_may_call_in_words(who: Who, words: str) -> None:
    """No condition is left out."""
    assert who_may(who) == words


def test_how_often_in_words() -> None:
    """Per second, or one in so many seconds."""
    assert how_often(None) == "-"
    assert how_often(RateLimit("x", 10, 20, "account")) == "10/s, burst 20, by account"
    assert how_often(RateLimit("x", 1 / 6, 10, "address")) == "1 in 6 s, burst 10, by address"
