"""The open sockets of one inbox: who may still listen, who gets what, what may be removed then."""

from typing import Any

from durable.contract import ObjectContext
from worker.env import Env
from worker.limits import (
    RELAY_CHECK_MS,
    RELAY_CHUNK_BYTES,
    RELAY_CHUNK_MESSAGES,
    RELAY_SOCKETS,
    RELAY_UNACKED,
)
from worker.relay.inbox_store import InboxStore, Waiting
from worker.relay.session import REPLACED, SESSION_ENDED, TOKEN_EXPIRED, Session


class Sessions:
    """All sockets of the account, oldest first."""

    def __init__(self, ctx: ObjectContext, env: Env) -> None:
        self._env = env
        self._checked_ms = 0
        # Rebuilt from the attachments each time the instance wakes.
        self._all: dict[Any, Session] = {
            ws: Session(ws, kept)
            for ws in reversed(ctx.get_web_sockets())
            if (kept := ws.deserialize_attachment()) is not None
        }

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Any:
        return iter(list(self._all.values()))

    def get(self, ws: Any) -> Session | None:
        """Return the session of *ws*, or None when it has ended."""
        return self._all.get(ws)

    def add(self, session: Session) -> None:
        """Take a new socket in; of too many the oldest ends."""
        self._all[session.ws] = session
        while len(self._all) > RELAY_SOCKETS:
            self.end(next(iter(self._all.values())), REPLACED, "Too many sockets: the oldest went.")

    def drop(self, ws: Any) -> None:
        """Forget a socket that is closed."""
        self._all.pop(ws, None)

    def end(self, session: Session, code: int, reason: str) -> None:
        """Close a socket and forget it."""
        self.drop(session.ws)
        session.end(code, reason)

    def end_all(self, code: int, reason: str, but: str = "") -> None:
        """Close every socket, except those of the session *but*."""
        for session in self:
            if not but or session.kept["sid"] != but:
                self.end(session, code, reason)

    # -- who may still listen ----------------------------------------------------------------------

    async def check(self, now_ms: int) -> None:
        """End sockets whose token has expired; now and then, those whose session has ended."""
        for session in self:
            if now_ms >= session.kept["until_ms"]:
                self.end(session, TOKEN_EXPIRED, "The token has expired.")
        if 0 <= now_ms - self._checked_ms < RELAY_CHECK_MS:
            return
        self._checked_ms = now_ms
        for session in self:
            sid = session.kept["sid"]
            if await self._env.access.is_revoked(sid, self._env.db, now_ms / 1000):
                self.end(session, SESSION_ENDED, "The session has ended.")

    def is_check_due(self, session: Session, now_ms: int) -> bool:
        """Whether `check` has something to do before *session* is served."""
        is_fresh = 0 <= now_ms - self._checked_ms < RELAY_CHECK_MS
        return not is_fresh or now_ms >= session.kept["until_ms"]

    def next_end_ms(self) -> int | None:
        """When the first token expires of those sockets that do not close by themselves."""
        ends = [s.kept["until_ms"] for s in self._all.values() if not s.kept["timer"]]
        return min(ends, default=None)

    # -- who gets what -----------------------------------------------------------------------------

    @property
    def are_listening(self) -> bool:
        """Whether anybody is subscribed, or still gets what it fetched."""
        return any(s.subscribed or not s.is_settled for s in self._all.values())

    def push(self, added: list[Waiting], store: InboxStore) -> None:
        """Send what was just stored to those who have everything before it, and room."""
        before = added[0].seq - 1
        for session in self._all.values():
            is_next = session.subscribed and session.cursor == before
            if is_next and _room(session, store) >= len(added):
                session.deliver(added)

    def step(self, store: InboxStore) -> tuple[bool, bool]:
        """
        Go on with what is under way; return (something is left to do, something was done).

        Messages leave the store here: after the network has taken them, never before.
        """
        is_left = is_done = False
        for session in self._all.values():
            is_done |= session.settle()
            if session.subscribed and session.cursor < store.last:
                is_left_here, is_done_here = _catch_up(session, store)
                is_left |= is_left_here
                is_done |= is_done_here
            is_left |= session.is_open and not session.is_settled
        before = len(store)
        store.remove_upto(self._removable())
        return is_left, is_done or len(store) != before

    def keep_places(self) -> None:
        """Keep how far sockets with ack=1 got: what they have is not sent there again."""
        for session in self._all.values():
            if session.acks and session.is_open and session.kept["cursor"] != session.cursor:
                session.keep(cursor=session.cursor)

    def _removable(self) -> int:
        """
        Up to which place messages may leave: what was fetched, and what all subscribers have got.

        As long as a socket with ack=1 is subscribed, only acknowledgements remove.
        """
        listening = [session for session in self._all.values() if session.subscribed]
        taking = [s.written for s in self._all.values() if not s.subscribed and not s.acks]
        if listening and not any(session.acks for session in listening):
            taking.append(min(session.written for session in listening))
        return max(taking, default=0)


def _catch_up(session: Session, store: InboxStore) -> tuple[bool, bool]:
    """Send *session* some of its backlog; return (more is left, some was sent)."""
    room = _room(session, store)
    if not room:
        # With acknowledgements the next ack goes on; else the network has to.
        return not session.acks, False
    found = store.read(session.cursor, room, RELAY_CHUNK_BYTES)
    if found:
        session.deliver(found)
        return True, True
    session.skip_to(store.last)
    return False, True


def _room(session: Session, store: InboxStore) -> int:
    """How many messages may be sent to *session* now."""
    if not session.is_open or not session.has_push_room:
        return 0
    if not session.acks:
        return RELAY_CHUNK_MESSAGES
    return max(0, RELAY_UNACKED - (len(store) - store.behind(session.cursor)))
