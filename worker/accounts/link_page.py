"""
What a browser shows that opened a link of a mail: a heading and a sentence, or the refusal.

No script, style or image, so the policy of all answers holds here too (`worker.wire.safe_headers`).
"""

from worker.accounts.answers import NO_STORE
from worker.errors import Problem
from worker.web import Request, Response

_PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
    "<title>{title}</title></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>\n"
)


def wanted(request: Request) -> bool:
    """Whether a person waits for *request*, not a program."""
    return "text/html" in (request.headers.get("accept") or "")


def page(title: str, text: str, status: int = 200) -> Response:
    """Return a page; *title* and *text* are ours and need no escapes."""
    headers = {"Content-Type": "text/html; charset=utf-8", **NO_STORE}
    return Response(_PAGE.format(title=title, text=text).encode(), status, headers)


def refused(problem: Problem) -> Response:
    """Return *problem* as a page."""
    answer = page(problem.title, problem.detail, problem.status)
    answer.headers |= problem.headers
    return answer
