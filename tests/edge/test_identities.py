"""Mail by webhook, magic links and key pairs in real workerd."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.edge.conftest import edge_host
from tests.edge.edge_host import EdgeHost
from tests.edge.workerd import Workerd, running, worker_options
from tests.support.accounts import PASSWORD, Page, Person, post
from tests.support.key_pairs import KeyPair, link, sign_in_by
from tests.support.ports import free_port
from tests.support.problems import assert_problem
from tests.support.running_host import SECRETS
from tests.support.waiting import PATIENCE

_SECRET = "a secret of the service"


@pytest.fixture(scope="module")
def port() -> int:
    """Where the mail service will be."""
    return free_port()


@pytest.fixture(scope="module")
def with_mail(node: None, port: int) -> Iterator[Workerd]:
    """workerd whose mail goes to a service."""
    mail = {
        "MAIL_FROM": "Ada's place <ada@place.example>",
        "MAIL_WEBHOOK_URL": f"http://127.0.0.1:{port}/mail?key=1",
        "MAIL_WEBHOOK_SECRET": _SECRET,
    }
    with running(worker_options({**SECRETS, **mail}, 0)) as started:
        yield started


@pytest.fixture
async def host(with_mail: Workerd) -> AsyncIterator[EdgeHost]:
    """The Worker there, with empty stores."""
    async with edge_host(with_mail) as started:
        yield started


@pytest.fixture
async def service(port: int) -> AsyncIterator["Service"]:
    """A mail service; the first answer is a 503."""
    service = Service()
    app = web.Application()
    app.router.add_post("/mail", service.take)
    async with TestServer(app, port=port):
        yield service


class Service:
    """What the mail service was asked."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self._answers = [503]

    async def take(self, request: web.Request) -> web.Response:
        """Take a mail, the second time it is offered."""
        await self.asked.put((request.headers["Authorization"], await request.json()))
        return web.Response(status=self._answers.pop() if self._answers else 202)


async def test_a_mail_is_offered_until_it_is_taken_and_its_link_signs_in(
    host: EdgeHost, service: Service
) -> None:
    """Sender, secret, a domain in its ASCII form; then a session in cookies, once."""
    page = Page(host)
    asked = await host.ask("POST", "/api/auth/magic-link", json={"email": "Ada@Bücher.example"})
    assert asked.status == 202, asked.body
    page.keep(asked)
    mails = [await asyncio.wait_for(service.asked.get(), PATIENCE) for _ in range(2)]
    assert mails[0] == mails[1]
    shown, mail = mails[0]
    assert shown == f"Bearer {_SECRET}"
    assert (mail["from"], mail["to"]) == (
        "Ada's place <ada@place.example>",
        "ada@xn--bcher-kva.example",
    )
    path = re.search(r"(/api/auth/magic-link/verify\?token=\S+)", mail["text"])
    assert path is not None
    assert_problem(await host.get(path[1]), 403, "other_browser")
    cookies = {"Cookie": f"__Host-magic={page.cookies['__Host-magic']}"}
    opened = await host.get(path[1], headers=cookies)
    assert opened.status == 200, opened.body
    page.keep(opened)
    assert {"__Host-session", "__Host-refresh", "__Host-csrf"} < set(page.cookies)
    assert_problem(await host.get(path[1], headers=cookies), 401, "invalid_link")


async def test_key_pairs_sign_in_at_the_edge(host: EdgeHost) -> None:
    """ML-DSA-87 in Python, Ed25519 in WebCrypto; a wrong signature opens nothing."""
    made = await post(host, "/v1/users", username="edge_keys", password=PASSWORD)
    person = Person(host, made.json())
    for kind in ("ML-DSA-87", "Ed25519"):
        pair, other = KeyPair(kind), KeyPair(kind)
        linked = await link(person, pair)
        assert linked.status == 201, linked.body
        grant = await sign_in_by(host, pair)
        assert grant.status == 200, grant.body
        assert grant.json()["account_id"] == person.grant["account_id"]
        assert_problem(await sign_in_by(host, other), 401, "unauthorized")
        challenge = (await host.ask("POST", "/v1/sessions/key/challenge")).json()
        forged = pair.proof(challenge, signature=other.sign(challenge["challenge"]))
        answer = await host.ask("POST", "/v1/sessions/key", json=forged)
        assert_problem(answer, 401, "unauthorized")
