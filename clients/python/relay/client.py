"""The demo's way to the server: account, keys and messages. It raises `RelayError`s."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from clients.python.answers import read_problem, sentence
from clients.python.relay.errors import Refused, RelayError, SealError, Unreachable
from clients.python.relay.home import Home, State
from clients.python.relay.sealing import fingerprint, pack, seal, unpack, unseal

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse

_JSON_FRAMES: Final = "edgekeep.relay.v1.json"
_BATCH: Final = 50
_LOW: Final = 20
# By these codes the server says that the token, not the session, has ended (docs/relay.md).
_TOKEN_EXPIRED: Final = 4401
_PATIENCE: Final = 20

Password = Callable[[], str]
Show = Callable[[str, str, str], None]
Say = Callable[[str], None]


async def register(session: "ClientSession", url: str, name: str, password: str, home: Home) -> str:
    """Make the account with its keys and keep it in *home*; return its fingerprint."""
    state = State(url, name)
    keys = {**state.begin(), "one_time_pre_keys": state.more(_BATCH)}
    body = {"username": name, "password": password, **keys}
    async with session.post("auth/register", json=body) as answer:
        _granted(state, await _read(answer))
    home.save(state)
    return fingerprint(state.identity.public)


async def log_in(session: "ClientSession", url: str, name: str, password: str, home: Home) -> str:
    """Sign in to an account that there is, with new keys kept in *home*; return the fingerprint."""
    state = State(url, name)
    async with session.post("auth/login", json={"username": name, "password": password}) as answer:
        _granted(state, await _read(answer))
    # Its old secrets are elsewhere or lost: another identity, which needs a complete upload.
    keys = {**state.begin(), "one_time_pre_keys": state.more(_BATCH)}
    bearer = {"Authorization": f"Bearer {state.token}"}
    async with session.put("v1/keys", json=keys, headers=bearer) as answer:
        await _read(answer)
    home.save(state)
    return fingerprint(state.identity.public)


class Client:
    """One account of *home* at its server."""

    def __init__(self, session: "ClientSession", home: Home, password: Password) -> None:
        self._session = session
        self._home = home
        self._password = password

    async def send(self, to: str, text: str, *, accept: bool) -> tuple[str, bool]:
        """
        Send *text*, sealed with a new bundle; return the fingerprint, and whether it was new.

        Raises `Refused` for another identity key than was seen before, unless told to *accept* it.
        """
        headers = await self._bearer()
        async with self._session.get(f"keys/{quote(to, safe='')}", headers=headers) as answer:
            bundle = await _read(answer)
        with self._home.edit() as state:
            key = _identity_of(bundle)
            is_new = bundle["account_id"] not in state.known
            if not state.is_known(bundle["account_id"], key, accept=accept):
                raise Refused(
                    f"{to} has another identity key than before: {fingerprint(key)}. Compare it "
                    "with them, then say --accept-new-identity."
                )
        sealed = seal(text.encode(), state.identity, state.account_id, bundle)
        async with self._socket("ws") as socket:
            frame = {"to": bundle["account_id"], "ciphertext": b64encode(sealed).decode()}
            await socket.send_json({"seq": 1, "send": frame})
            await self._expect(socket, "sent")
        return fingerprint(key), is_new

    async def listen(self, show: Show, say: Say, *, once: bool, accept: bool) -> None:
        """
        Show messages as they come (*once*: those that wait), keep enough prekeys at the server.

        A message is shown, then its key is forgotten, then it is acknowledged: the server keeps it
        until then.
        """
        await self._drop_lost(say)
        while True:
            await self._top_up(say)
            async with self._socket("ws?ack=1") as socket:
                await socket.send_json({"seq": 1, **({"fetch": {}} if once else {"subscribe": {}})})
                while (frame := await self._hear(socket)) is not None:
                    if "fetched" in frame and not frame["fetched"]["delivered"]:
                        return
                    await self._handle(socket, frame, show, say, accept)
                code = socket.close_code
            if code != _TOKEN_EXPIRED:
                raise Unreachable(f"The relay closed the connection (code {code}).")

    async def _handle(
        self,
        socket: "ClientWebSocketResponse",
        frame: dict[str, Any],
        show: Show,
        say: Say,
        accept: bool,
    ) -> None:
        if "message" in frame:
            await self._take(socket, frame["message"], show, say, accept)
        elif "identity_changed" in frame:
            changed = frame["identity_changed"]
            say(f"{changed['username']} has a new identity; what they had not read is gone.")
            await socket.send_json({"ack": {"ids": [changed["id"]]}})
        elif "keys_low" in frame:
            await self._top_up(say)
        elif "fetched" in frame:
            await socket.send_json({"seq": 1, "fetch": {}})
        elif "error" in frame:
            raise Unreachable(f"The relay says: {frame['error']['detail']}")

    async def _take(
        self,
        socket: "ClientWebSocketResponse",
        message: dict[str, Any],
        show: Show,
        say: Say,
        accept: bool,
    ) -> None:
        name, sender = message["sender_name"], message["sender"]
        try:
            with self._home.edit() as state:
                key, one_time_id, text = unseal(
                    b64decode(message["ciphertext"]),
                    state.identity,
                    state.account_id,
                    sender,
                    state.secret_of,
                )
                if not state.is_known(sender, key, accept=accept):
                    raise Refused(
                        f"A message of {name} comes with another identity key than before: "
                        f"{fingerprint(key)}. It stays at the server; compare the key with them, "
                        "then say --accept-new-identity."
                    )
                moment = datetime.fromtimestamp(message["at_ms"] / 1000, UTC)
                show(moment.strftime("%H:%M:%S"), name, text.decode(errors="replace"))
                del state.one_time[str(one_time_id)]
        except SealError as error:
            say(f"A message of {name} is dropped. {error}")
        await socket.send_json({"ack": {"ids": [message["id"]]}})

    async def _drop_lost(self, say: Say) -> None:
        """
        Take back prekeys whose secrets are not here, as after a restore of an older folder.

        Raises `Refused` when the keys at the server are another home's: those are not ours to take.
        """
        headers = await self._bearer()
        own = f"v1/keys/{self._home.load().account_id}"
        async with self._session.get(own, headers=headers) as answer:
            identity = _identity_of(await _read(answer))
        async with self._session.get("v1/keys/digest", headers=headers) as answer:
            held = (await _read(answer))["one_time_pre_keys"]
        # Read after the answer: what another terminal has uploaded meanwhile was kept before that.
        state = self._home.load()
        if identity != state.identity.public:
            raise Refused("The account has signed in on another home since; its keys are there.")
        if state.has_secrets_of(held):
            return
        async with self._session.delete("v1/keys/one-time", headers=headers) as answer:
            await _read(answer)
        say("The server held prekeys whose secrets are not here; nobody is given them any more.")

    async def _top_up(self, say: Say) -> None:
        headers = await self._bearer()
        async with self._session.get("v1/keys/count", headers=headers) as answer:
            left = (await _read(answer))["one_time_pre_keys"]
        if left >= _LOW:
            return
        # Kept before they are uploaded: a key that somebody may use must be here.
        with self._home.edit() as state:
            keys = state.more(_BATCH)
        body = {"identity_key": pack(state.identity.public), "one_time_pre_keys": keys}
        async with self._session.post("v1/keys/one-time", json=body, headers=headers) as answer:
            held = (await _read(answer))["one_time_pre_keys"]
        say(f"{left} one-time prekeys were left at the server; now it has {held}.")

    def _socket(self, path: str) -> "_Socket":
        return _Socket(self._session, path, self._bearer)

    async def _expect(self, socket: "ClientWebSocketResponse", name: str) -> None:
        async with asyncio.timeout(_PATIENCE):
            while (frame := await self._hear(socket)) is not None:
                if "error" in frame:
                    raise Refused(f"The relay says: {frame['error']['detail']}")
                if name in frame:
                    return
        raise Unreachable("The relay closed the connection before it answered.")

    async def _hear(self, socket: "ClientWebSocketResponse") -> dict[str, Any] | None:
        """Return the next frame, None when the socket has closed."""
        from aiohttp import WSMsgType

        message = await socket.receive()
        if message.type is not WSMsgType.TEXT:
            return None
        frame: dict[str, Any] = json.loads(message.data)
        return frame

    async def _bearer(self) -> dict[str, str]:
        """Return the header with a token that lives for another minute at least."""
        state = self._home.load()
        if datetime.fromisoformat(state.expires_at) - datetime.now(UTC) < timedelta(minutes=1):
            # Alone: a refresh token that is shown twice ends the session.
            with self._home.edit() as state:
                await self._renew(state)
        return {"Authorization": f"Bearer {state.token}"}

    async def _renew(self, state: State) -> None:
        body = {"refresh_token": state.refresh_token, "audience": "relay"}
        async with self._session.post("v1/sessions/refresh", json=body) as answer:
            if answer.status == 200:
                _granted(state, await answer.json())
                return
        body = {"username": state.username, "password": self._password()}
        async with self._session.post("auth/login", json=body) as answer:
            _granted(state, await _read(answer))


class _Socket:
    """A socket of the relay with JSON frames; a refused upgrade is a `RelayError`."""

    def __init__(self, session: "ClientSession", path: str, bearer: Callable[[], Any]) -> None:
        self._session = session
        self._path = path
        self._bearer = bearer
        self._open: ClientWebSocketResponse | None = None

    async def __aenter__(self) -> "ClientWebSocketResponse":
        from aiohttp import WSServerHandshakeError

        headers = await self._bearer()
        try:
            # In a header: a token in an address ends in somebody's log.
            self._open = await self._session.ws_connect(
                self._path, protocols=[_JSON_FRAMES], headers=headers, heartbeat=30
            )
        except WSServerHandshakeError as error:
            raise _refusal(error.status, {"title": "The relay refused the connection"}) from None
        return self._open

    async def __aexit__(self, *_: object) -> None:
        if self._open is not None:
            await self._open.close()


async def _read(answer: "ClientResponse") -> Any:
    """Return the JSON of an answer; raises `Refused` and `Unreachable`."""
    if answer.status >= 400:
        raise _refusal(answer.status, await read_problem(answer))
    return await answer.json(content_type=None)


def _refusal(status: int, problem: dict[str, Any]) -> RelayError:
    said = sentence(status, problem)
    return Refused(said) if status < 500 else Unreachable(said)


def _granted(state: State, grant: dict[str, Any]) -> None:
    state.account_id, state.token = grant["account_id"], grant["token"]
    state.refresh_token, state.expires_at = grant["refresh_token"], grant["expires_at"]


def _identity_of(bundle: dict[str, Any]) -> bytes:
    try:
        return unpack(bundle["identity_key"])
    except (KeyError, TypeError, ValueError):
        raise SealError("The server's bundle cannot be used.") from None
