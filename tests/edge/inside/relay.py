"""
An exchange over the relay inside Pyodide: Inbox actors, frames, D1. TEST ONLY.

Sockets and actors are the laptop's (see main.py), so this proves what they have in common with the
edge: the portable slice, Protobuf in pure Python, the look-ups in D1.
"""

import json
from typing import Any

from durable.local_socket import LocalSocket, local_pair
from worker.entry.edge_tools import EdgeTools
from worker.env import Env
from worker.relay import relay_pb2 as pb
from worker.web import Request

_ACCOUNT = (
    "INSERT OR IGNORE INTO accounts (id, role, created_at, last_active_at) "
    "VALUES (?, 'owner', 1, 1)"
)
_WAY_IN = (
    "INSERT OR IGNORE INTO identities (account_id, kind, issuer, subject, secret, created_at) "
    "VALUES (?, 'password', '', ?, 'x', 1)"
)
ADA = "01a1fede-8ac0-7920-9735-000000000001"
BOB = "01a1fede-8ac0-7920-9735-000000000002"


class _Tools(EdgeTools):
    """The edge's ports, but for sockets."""

    __slots__ = ()

    def socket_pair(self) -> tuple[Any, Any]:
        """Return a pair in memory."""
        return local_pair()


async def exchange(env: Env, context: Any) -> str:
    """Send a message twice and read it; return what both sides heard, as JSON."""
    env.tools = _Tools(context)
    for account_id, name in ((ADA, "ada"), (BOB, "bob")):
        await env.db.prepare(_ACCOUNT).bind(account_id).run()
        await env.db.prepare(_WAY_IN).bind(account_id, name).run()
    ada = await _socket(env, ADA, "ada", is_json=False)
    bob = await _socket(env, BOB, "bob", is_json=True)
    frame = pb.ClientFrame(seq=1, send=pb.Send(to="BOB", ciphertext=b"hello", client_id="c"))
    heard = []
    for seq in (1, 2):
        frame.seq = seq
        ada.send(frame.SerializeToString())
        answer = pb.ServerFrame.FromString(await ada.receive())
        heard.append([answer.seq, answer.WhichOneof("event"), answer.sent.duplicate])
    ada.send(b"\xff")
    heard.append([0, pb.ServerFrame.FromString(await ada.receive()).error.code, False])
    bob.send('{"seq":1,"subscribe":{}}')
    told = [json.loads(str(await bob.receive())) for _ in range(2)]
    return json.dumps({"ada": heard, "bob": told})


async def _socket(env: Env, account_id: str, name: str, *, is_json: bool) -> LocalSocket:
    principal = {
        "sid": "session",
        "until_ms": str(env.now_ms() + 600_000),
        "name": name,
        "ack": "0",
        "json": "1" if is_json else "0",
        "spared": "1",
        "protocol": "",
    }
    request = Request("GET", "/ws").forward("/socket", principal)
    response = await env.inbox.get_by_name(account_id).fetch(request)
    end: LocalSocket = response.web_socket
    return end
