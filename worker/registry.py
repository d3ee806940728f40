"""
What slices bring besides doors: actors, schedules, start jobs, holders of data.

Of worker/, a new slice edits this file and `worker.routes`, no other. Its bindings and crons stand
in wrangler_compat.toml, its name in the import rules of pyproject.toml; tests say what is missing.
"""

from collections.abc import Awaitable, Callable, Mapping

from durable.contract import DurableObject
from worker import quotas
from worker.accounts.doors import sessions
from worker.accounts.holder import AccountHolder, SignInHolder
from worker.backup import sweep as backup_sweep
from worker.backup.holder import AttachmentHolder, BackupHolder
from worker.data_holders import DataHolder, Nobodys, Owned
from worker.deployment import doors as deployment
from worker.env import Env
from worker.idempotency import IdempotencyBox
from worker.limiter.actor import RateLimiter
from worker.profiles.count import ProfileCount, recount_nightly
from worker.profiles.holder import ImportHolder
from worker.profiles.import_room import ImportRoom
from worker.relay.inbox.actor import Inbox
from worker.relay.inbox.holder import InboxHolder
from worker.relay.keys import doors as keys
from worker.relay.keys.holder import KeysHolder

Job = Callable[[Env], Awaitable[None]]

# Actor classes by the class_name of wrangler_compat.toml.
ACTORS: Mapping[str, type[DurableObject]] = {
    "ImportRoom": ImportRoom,
    "IdempotencyBox": IdempotencyBox,
    "ProfileCount": ProfileCount,
    "RateLimiter": RateLimiter,
    "Inbox": Inbox,
}

# What runs by the clock: the cron expressions of wrangler_compat.toml.
SCHEDULES: Mapping[str, Job] = {
    "17 3 * * *": deployment.in_turn(deployment.tidy_database, recount_nightly),
    "41 * * * *": deployment.in_turn(sessions.purge, keys.tidy),
    "43 * * * *": deployment.in_turn(backup_sweep.sweep, quotas.release_over),
}

# What a host does before it serves: its state is then its own, and nothing of before still runs.
AT_START: tuple[Job, ...] = (backup_sweep.release_all, quotas.release_all)

# Who holds data of people, by the name that an export shows, in the order of an erasure.
DATA_HOLDERS: Mapping[str, DataHolder] = {
    # The first: nothing new comes then.
    "sign_in": SignInHolder(),
    "relay_inbox": InboxHolder(),
    "backup": BackupHolder(),
    "attachments": AttachmentHolder(),
    "relay_keys": KeysHolder(),
    "imports": ImportHolder(),
    "deployment": Nobodys(
        Owned("table", "d1_migrations", "", "kept", "Names of files."),
        Owned("actor", "RateLimiter", "", "kept", "Counts under digests; gone when they are old."),
    ),
    # Behind all whose things it counts.
    "held": quotas.HeldHolder(),
    # The last: the others refer to it.
    "account": AccountHolder(),
}
