"""Every size and rate limit of the Worker, with unit and reason. (What may be tuned: settings.)"""

from dataclasses import dataclass
from typing import Literal

KIB = 1024
MIB = 1024 * KIB

# One page of a list (facts/seeds.md X23).
LIST_DEFAULT = 100
LIST_MAX = 1000

# The prototype's line limit, in bytes without the line end.
IMPORT_LINE_BYTES = 128 * KIB

# gzip: past the first megabyte a body may not unfold to more than this many times its size.
# Real profile files reach about 15 : 1; deflate's ceiling, and a bomb's ratio, is about 1030 : 1.
INFLATE_RATIO = 200
INFLATE_FREE_BYTES = 1 * MIB

# Errors shown in an answer (as the prototype did) and kept in a report (an actor's values end at
# 2 MB; one error takes up to 250 bytes).
ERRORS_IN_ANSWER = 200
ERRORS_IN_REPORT = 5_000
ERRORS_PER_LINE = 20

IDEMPOTENCY_KEY_CHARS = 255

# Sign-ins and registrations: a password of 1024 characters, each written as JSON escapes.
SIGN_IN_BYTES = 16 * KIB
# NIST SP 800-63B asks for 8 characters at least; the issue for 12. Characters after NFKC.
PASSWORD_LEAST_CHARS = 12
PASSWORD_MOST_CHARS = 1024
LABEL_CHARS = 100
# Passwords waiting for a thread of a host: at 25 hashes a second and core, about two seconds.
HASHES_WAITING = 64

# Linking another way in, changing a password: facts/seeds.md §3.2.
RECENT_SIGN_IN_SECONDS = 10 * 60
# A ticket for a WebSocket: long enough to open it, and it holds once (facts/seeds.md §3.3).
TICKET_SECONDS = 30

# Ways into one account: more is a mistake of some program.
IDENTITIES_MOST = 50
# A link that signs in, or links an address: once (facts/seeds.md §3.3).
MAGIC_LINK_SECONDS = 10 * 60
# Where a page wants to go on to.
NEXT_CHARS = 512
# A challenge for the owner of a key pair to sign (facts/seeds.md §2.000).
CHALLENGE_SECONDS = 60

# Backups: less would be an accident, more is for the setting BACKUP_MAX_BYTES (seed §4.3; X16).
BACKUP_MIN_BYTES = 32
# Attachments that one backup may refer to.
BACKUP_KEEPS = 16
# An upload gives a sign of life this often; one that was silent for longer is over.
BACKUP_TOUCH_SECONDS = 5
BACKUP_SILENCE_SECONDS = 20
# An upload may take a minute, and as long as its bytes need on a slow line.
UPLOAD_SECONDS = 60
UPLOAD_BYTES_PER_SECOND = 64 * KIB
# Older than the longest upload: what then belongs to nothing is an orphan.
ORPHAN_SECONDS = 3600

ATTACHMENT_MAX_BYTES = 50 * MIB
ATTACHMENT_SECONDS = 30 * 24 * 3600

