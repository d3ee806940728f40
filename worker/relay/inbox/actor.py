"""
Inbox: the actor of one account (its name is the account id); durable, and asleep most of the time.

It holds the account's sockets, sends for them, and keeps what others send to the account until it
is taken. A message is stored first, in a transaction of its own; then its sender hears so and it is
pushed; when the network has taken it, it is removed. docs/relay.md is the contract.
"""

from collections.abc import Sequence
from typing import Any, Final

from durable.contract import AlarmInfo, DurableObject, ObjectContext
from worker.env import Env
from worker.identity.usernames import is_gone
from worker.limits import KIB
from worker.relay.inbox.budget import FrameBudget, byte_length
from worker.relay.inbox.listeners import (
    ACCOUNT_GONE,
    FLOODING,
    IDENTITY_CHANGED,
    SESSION_ENDED,
    TOKEN_EXPIRED,
    TOO_LARGE,
    UNAVAILABLE,
    WRONG_TYPE,
    Listener,
    Listeners,
)
from worker.relay.inbox.model import (
    ID_BYTES,
    RELAY_CHUNK_MESSAGES,
    RELAY_FETCH_BYTES,
    RELAY_REMEMBER_MS,
    Action,
    Delivery,
    FrameError,
    IdentityChanged,
    KeysLow,
    Message,
    Refused,
    Send,
)
from worker.relay.inbox.names import Names
from worker.relay.inbox.reading import PATIENCE, Reading
from worker.relay.inbox.sending import Sending
from worker.relay.inbox.store import REPEATABLE, InboxStore
from worker.web import Request, Response

# So many waiting for somebody who listens: senders are held up, for so long at most.
RELAY_CROWDED = 600
RELAY_HOLD_MS = 250
# Hints about prekeys: one in this time.
RELAY_HINT_SECONDS = 0.5

# Frames of up to twice RELAY_MAX_BYTES and this much are read: room to say what is wrong with one.
RELAY_FRAME_ROOM = 128 * KIB
# Who is refused waits before its next frame is looked at, in seconds.
RELAY_REFUSED_PAUSE = 0.1
RELAY_REFUSED_AT_ONCE = 1000

# When to ask again for names that the database did not tell, in seconds.
_NAMES_AGAIN: Final = 1.0


