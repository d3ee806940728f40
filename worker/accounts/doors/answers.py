"""How a grant is answered: in the body for programs, in cookies for pages."""

from typing import Any

from worker.codec import iso_time
from worker.env import Env
from worker.identity import cookies
from worker.identity.sessions import Grant
from worker.web import Response

NO_STORE = {"Cache-Control": "no-store"}


def granted(
    env: Env, grant: Grant, *, in_cookies: bool, status: int = 200, username: str = ""
) -> Response:
    """Answer *grant*; a page's scripts never see its tokens."""
    body: dict[str, Any] = {"account_id": grant.account_id}
    if username:
        body["username"] = username
    body["session_id"] = grant.session_id
    body["expires_at"] = iso_time(grant.expires_at)
    body["refresh_expires_at"] = iso_time(grant.refresh_expires_at)
    if not in_cookies:
        body |= {
            "token": grant.token,
            "token_type": "Bearer",
            "refresh_token": grant.refresh_token,
        }
    answer = Response.json(body, status, NO_STORE)
    if in_cookies:
        answer.cookies = cookies.of_grant(env, grant)
    return answer
