"""openapi.yaml and the route table tell the same story."""

from pathlib import Path
from typing import Any

import yaml

from worker.errors import Problem
from worker.routes import ROUTES

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "openapi.yaml").read_text(encoding="utf-8")
)
METHODS = ("get", "post", "put", "patch", "delete")


def _operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): item[method]
        for path, item in DOCUMENT["paths"].items()
        for method in METHODS
        if method in item
    }


def test_every_open_door_is_described_and_nothing_else() -> None:
    """The document names exactly the doors that something stands behind."""
    doors = {(route.method, route.path) for route in ROUTES if not route.planned}
    assert set(_operations()) == doors


def test_scopes_are_those_of_the_route_table() -> None:
    """A door that needs a scope names it, a door for anyone does not demand one."""
    for route in ROUTES:
        if route.planned:
            continue
        schemes = _operations()[route.method, route.path].get("security", DOCUMENT["security"])
        if route.who.scope:
            assert {"bearer": [route.who.scope]} in schemes
            assert {} not in schemes
            assert ({"queryToken": []} in schemes) == route.who.query_token
        else:
            assert {} in schemes


def test_every_status_that_is_described_can_be_given() -> None:
    """The refusals of the document are statuses that some problem has."""
    given = {problem.status for problem in _all_problems(Problem)}
    for operation in _operations().values():
        refusals = {int(status) for status in operation["responses"] if int(status) >= 400}
        assert refusals <= given


def test_references_lead_somewhere() -> None:
    """No `$ref` is broken, and operation ids are unique."""
    for reference in _references(DOCUMENT):
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    names = [operation["operationId"] for operation in _operations().values()]
    assert len(names) == len(set(names))


def _all_problems(root: type[Problem]) -> list[type[Problem]]:
    return [root, *(found for child in root.__subclasses__() for found in _all_problems(child))]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for child in value.values() for found in _references(child)]
    if isinstance(value, list):
        return [found for child in value for found in _references(child)]
    return []
