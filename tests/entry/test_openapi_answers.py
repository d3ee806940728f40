"""
What the doors answer is what openapi.yaml says: status, media type, headers and body.

Each door of GET is asked with the examples of the document, with and without a token; then
schemathesis asks every door what the document allows and forbids. A new door is covered by being in
the document.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from tests.support.profiles import line, ndjson
from tests.support.running_host import ROOT, Answer, RunningHost
from worker.routes import ROUTES

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))
READS = [path for path, item in DOCUMENT["paths"].items() if "get" in item]
SCOPES = sorted({route.who.scope for route in ROUTES if route.who.scope} | {"profiles:read"})
# Valid and as many invalid ones for each door; with some fifty doors that is over 500 requests.
_EXAMPLES = 6
# What must hold for every answer; whether a request was rightly refused, other tests judge.
_CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.mark.parametrize("path", READS)
async def test_a_read_is_answered_as_described(host: RunningHost, path: str) -> None:
    """With its examples as parameters: a caller with every scope, a stranger, and nothing given."""
    stored = await host.send_profiles(
        ndjson([line("usr_demo00000000"), b"{broken"]), "?id=imp_20261121080000_a1b2c3"
    )
    assert stored.status == 207
    operation = DOCUMENT["paths"][path]["get"]
    address = _address(path, operation)
    known = host.bearer(*SCOPES)

    answer = await host.get(address, headers=known)
    _check(operation, answer)
    _check(operation, await host.get(address))
    _check(operation, await host.get(address.partition("?")[0], headers=known))
    etag = answer.headers.get("ETag")
    if etag is not None:
        _check(operation, await host.get(address, headers={**known, "If-None-Match": etag}))


async def test_the_examples_lead_to_something(host: RunningHost) -> None:
    """The test above sees real bodies: the document's own examples are found."""
    await host.send_profiles(line("usr_demo00000000"), "?id=imp_20261121080000_a1b2c3")
    for path in ("/api/profiles/item", "/api/profiles/import/report", "/docs/{file}"):
        address = _address(path, DOCUMENT["paths"][path]["get"])
        assert (await host.get(address, headers=host.bearer(*SCOPES))).status == 200, address


async def test_no_request_is_answered_in_a_way_that_is_not_described(host: RunningHost) -> None:
    """Valid and invalid requests for every door: no 5xx, no surprise in status, type or body."""
    await asyncio.to_thread(_fuzz, host.url, host.bearer(*SCOPES))


def _address(path: str, operation: Mapping[str, Any]) -> str:
    query = []
    for parameter in map(_follow, operation.get("parameters", [])):
        value = parameter.get("example")
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(value))
        elif parameter["in"] == "query" and parameter.get("required"):
            query.append(f"{parameter['name']}={value}")
    return f"{path}?{'&'.join(query)}" if query else path


def _check(operation: Mapping[str, Any], answer: Answer) -> None:
    """Fail unless *answer* is one of those that *operation* describes."""
    told = f"{operation['operationId']} answered {answer.status} {answer.body[:300]!r}"
    responses = operation["responses"]
    assert str(answer.status) in responses, told
    response = _follow(responses[str(answer.status)])
    headers = response.get("headers", {})
    needed = [name for name, header in headers.items() if header.get("required")]
    assert [name for name in needed if name not in answer.headers] == [], told
    content = response.get("content")
    if content is None:
        assert answer.body == b"", told
        return
    media_type = answer.headers["Content-Type"].partition(";")[0]
    assert media_type in content, told
    if media_type == "application/json" or media_type.endswith("+json"):
        schema = {**content[media_type]["schema"], "components": DOCUMENT["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def _follow(value: Any) -> Any:
    while "$ref" in value:
        kind, name = value["$ref"].split("/")[-2:]
        value = DOCUMENT["components"][kind][name]
    return value


def _fuzz(url: str, headers: Mapping[str, str]) -> None:
    load_all_checks()
    checks = CHECKS.get_by_names(_CHECKED)
    with requests.Session() as session:

        def ask(case: Any) -> None:
            response = case.call(base_url=url, headers=headers, session=session)
            case.validate_response(response, checks=checks)

        for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations():
            operation = found.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _with_examples(operation.as_strategy(generation_mode=mode), ask)


def _with_examples(strategy: Any, ask: Callable[[Any], None]) -> None:
    @settings(
        max_examples=_EXAMPLES,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(strategy)
    def asking(case: Any) -> None:
        ask(case)

    # A door that takes nothing has no invalid requests.
    with contextlib.suppress(Unsatisfiable):
        asking()


@schemathesis.serializer("application/x-ndjson", "application/gzip")
def _as_bytes(ctx: Any, value: Any) -> bytes:
    """Send what was made for these media types: text as it is, anything else as JSON."""
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")
