"""
Requests of the console to the Worker itself, in this process and through its front door.

So what the console does to imports is what any client could do: same checks, same log line (its
caller is "console"), same answers.
"""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from worker.identity.tokens import issue
from worker.web import Headers, Request, Response

if TYPE_CHECKING:
    from worker.entry.console.frame import Console

SUBJECT: Final = "console"
_SCOPES: Final = ["profiles:import", "profiles:audit"]
_MINUTES: Final = 5


async def ask(
    console: "Console",
    method: str,
    path: str,
    query: dict[str, str],
    headers: dict[str, str] | None = None,
    body: AsyncIterator[bytes] | None = None,
) -> Response:
    """Send a request with a token of its own that lives some minutes; never raises."""
    env = console.env
    token = issue(env.settings.signing_keys, SUBJECT, _SCOPES, env.tools.now(), _MINUTES)
    sent = Headers({"Authorization": f"Bearer {token}", **(headers or {})})
    request = Request(method, path, urlencode(query), sent, b"" if body is None else body)
    return await console.worker.handle(request, env)


def document(response: Response) -> dict[str, Any]:
    """Return the JSON object that *response* holds, {} when it holds none."""
    if not isinstance(response.body, bytes):
        return {}
    found = json.loads(response.body or b"{}")
    return found if isinstance(found, dict) else {}
