"""The door of the relay: `GET /ws?token=` becomes a socket of the caller's own inbox."""

from worker.env import Env
from worker.errors import UpgradeRequired
from worker.identity.caller import Caller
from worker.identity.usernames import username_of
from worker.limiter.counting import spared
from worker.relay.inbox.frames import JSON, chosen
from worker.web import Request, Response


async def open_socket(request: Request, caller: Caller, env: Env) -> Response:
    """
    Hand the upgrade to the caller's inbox; what it has to know of the caller goes along.

    `ack=1` keeps messages until they are acknowledged. Raises `UpgradeRequired`.
    """
    if (request.headers.get("upgrade") or "").lower() != "websocket":
        raise UpgradeRequired("The relay speaks WebSocket.")
    protocol, frames = chosen(request.headers.get("sec-websocket-protocol") or "")
    until = caller.expires_at
    if caller.method == "ticket":
        # It opens the door and is spent; the socket then lives as long as a token would.
        until = env.tools.now() + env.settings.access_token_minutes * 60
    principal = {
        "sid": caller.session_id,
        "until_ms": str(int(until * 1000)),
        "name": await username_of(env, caller.subject),
        "ack": "1" if request.query.get("ack") == "1" else "0",
        "json": "1" if frames is JSON else "0",
        "spared": "1" if spared(env.settings, request.remote) else "0",
        "protocol": protocol,
    }
    inbox = env.inbox.get_by_name(caller.subject)
    answer: Response = await inbox.fetch(request.forward("/socket", principal))
    return answer