class Inbox(DurableObject):
    """One account: its sockets, what it sends, what waits for it."""

    env: Env

    def __init__(self, ctx: ObjectContext, env: Env) -> None:
        super().__init__(ctx, env)
        self._names = Names(env)
        self._store = InboxStore(ctx.storage, env.now_ms(), self._names.of)
        self._listeners = Listeners(ctx, env)
        self._sending = Sending(env, ctx.id.name or "", ctx.wait_until)
        self._reading = Reading(env, self._store, self._names, self._listeners, self._go_on)
        self._frame_bytes = env.settings.relay_max_bytes * 2 + RELAY_FRAME_ROOM
        self._budget = FrameBudget()
        self._alarm_ms: int | None = None
        self._is_delivering = False
        self._keys_left: int | None = None

    # -- the socket ----------------------------------------------------------------------------

    async def fetch(self, request: Request) -> Response:
        """Accept a socket for the principal that the door has put into the query."""
        now_ms = self.env.now_ms()
        said = request.query
        # Before it is accepted: what fails here must not leave a socket that nobody is at.
        has_ended = await self.env.access.is_revoked(said["sid"], self.env.db, now_ms / 1000)
        client, server = self.env.tools.socket_pair()
        until_ms = int(said["until_ms"])
        self.ctx.accept_web_socket(server)
        seconds = max(0, until_ms - now_ms) / 1000
        kept = {
            "sid": said["sid"],
            "until_ms": until_ms,
            "name": said["name"],
            "ack": said["ack"] == "1",
            "json": said["json"] == "1",
            "spared": said["spared"] == "1",
            "timer": server.close_after(seconds, TOKEN_EXPIRED, "The token has expired."),
            "sub": False,
            "cursor": 0,
        }
        listener = Listener(server, kept)
        listener.keep()
        self._listeners.add(listener)
        if has_ended:
            self._listeners.end(listener, SESSION_ENDED, "The session has ended.")
        elif not kept["timer"]:
            await self._ring_or_end(listener, until_ms)
        return Response.websocket(
            client, protocol=said["protocol"], max_message_bytes=self._frame_bytes
        )

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        """Take one frame."""
        listener = self._listeners.get(ws)
        if listener is None:
            return  # it was ended, and what it had sent before that is of no use
        now_ms = self.env.now_ms()
        if self._listeners.is_check_due(listener, now_ms):
            await self._listeners.check(now_ms)
        if listener.is_flooded:
            await self._reading.until_room(listener)
        if not listener.is_open:
            return
        if not isinstance(message, listener.frames.frame_type):
            self._listeners.end(listener, WRONG_TYPE, "Protobuf is sent as binary, JSON as text.")
        elif len(message) * 4 > self._frame_bytes and byte_length(message) > self._frame_bytes:
            self._listeners.end(listener, TOO_LARGE, "The frame is too large.")
        else:
            await self._take(listener, message, now_ms)

    async def _take(self, listener: Listener, frame: str | bytes, now_ms: int) -> None:
        seq = 0
        try:
            action: Action | FrameError
            try:
                seq, action = listener.frames.decode(frame)
                about = 0 if type(action) is Send else self._reading.messages_of(listener, action)
            except FrameError as wrong:
                seq, action, about = wrong.seq, wrong, 0
            wait = self._budget.pay(listener, len(frame), about, now_ms)
            if wait:
                await self._refuse(listener, seq, wait)
            elif type(action) is Send:
                await self._sending.take(listener, seq, action, now_ms)
            elif isinstance(action, FrameError):
                raise action
            else:
                await self._reading.take(listener, seq, action)
        except FrameError as refused:
            listener.tell(refused.seq, Refused(refused.code, refused.detail))
        except Exception as error:
            self.env.log.error("relay_frame_failed", error)
            listener.tell(seq, Refused("unavailable", "It did not work; try again.", 1000))

    async def _refuse(self, listener: Listener, seq: int, wait: float) -> None:
        """Say that it was too much, and look at this socket's next frame a little later."""
        refused = Refused("rate_limited", "Too many frames.", int(wait * 1000) + 1)
        self._sending.answer(listener, seq, refused)
        listener.refused += 1
        # A host reads no further meanwhile; Cloudflare goes on and brings the next.
        if listener.refused > RELAY_REFUSED_AT_ONCE:
            self._listeners.end(listener, FLOODING, "Frames came on and on after refusals.")
        await self.env.tools.pause(max(RELAY_REFUSED_PAUSE, min(wait, 1)))
        listener.refused -= 1

    async def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        """Forget the socket; what it had not taken stays for the next."""
        self._listeners.drop(ws)

    async def web_socket_error(self, ws: Any, error: Exception) -> None:
        """Forget the socket."""
        self._listeners.drop(ws)

    # -- what others put in ----------------------------------------------------------------------

    async def deliver(
        self, sender: str, sender_name: str, ids: bytes, bodies: list[bytes]
    ) -> tuple[int, list[tuple[int, int, bool]]]:
        """
        Store messages of one sender; *ids* are 16 bytes each, one after the other.

        Returns the time at which they were accepted; of those whose ids had been accepted before
        position, earlier time, and whether it was the same message. When it returns, they are
        durable.
        """
        now_ms = self.env.now_ms()
        await self._listeners.check(now_ms)
        known: list[tuple[int, int, bool]] = []
        fresh: dict[bytes, Message] = {}
        for position, body in enumerate(bodies):
            id_ = ids[position * ID_BYTES : (position + 1) * ID_BYTES]
            if id_ in fresh:
                known.append((position, now_ms, fresh[id_].ciphertext == body))
            elif id_[0] & REPEATABLE and (before := self._store.accepted(id_)) is not None:
                known.append((position, before.at_ms, before.is_of(body)))
            else:
                fresh[id_] = Message(id_, sender, sender_name, now_ms, body)
        self._names.note(sender, sender_name)
        await self._put(list(fresh.values()), now_ms)
        await self._hold_up(now_ms)
        return now_ms, known

    async def tell_identity_changed(self, user: str, username: str) -> None:
        """Somebody whom this account wrote to has a new identity key; kept like a message."""
        now_ms = self.env.now_ms()
        made = self.env.tools.random_bytes(ID_BYTES)
        id_ = bytes((made[0] & ~REPEATABLE,)) + made[1:]
        self._names.note(user, username)
        await self._put([IdentityChanged(id_, user, username, now_ms)], now_ms)

    async def _put(self, events: Sequence[Delivery], now_ms: int) -> None:
        if not events:
            return
        self._store.expire(now_ms)
        added = self._store.add(events)
        self._listeners.push(added, self._store)
        self._go_on()
        await self._ring_by(now_ms + RELAY_REMEMBER_MS)

    async def _hold_up(self, since_ms: int) -> None:
        """
        Let a sender wait for readers that are a little slower, before the oldest must leave.

        For a moment only: who does not read must not stop those who write.
        """
        while len(self._store) > RELAY_CROWDED and self._listeners.are_listening:
            if not 0 <= self.env.now_ms() - since_ms < RELAY_HOLD_MS:
                return
            await self.env.tools.pause(PATIENCE / 4)

    # -- pushing and removing ----------------------------------------------------------------------

    def _go_on(self) -> None:
        """Let deliveries go on beside the events, if there are any and they do not already."""
        if not self._is_delivering and self._listeners.are_listening:
            self._is_delivering = True
            self.ctx.wait_until(self._deliver())

    async def _deliver(self) -> None:
        try:
            is_left = is_done = True
            while is_left:
                # A turn of the loop at least: what was just stored and sent is let out by then.
                await self.env.tools.pause(0 if is_done else PATIENCE)
                if self._listeners.are_behind(self._store) and not await self._know_names():
                    is_done = False
                    continue
                is_left, is_done = self._listeners.step(self._store)
        finally:
            self._is_delivering = False
        self._listeners.keep_places()

    async def _know_names(self) -> bool:
        """Whether the senders of what waits are known by name; if not, some time has passed."""
        try:
            await self._names.learn(self._store)
        except Exception as error:
            self.env.log.error("relay_names_failed", error)
            await self.env.tools.pause(_NAMES_AGAIN)
            return False
        return True

    # -- the clock ---------------------------------------------------------------------------------

    async def _ring_by(self, when_ms: int) -> None:
        """See to it that the alarm rings at *when_ms* or before."""
        if self._alarm_ms is None:
            self._alarm_ms = await self.ctx.storage.get_alarm()
        if self._alarm_ms is None or self._alarm_ms > when_ms:
            self._alarm_ms = when_ms
            await self.ctx.storage.set_alarm(when_ms)

    async def _ring_or_end(self, listener: Listener, when_ms: int) -> None:
        """See to it that somebody ends *listener* in time."""
        try:
            await self._ring_by(when_ms)
        except BaseException:
            self._listeners.end(listener, UNAVAILABLE, "It did not work; try again.")
            raise

    async def alarm(self, info: AlarmInfo) -> None:
        """Remove what is too old; when nothing is left, leave nothing."""
        now_ms = self.env.now_ms()
        self._alarm_ms = None
        if not self._store.is_empty and await is_gone(self.env, self.ctx.id.name or ""):
            # Who knew the name a moment longer has written after the account was erased.
            await self.erase()
        await self._listeners.check(now_ms)
        self._store.expire(now_ms)
        self._store.forget(now_ms)
        if self._store.is_empty:
            await self.ctx.storage.delete_all()
            self._store.emptied()
        due = [self._store.due_ms(), self._listeners.next_end_ms()]
        if times := [one for one in due if one is not None]:
            await self._ring_by(max(min(times), now_ms + 1000))

    # -- for other parts of the Worker -----------------------------------------------------------

    async def keys_low(self, left: int) -> None:
        """Tell open sockets that *left* one-time prekeys are left; nothing is kept of it."""
        if not len(self._listeners):
            return
        if self._keys_left is None:
            self.ctx.wait_until(self._hint())
        self._keys_left = left

    async def _hint(self) -> None:
        await self.env.tools.pause(RELAY_HINT_SECONDS)
        left, self._keys_left = self._keys_left, None
        for listener in self._listeners:
            listener.tell(0, KeysLow(left or 0))

    async def identity_changed(
        self, username: str, keep_session: str = "", changed_ms: int = 0
    ) -> int:
        """
        Drop what waits, because nobody can read it any more; return how many messages that were.

        Of a change at *changed_ms* that is only heard of now, what came later stays. The senders
        are told. Sockets end, but those of the session *keep_session*.
        """
        upto = self._store.place_at(changed_ms) if changed_ms else self._store.last
        senders, before = self._store.senders(upto), len(self._store)
        self._store.drop_upto(upto)
        dropped = before - len(self._store)
        self._listeners.end_all(IDENTITY_CHANGED, "There is a new identity key.", keep_session)
        for sender in senders:
            try:
                inbox = self.env.inbox.get_by_name(sender)
                await inbox.call("tell_identity_changed", self.ctx.id.name or "", username)
            except Exception as error:
                self.env.log.error("relay_not_announced", error)
        return dropped

    async def sessions_ended(self, session_ids: list[str]) -> None:
        """End the sockets of these sessions at once, and refuse new ones."""
        self.env.access.ended(session_ids, self.env.tools.now())
        for listener in self._listeners:
            if listener.kept["sid"] in session_ids:
                self._listeners.end(listener, SESSION_ENDED, "The session has ended.")

    async def export(self, after: int = 0) -> list[dict[str, Any]]:
        """Return a page of what waits behind the place *after*, for the account's own export."""
        await self._names.learn(self._store)
        found = self._store.read(after, RELAY_CHUNK_MESSAGES, RELAY_FETCH_BYTES)
        return [{"place": one.seq, **one.event._asdict()} for one in found]

    async def erase(self) -> None:
        """Remove everything and end the sockets: the account goes."""
        self._listeners.end_all(ACCOUNT_GONE, "The account was deleted.")
        await self.ctx.storage.delete_all()
        self._store.emptied()
        self._alarm_ms = None
