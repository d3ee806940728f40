"""The doors of magic links: ask for one, open it, link a mailbox (docs/accounts.md)."""

from worker.accounts import magic_link, store
from worker.accounts.doors.answers import NO_STORE, granted
from worker.accounts.magic_link import MAGIC_LINK_SECONDS, Link
from worker.accounts.model import Fault, Members, fault
from worker.env import Env
from worker.errors import BadRequest, Problem, Unprocessable
from worker.identity import cookies
from worker.identity.caller import Caller
from worker.identity.email_address import RULE, normalise
from worker.identity.sessions import SignIn, begin
from worker.mail import sending as mailing
from worker.web import Request, Response

_PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
    "<title>{title}</title></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>\n"
)


async def ask(request: Request, caller: Caller, env: Env) -> Response:
    """
    Mail a link that signs in, to anybody: the answer and its time say nothing of accounts.

    No account is looked for until the link is opened.
    """
    mailing.require(env)
    cookies.check_origin(request, env)
    address, next_path = await _asked(request)
    nonce = magic_link.nonce_of(request, env)
    link = magic_link.make(env, address, nonce, next_path=next_path)
    return await _mailed(request, env, address, link, nonce)


async def ask_to_link(request: Request, caller: Caller, env: Env) -> Response:
    """Mail a link that makes a mailbox a way into the caller's account."""
    mailing.require(env)
    address, next_path = await _asked(request)
    nonce = magic_link.nonce_of(request, env)
    link = magic_link.make(
        env,
        address,
        nonce,
        next_path=next_path,
        account_id=caller.subject,
        session_id=caller.session_id,
    )
    return await _mailed(request, env, address, link, nonce)


async def verify(request: Request, caller: Caller, env: Env) -> Response:
    """Open a link; HEAD, fetching ahead and another browser leave it whole."""
    if request.method == "HEAD":
        return Response(None, 204, dict(NO_STORE))
    try:
        _refuse_fetching_ahead(request)
        link = magic_link.unseal(env, request.query.get("token", ""))
        magic_link.check_browser(request, env, link)
        if link.account_id:
            return await _link(request, env, link)
        return await _sign_in(request, env, link)
    except Problem as problem:
        if _wants_page(request):
            return _refused(problem)
        raise


async def verify_code(request: Request, caller: Caller, env: Env) -> Response:
    """Sign in with the code of a mail that is read elsewhere, in the browser that asked."""
    cookies.check_origin(request, env)
    members = await Members.of(request)
    address, typed = _addressed(members), members.text("code")
    members.done()
    asked = magic_link.make(env, address, magic_link.nonce_of(request, env))
    link = await magic_link.by_code(env, asked, typed)
    return await _signed_in(env, link)


def _addressed(members: Members) -> str:
    """Return the address in a body, normalised; what is none becomes a fault of *members*."""
    typed = members.text("email")
    try:
        return normalise(typed)
    except ValueError:
        if typed:
            members.fault("email", "format", RULE)
        return ""


async def verify_for_session(request: Request, caller: Caller, env: Env) -> Response:
    """Open a link for a mailbox by its token or, where it was asked for, by email and code."""
    members = await Members.of(request)
    if "code" in members.body:
        address, typed = _addressed(members), members.text("code")
        members.done()
        whose = {"account_id": caller.subject, "session_id": caller.session_id}
        asked = magic_link.make(env, address, magic_link.nonce_of(request, env), **whose)
        link = await magic_link.by_code(env, asked, typed)
    else:
        token = members.text("token")
        members.done()
        link = magic_link.unseal(env, token)
    if (link.account_id, link.session_id) != (caller.subject, caller.session_id):
        raise magic_link.invalid()
    await store.add(env, caller.subject, await magic_link.use(env, link))
    return Response(None, 204, dict(NO_STORE))


async def _asked(request: Request) -> tuple[str, str]:
    """Return the address and the path to go on to; raises `Unprocessable` naming the member."""
    members = await Members.of(request)
    typed, next_path = members.text("email"), members.text("next", needed=False)
    members.done()
    faults: list[Fault] = []
    address = ""
    try:
        address = normalise(typed)
    except ValueError:
        faults.append(fault("email", "format", RULE))
    if next_path and not magic_link.is_local_path(next_path):
        faults.append(fault("next", "format", "next must be a path of this deployment."))
    if faults:
        raise Unprocessable("No link was sent.", errors=faults)
    return address, next_path


async def _mailed(request: Request, env: Env, address: str, link: Link, nonce: str) -> Response:
    await mailing.post(env, magic_link.mail(env, address, link), request.remote)
    answer = Response.json({"expires_in": MAGIC_LINK_SECONDS}, 202, NO_STORE)
    answer.cookies = (magic_link.cookie(nonce),)
    return answer


def _refuse_fetching_ahead(request: Request) -> None:
    """A browser that fetches ahead says so (Fetch, Sec-Purpose); not 2xx: it is to ask again."""
    for name in ("sec-purpose", "purpose", "x-moz"):
        if "prefetch" in (request.headers.get(name) or "").lower():
            raise BadRequest("Open the link; it is not to be fetched ahead.")


async def _signed_in(env: Env, link: Link) -> Response:
    way = await magic_link.use(env, link)
    held = await store.account_for(env, way)
    grant = await begin(env, SignIn(held.account_id, way.kind, secret=held.secret))
    return granted(env, grant, in_cookies=True)


async def _sign_in(request: Request, env: Env, link: Link) -> Response:
    answer = await _signed_in(env, link)
    text = "You can close this page and go on where you asked for the link."
    return _gone_on(request, link, answer, "You are signed in", text)


async def _link(request: Request, env: Env, link: Link) -> Response:
    if not await store.session_holds(env, link.account_id, link.session_id):
        raise magic_link.invalid()
    await store.add(env, link.account_id, await magic_link.use(env, link))
    answer = Response.json({"linked": "email"}, headers=NO_STORE)
    text = "From now on you can sign in by e-mail, too."
    return _gone_on(request, link, answer, "The mailbox is linked", text)


def _gone_on(request: Request, link: Link, answer: Response, title: str, text: str) -> Response:
    """Return *answer*, a page that says the same, or the way to where a page wants to go on."""
    fields = answer.cookies
    if link.next_path:
        answer = Response(None, 303, {"Location": link.next_path, **NO_STORE})
    elif _wants_page(request):
        answer = _page(title, text)
    answer.cookies = fields
    return answer


def _wants_page(request: Request) -> bool:
    """Whether a person waits for *request*, not a program."""
    return "text/html" in (request.headers.get("accept") or "")


def _page(title: str, text: str, status: int = 200) -> Response:
    """
    Return a page: a heading and a sentence; *title* and *text* are ours and need no escapes.

    No script, style or image: the policy of all answers holds (`worker.wire.safe_headers`).
    """
    headers = {"Content-Type": "text/html; charset=utf-8", **NO_STORE}
    return Response(_PAGE.format(title=title, text=text).encode(), status, headers)


def _refused(problem: Problem) -> Response:
    """Return *problem* as a page."""
    answer = _page(problem.title, problem.detail, problem.status)
    answer.headers |= problem.headers
    return answer
