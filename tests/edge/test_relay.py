"""The relay in real workerd, as far as the runtime of 2024 can: without Durable Objects."""

import base64

from tests.edge.edge_host import EdgeHost
from tests.support.problems import assert_problem


async def test_the_slice_works_in_pyodide(host: EdgeHost) -> None:
    """Frames in pure-Python Protobuf and JSON, Inbox actors, names looked up in D1."""
    answer = await host.get("/__edge_relay")
    assert answer.status == 200, answer.body
    heard = answer.json()
    assert heard["ada"] == [[1, "sent", False], [2, "sent", True], [0, "bad_frame", False]]
    subscribed, pushed = heard["bob"]
    assert subscribed == {"seq": 1, "subscribed": {"active": True, "waiting": 1}}
    assert base64.b64decode(pushed["message"]["ciphertext"]) == b"hello"
    assert pushed["message"]["sender_name"] == "ada"


async def test_the_door_asks_for_a_token_and_an_upgrade(host: EdgeHost) -> None:
    """As on a laptop."""
    assert_problem(await host.get("/ws"), 401, "unauthorized")
