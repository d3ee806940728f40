"""
What callers are held to wherever they call: rates, and sizes that several slices share.

docs/limits.md shows the rates. A limit of one slice stands in the slice, a constant with one user
beside its user; what a deployment may tune is a setting.
"""

from dataclasses import dataclass
from typing import Literal

KIB = 1024
MIB = 1024 * KIB

# One page of a list (facts/seeds.md X23).
LIST_DEFAULT = 100
LIST_MAX = 1000

# Errors shown in an answer, as the prototype did, and of one line of an import.
ERRORS_IN_ANSWER = 200
ERRORS_PER_LINE = 20

# Linking another way in, changing a password: facts/seeds.md §3.2.
RECENT_SIGN_IN_SECONDS = 10 * 60


@dataclass(frozen=True, slots=True)
class RateLimit:
    """
    How often one address, or one account, may do something: *burst* at once, *per_second* for long.

    *exact* rows are counted in one place for the whole deployment; the others where a request is
    served (one host, one location of the platform), which is cheap and good enough against floods.
    *note*: what is counted, where the table of doors does not say it.
    """

    name: str
    per_second: float
    burst: int
    by: Literal["address", "network", "account", "mailbox"]
    exact: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class SlowDown:
    """
    How failed sign-ins slow down the next: after *free* of them a wait of *first_wait* seconds,
    doubled with each, at most *longest_wait*. One is forgotten every *forget_seconds*, so nobody is
    locked out for ever. A good sign-in counts for *trust_seconds*: it forgets the failures too.
    """

    name: str
    free: int
    first_wait: float
    longest_wait: float
    forget_seconds: float
    trust_seconds: float = 0


# Every request, by address. The seeds' relay had 10/s, burst 20 (facts/seeds.md §2.004); one
# address is often a household or an office, and pages of a browser ask in bursts.
GENERAL = RateLimit("general", 50, 200, "address")
# Doors that sign in, sign up or send mail. The relay's 1/s, burst 3 refused its own users (there).
SIGN_IN = RateLimit("sign_in", 1, 10, "address", exact=True)
# Doors that write: the relay's numbers, by account.
WRITES = RateLimit("writes", 10, 20, "account")
# Messages of one account, over all its sockets: a message to a large group is one for each member.
# At once a quarter of an inbox, so that nobody's is filled before anybody can look.
RELAY_SEND = RateLimit("relay_send", 50, 250, "account", note="messages over its sockets")
# All frames of one account, by what they cost (docs/relay.md): about 40 microseconds are one.
RELAY_FRAMES = RateLimit("relay_frames", 500, 5000, "account", note="cost of its sockets' frames")
# One-time prekeys of one person taken by one other, over a day; counted with the keys themselves.
FETCH_KEYS = RateLimit(
    "fetch_keys",
    10 / 86_400,
    10,
    "account",
    exact=True,
    note="one-time prekeys of one other person",
)
# Mail to one mailbox, whoever asks for it: nobody's is to be flooded.
MAILS = RateLimit("mails", 1 / 200, 3, "mailbox", exact=True)

# One customer's IPv6 is a /64, or a /48 with 65,536 of them: a row by address holds for the /48
# too, with this much more room.
NETWORK_ROOM = 8
_BY_ADDRESS = (GENERAL, SIGN_IN)
OF_NETWORK = {
    row.name: RateLimit(
        f"{row.name}_by_network",
        row.per_second * NETWORK_ROOM,
        row.burst * NETWORK_ROOM,
        "network",
        row.exact,
        note=f"as `{row.name}`",
    )
    for row in _BY_ADDRESS
}
RATE_LIMITS = (
    *(*_BY_ADDRESS, *OF_NETWORK.values()),
    *(WRITES, RELAY_SEND, RELAY_FRAMES, FETCH_KEYS, MAILS),
)

_DAY = 24 * 3600
# One name from one address; one name from everywhere; one address, one IPv6 /48 with all names.
SIGN_IN_PAIR = SlowDown("sign_in_pair", 5, 1, 15 * 60, 10 * 60, trust_seconds=30 * _DAY)
SIGN_IN_NAME = SlowDown("sign_in_name", 20, 1, 60, 60)
SIGN_IN_ADDRESS = SlowDown("sign_in_address", 50, 1, 60, 30)
SIGN_IN_NETWORK = SlowDown("sign_in_network", 200, 1, 60, 8)
# One name on a device on which it signed in before, wherever that is: only its own failures count.
SIGN_IN_DEVICE = SlowDown("sign_in_device", 5, 1, 15 * 60, 10 * 60, trust_seconds=365 * _DAY)
SLOW_DOWNS = (SIGN_IN_PAIR, SIGN_IN_NAME, SIGN_IN_ADDRESS, SIGN_IN_NETWORK, SIGN_IN_DEVICE)