# The relay (facts/seeds.md 1.004, X42). An inbox: so many messages for so long (FR-009).
RELAY_INBOX_MESSAGES = 1000
RELAY_KEEP_MS = 30 * 24 * 3600 * 1000
# Ids of sends that may be repeated: so many of one inbox, for an hour.
RELAY_REMEMBERED = 2048
RELAY_REMEMBER_MS = 3600 * 1000
RELAY_CLIENT_ID_CHARS = 100
# Sockets of one account; the oldest makes room.
RELAY_SOCKETS = 32
# What may wait for one socket before nothing more is pushed to it, or read from it. In the smallest
# answers to a send (29 bytes) well below the 10,000 messages at which a host cuts a socket.
RELAY_BUFFER_BYTES = 128 * KIB
# The same for pushed messages (80 bytes at least).
RELAY_PUSH_BYTES = 512 * KIB
# Pushed and not acknowledged on one socket with ack=1.
RELAY_UNACKED = 256
# One read of the backlog, and one fetch or listing at most.
RELAY_CHUNK_MESSAGES = 1000
RELAY_CHUNK_BYTES = 512 * KIB
RELAY_FETCH_BYTES = 8 * MIB
RELAY_LIST = 1000
RELAY_ACK_IDS = 1000
# So many waiting for somebody who listens: senders are held up, for so long at most.
RELAY_CROWDED = 600
RELAY_HOLD_MS = 250
# What one sender may have under way.
RELAY_BATCH_MESSAGES = 256
RELAY_BATCH_BYTES = 1 * MIB
# How long a sender's inbox goes by what it looked up, and how many names it remembers.
RELAY_NAME_MS = 30 * 1000
RELAY_UNKNOWN_MS = 2 * 1000
RELAY_NAMES = 256
# How often sockets are checked for sessions that have ended.
RELAY_CHECK_MS = 5 * 1000
# Hints about prekeys: one in this time.
RELAY_HINT_SECONDS = 0.5
# Keys (facts/seeds.md 2.004): one-time prekeys of a kind in one call.
PREKEYS_PER_CALL = 100
# With fewer left, their owner is told.
PREKEYS_LOW = 20
# Keys of one call: a hundred Kyber prekeys are 220 KiB of base64.
KEYS_BYTES = 512 * KIB
# How long a prekey that was given out is remembered, so that no repeated upload brings it back.
TAKEN_PREKEY_SECONDS = 30 * 24 * 3600
# A change of identity that the inbox has not heard of by then is announced by the hourly job.
UNTOLD_SECONDS = 600


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
    by: Literal["address", "account", "mailbox"]
    exact: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class SlowDown:
    """
    How failed sign-ins slow down the next: after *free* of them a wait of *first_wait* seconds,
    doubled with each, at most *longest_wait*. One is forgotten every *forget_seconds*, so nobody is
    locked out for ever.
    """

    name: str
    free: int
    first_wait: float
    longest_wait: float
    forget_seconds: float


# Every request, by address. The seeds' relay had 10/s, burst 20 (facts/seeds.md §2.004); one
# address is often a household or an office, and pages of a browser ask in bursts.
GENERAL = RateLimit("general", 50, 200, "address")
# Doors that sign in, sign up or send mail. The relay's 1/s, burst 3 refused its own users (there).
SIGN_IN = RateLimit("sign_in", 1, 10, "address", exact=True)
# Doors that write: the relay's numbers, by account.
WRITES = RateLimit("writes", 10, 20, "account")
# Messages of one account, over all its sockets: a message to a large group is one for each member.
RELAY_SEND = RateLimit("relay_send", 50, 1000, "account", note="messages over its sockets")
# Bundles of prekeys: of one person by one other, and by everybody together. Each takes a key that
# only its owner can replace.
FETCH_KEYS = RateLimit("fetch_keys", 1 / 6, 10, "account", note="bundles of one other person")
FETCH_KEYS_OF = RateLimit(
    "fetch_keys_of", 1, 100, "account", exact=True, note="its bundles, whoever fetches them"
)
# Mail to one mailbox, whoever asks for it: nobody's is to be flooded.
MAILS = RateLimit("mails", 1 / 200, 3, "mailbox", exact=True)
RATE_LIMITS = (GENERAL, SIGN_IN, WRITES, RELAY_SEND, FETCH_KEYS, FETCH_KEYS_OF, MAILS)

# One name from one address; one name from everywhere; one address with all names.
SIGN_IN_PAIR = SlowDown("sign_in_pair", 5, 1, 15 * 60, 10 * 60)
SIGN_IN_NAME = SlowDown("sign_in_name", 20, 1, 60, 60)
SIGN_IN_ADDRESS = SlowDown("sign_in_address", 50, 1, 60, 30)
SLOW_DOWNS = (SIGN_IN_PAIR, SIGN_IN_NAME, SIGN_IN_ADDRESS)
# From where a name signed in well, it is not held up by what others do with it from elsewhere.
SIGN_IN_TRUST_SECONDS = 30 * 24 * 3600

# How many addresses and accounts one process remembers for each row; the longest unused leave.
RATE_KEYS = 50_000
