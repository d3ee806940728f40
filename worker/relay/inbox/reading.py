"""What an account's sockets ask of its own inbox: list, fetch, subscribe, acknowledge."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from worker.env import Env
from worker.relay.inbox.listeners import Listener, Listeners, deliver
from worker.relay.inbox.model import (
    RELAY_CHUNK_BYTES,
    RELAY_CHUNK_MESSAGES,
    RELAY_FETCH_BYTES,
    RELAY_INBOX_MESSAGES,
    Ack,
    Acked,
    Action,
    Fetch,
    Fetched,
    FrameError,
    ListInbox,
    Listing,
    Message,
    Ping,
    Pong,
    Subscribe,
    Subscribed,
    Unsubscribe,
)
from worker.relay.inbox.names import Names
from worker.relay.inbox.store import InboxStore

# One listing, and one acknowledgement, at most.
RELAY_LIST = 1000
RELAY_ACK_IDS = 1000
# How long a fetch waits for what another socket fetched to be gone.
RELAY_TURN_MS = 5000

PATIENCE: Final = 0.02
"""How long to look away when a slow reader holds things up, in seconds."""


class Reading:
    """The reading half of an inbox. *go_on* lets deliveries go on beside the events."""

    def __init__(
        self,
        env: Env,
        store: InboxStore,
        names: Names,
        listeners: Listeners,
        go_on: Callable[[], None],
    ) -> None:
        self._env = env
        self._store = store
        self._names = names
        self._listeners = listeners
        self._go_on = go_on

    def messages_of(self, listener: Listener, action: Action) -> int:
        """Return how many messages the answer to *action* is about: what makes it dear."""
        if isinstance(action, ListInbox):
            return min(action.limit or RELAY_LIST, len(self._store))
        if isinstance(action, Fetch):
            return min(action.limit or RELAY_INBOX_MESSAGES, self._store.behind(listener.cursor))
        if isinstance(action, Subscribe):
            return self._store.behind(listener.cursor)
        return len(action.ids) if isinstance(action, Ack) else 0

    async def take(self, listener: Listener, seq: int, action: Action) -> None:
        """Do what one frame asks for. FrameError when it asks for too much."""
        self._store.expire(self._env.now_ms())
        await _HANDLERS[type(action)](self, listener, seq, action)

    async def until_room(self, listener: Listener) -> None:
        """Wait for a peer that does not read: as long as nothing is read from it, TCP holds it."""
        while listener.is_open and not listener.has_room:
            await self._env.tools.pause(PATIENCE)

    async def list(self, listener: Listener, seq: int, asked: ListInbox) -> None:
        """Tell what waits."""
        await self._names.learn(self._store)
        found = self._store.page(asked.after, min(asked.limit or RELAY_LIST, RELAY_LIST))
        if found is None:
            raise FrameError("unknown_id", "No message with the id `after` waits.", seq)
        listener.tell(seq, Listing(found, len(self._store)))

    async def fetch(self, listener: Listener, seq: int, asked: Fetch) -> None:
        """Deliver what waits, oldest first; what comes meanwhile is for the next fetch."""
        if not listener.acks:
            await self._turn_of(listener)
        listener.fetching = True
        try:
            await self._fetch(listener, seq, asked)
        finally:
            listener.fetching = False
        self._go_on()

    async def _turn_of(self, listener: Listener) -> None:
        """Wait until what another socket fetches has left; not for ever: that one may be slow."""
        since_ms = self._env.now_ms()
        while listener.is_open and self._listeners.is_taken_elsewhere(listener):
            if not 0 <= self._env.now_ms() - since_ms < RELAY_TURN_MS:
                return
            self._go_on()
            await self._env.tools.pause(PATIENCE / 4)

    async def _fetch(self, listener: Listener, seq: int, asked: Fetch) -> None:
        await self._names.learn(self._store)
        left = min(asked.limit or RELAY_INBOX_MESSAGES, RELAY_INBOX_MESSAGES)
        delivered, room, upto = 0, RELAY_FETCH_BYTES, self._store.last
        while delivered < left and room > 0 and listener.cursor < upto and listener.is_open:
            if not listener.has_room:
                await self.until_room(listener)
                continue
            count = min(RELAY_CHUNK_MESSAGES, left - delivered)
            found = self._store.read(listener.cursor, count, min(RELAY_CHUNK_BYTES, room))
            if not found:
                break
            deliver(listener, found, self._store)
            delivered += len(found)
            room -= sum(len(o.event.ciphertext) for o in found if isinstance(o.event, Message))
        listener.tell(seq, Fetched(delivered, self._store.behind(listener.cursor)))

    async def subscribe(self, listener: Listener, seq: int, asked: Subscribe) -> None:
        """Deliver what waits and what comes."""
        listener.subscribed = True
        listener.keep(sub=True)
        listener.tell(seq, Subscribed(True, self._store.behind(listener.cursor)))
        self._go_on()

    async def unsubscribe(self, listener: Listener, seq: int, asked: Unsubscribe) -> None:
        """Deliver nothing more by itself."""
        listener.subscribed = False
        listener.keep(sub=False)
        listener.tell(seq, Subscribed(False))

    async def ack(self, listener: Listener, seq: int, asked: Ack) -> None:
        """Remove what the client has."""
        if len(asked.ids) > RELAY_ACK_IDS:
            raise FrameError("bad_frame", f"At most {RELAY_ACK_IDS} ids at a time.", seq)
        listener.tell(seq, Acked(self._store.remove(asked.ids)))
        self._go_on()

    async def ping(self, listener: Listener, seq: int, asked: Ping) -> None:
        """Answer."""
        listener.tell(seq, Pong())


_Handler = Callable[[Reading, Listener, int, Any], Coroutine[Any, Any, None]]
_HANDLERS: Final[dict[type[Action], _Handler]] = {
    ListInbox: Reading.list,
    Fetch: Reading.fetch,
    Subscribe: Reading.subscribe,
    Unsubscribe: Reading.unsubscribe,
    Ack: Reading.ack,
    Ping: Reading.ping,
}
