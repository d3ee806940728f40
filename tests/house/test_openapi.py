"""openapi.yaml and the route table tell the same story."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from schemathesis.specs.openapi.definitions import OPENAPI_31

from scripts.api_page.document import AREAS, HEAD, areas, join, parse
from worker.errors import Problem
from worker.routes import ROUTES

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))
METHODS = ("get", "post", "put", "patch", "delete")


def _operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): item[method]
        for path, item in DOCUMENT["paths"].items()
        for method in METHODS
        if method in item
    }


def test_the_joined_file_is_current() -> None:
    """openapi.yaml is what `edgekeep docs` makes of docs/openapi/, and means what they mean."""
    text = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    assert text == join(ROOT), "run edgekeep docs"

    merged: dict[str, Any] = {}
    for path in (ROOT / AREAS / HEAD, *areas(ROOT)):
        _merge(merged, parse(path.read_text(encoding="utf-8")))
    assert merged == DOCUMENT


def test_no_area_names_the_doors_of_another() -> None:
    """Each file has the tag of its name, and every door in it belongs there."""
    for path in areas(ROOT):
        part = parse(path.read_text(encoding="utf-8"))
        assert set(part) <= {"tags", "paths", "components"}
        name = path.stem.replace("_", " ")
        assert [tag["name"] for tag in part["tags"]] == [name]
        tags = {
            tag for item in part["paths"].values() for one in item.values() for tag in one["tags"]
        }
        assert tags == {name}, path.name


def test_no_key_stands_twice() -> None:
    """YAML would keep the last silently: of a path, of a schema, of two areas or of one."""
    text = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    twice = [
        f"line {key.start_mark.line + 1}: {key.value}"
        for node in _mappings(yaml.compose(text))
        for number, (key, _) in enumerate(node.value)
        if key.value in [other.value for other, _ in node.value[:number]]
    ]
    assert twice == []


def test_every_open_door_has_a_summary() -> None:
    """One line: `edgekeep routes`, docs/doors.md and the console show it."""
    for operation in _operations().values():
        assert operation["summary"].endswith(".")
        assert len(operation["summary"]) <= 100


def test_every_open_door_is_described_and_nothing_else() -> None:
    """The document names exactly the doors that something stands behind."""
    doors = {(route.method, route.path) for route in ROUTES if not route.planned}
    assert set(_operations()) == doors


def test_who_may_call_is_what_the_route_table_says() -> None:
    """A door that needs a scope names it, one for people takes tokens and their cookies, too."""
    for route in ROUTES:
        if route.planned:
            continue
        schemes = _operations()[route.method, route.path].get("security", DOCUMENT["security"])
        if route.who.scope:
            assert {"bearer": [route.who.scope]} in schemes
            assert {} not in schemes
            assert ({"queryToken": []} in schemes) == route.who.query_token
        elif route.who.closed:
            assert {"bearer": []} in schemes
            assert {} not in schemes
            assert ({"session": []} in schemes) == route.who.takes("api")
        else:
            assert {} in schemes


# Signing in and out, changing a password: what little they store is what the floor is left for.
GOES_ON_WHEN_FULL = {
    *("/v1/users/me/password", "/v1/sessions", "/v1/sessions/refresh", "/v1/tokens", "/v1/tickets"),
    *("/auth/login", "/api/auth/signout", "/api/auth/magic-link", "/v1/sessions/key/challenge"),
    *("/v1/sessions/key", "/v1/identities/email", "/v1/identities/email/verify"),
    *("/v1/identities/key/challenge", "/api/profiles/import/abandon", "/api/auth/magic-link/code"),
}


def test_doors_that_store_say_that_the_disk_may_be_full() -> None:
    """Doors that take something in store it, or are among those that go on on a full disk."""
    for route in ROUTES:
        if route.planned:
            continue
        if route.method in ("POST", "PUT", "PATCH"):
            assert route.stores != (route.path in GOES_ON_WHEN_FULL), route.path
        said = "507" in _operations()[route.method, route.path]["responses"]
        assert said == (route.stores or route.path == "/readyz"), route.path


def test_every_status_that_is_described_can_be_given() -> None:
    """The refusals of the document are statuses that some problem has."""
    given = {problem.status for problem in _all_problems(Problem)}
    for operation in _operations().values():
        refusals = {int(status) for status in operation["responses"] if int(status) >= 400}
        assert refusals <= given


def test_the_document_is_valid_openapi() -> None:
    """It satisfies the official schema of OpenAPI 3.1, and each schema in it is one."""
    faults = [
        f"{error.json_path}: {error.message[:200]}"
        for error in jsonschema.Draft202012Validator(OPENAPI_31).iter_errors(DOCUMENT)
    ]

    assert faults == []
    for schema in _schemas(DOCUMENT):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_parameter_of_a_path_is_described() -> None:
    """A segment in braces has a required parameter of its name, and no other path parameter is."""
    for (method, path), operation in _operations().items():
        common = DOCUMENT["paths"][path].get("parameters", [])
        given = [_followed(one) for one in (*common, *operation.get("parameters", []))]
        in_path = {one["name"]: one for one in given if one["in"] == "path"}
        assert set(in_path) == set(re.findall(r"{(\w+)}", path)), f"{method} {path}"
        assert all(one["required"] is True and "schema" in one for one in in_path.values())


def test_every_door_has_a_described_area() -> None:
    """Tags are those of the list at the top, so that the page has a section for each door."""
    areas = {tag["name"] for tag in DOCUMENT["tags"]}

    for operation in _operations().values():
        assert len(operation["tags"]) == 1
        assert set(operation["tags"]) <= areas


def test_the_document_has_the_version_of_the_package() -> None:
    """Readers see which version they look at; addresses are relative to where it was read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert DOCUMENT["info"]["version"] == project["version"]
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]


def test_references_lead_somewhere() -> None:
    """No `$ref` is broken, and operation ids are unique."""
    for reference in _references(DOCUMENT):
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    names = [operation["operationId"] for operation in _operations().values()]
    assert len(names) == len(set(names))


def test_no_text_was_cut_at_a_comma() -> None:
    """In `{ description: One, two. }` YAML reads a second key without a value."""
    assert _without_value(DOCUMENT) == []


def _merge(into: dict[str, Any], part: dict[str, Any]) -> None:
    for key, value in part.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = into.get(key, []) + value if isinstance(value, list) else value


def _mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)


def _without_value(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [name for name, child in value.items() if child is None]
        return own + [found for child in value.values() for found in _without_value(child)]
    if isinstance(value, list):
        return [found for child in value for found in _without_value(child)]
    return []


def _all_problems(root: type[Problem]) -> list[type[Problem]]:
    return [root, *(found for child in root.__subclasses__() for found in _all_problems(child))]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for child in value.values() for found in _references(child)]
    if isinstance(value, list):
        return [found for child in value for found in _references(child)]
    return []


def _followed(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    place: Any = DOCUMENT
    for step in value["$ref"].removeprefix("#/").split("/"):
        place = place[step]
    return _followed(place)


def _schemas(value: Any) -> list[Any]:
    if isinstance(value, dict):
        own = [value["schema"]] if "schema" in value else []
        named = value.get("schemas")
        own += list(named.values()) if isinstance(named, dict) else []
        return own + [found for child in value.values() for found in _schemas(child)]
    if isinstance(value, list):
        return [found for child in value for found in _schemas(child)]
    return []
