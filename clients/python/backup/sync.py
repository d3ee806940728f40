"""
Push, pull and verify: the backup of one machine, on top of `sealing`, `merging` and `server`.

A push looks first, so that it finds a mistyped password, another machine's changes and a lost
answer of its own before it writes; If-Match settles what happens in between (seed 1.001 §4.2).
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol

from clients.python.backup.errors import (
    ChangedElsewhere,
    Conflict,
    IdentityMismatch,
    NoBackup,
    NotSetUp,
    WrongPassword,
)
from clients.python.backup.keys import SALT_BYTES, calibrate
from clients.python.backup.machine import Home, Machine, Seen
from clients.python.backup.merging import Clash, merge_contacts, merge_profiles
from clients.python.backup.model import Payload
from clients.python.backup.sealing import NONCE_BYTES, digest, seal, unseal
from clients.python.backup.server import Progress, Remote, Server, quiet

_ROUNDS = 5


class Whose(Enum):
    """What to do when the backup holds another identity than the machine."""

    ASK = "ask"
    LOCAL = "local"
    REMOTE = "remote"


class Passwords(Protocol):
    """Where the password comes from. It is asked for when it is needed, and never kept."""

    def to_open(self) -> str:
        """Return the password of the existing backup."""
        ...

    def to_create(self) -> str:
        """Return a new password, from a person asked twice."""
        ...


@dataclass(slots=True)
class SyncReport:
    """What happened. *warnings* are sentences about a server that hands out old or other data."""

    version: int = 0
    generation: int = 0
    created_at_ms: int = 0
    stored: bool = False
    rounds: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    only_here: int = 0
    took_identity: bool = False
    clashes: list[Clash] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Add *sentence* once, however many rounds find it."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)


class Backup:
    """The backup of the machine in *home* on the server at *url*."""

    def __init__(
        self,
        home: Home,
        server: Server,
        url: str,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._home = home
        self._server = server
        self._url = url
        self._now_ms = now_ms

    async def push(
        self,
        passwords: Passwords,
        whose: Whose = Whose.ASK,
        new_password: bool = False,
        progress: Progress = quiet,
    ) -> SyncReport:
        """
        Bring the server's backup and this machine to the union of both.

        Raises `NotSetUp`, `WrongPassword`, `ChangedElsewhere`, `IdentityMismatch` and what `seal`
        and `Server` raise. What was merged is kept here whatever happens to the upload.
        """
        machine = self._home.load()
        outcome = SyncReport()
        password = passwords.to_create() if new_password else ""
        remote = await self._server.fetch()
        for outcome.rounds in range(1, _ROUNDS + 1):
            opened = None
            known = remote is not None and new_password and self._is_known(machine, remote)
            if remote is None:
                password = password or passwords.to_create()
                self._warn_of_absence(machine, outcome)
            elif not known:
                password = password or passwords.to_open()
                opened = await self._open(remote, password, new_password or outcome.rounds > 1)
                self._take(machine, remote, opened, whose, outcome)
                self._home.save(machine)
            payload = machine.payload(self._next_generation(machine), self._now_ms())
            # After a warning there is something to put right.
            in_step = opened is not None and not new_password and not outcome.warnings
            if remote and opened and in_step and payload.same_content(opened):
                return self._noted(machine, remote, opened, outcome)
            blob = await self._seal(machine, payload, password)
            over = remote.version if remote else None
            try:
                version = await self._server.store(
                    blob, over, payload.profile.attachment_id, progress
                )
            except Conflict:
                remote = await self._server.fetch()
                if remote is None or remote.blob != blob:
                    # Our new password opens nothing but our own upload.
                    continue
                version = remote.version
            outcome.stored = True
            return self._noted(machine, Remote(version, blob), payload, outcome)
        raise Conflict("Other machines write this backup all the time; try again later.")

    async def pull(
        self, passwords: Passwords, whose: Whose = Whose.ASK, progress: Progress = quiet
    ) -> SyncReport:
        """
        Take over what the backup holds; a folder without a machine becomes one.

        Raises `NoBackup`, `IdentityMismatch` and what `unseal` and `Server` raise.
        """
        machine = self._home.load() if self._home.exists else Machine()
        remote = await self._fetch(progress)
        opened = await self._open(remote, passwords.to_open())
        outcome = SyncReport()
        self._take(machine, remote, opened, whose, outcome)
        return self._noted(machine, remote, opened, outcome)

    async def verify(
        self, passwords: Passwords, progress: Progress = quiet
    ) -> tuple[SyncReport, Payload]:
        """Open the backup and compare it with this machine; change nothing."""
        machine = self._home.load() if self._home.exists else Machine()
        remote = await self._fetch(progress)
        opened = await self._open(remote, passwords.to_open())
        outcome = SyncReport(remote.version, opened.generation, opened.created_at_ms)
        self._take(machine, remote, opened, Whose.LOCAL, outcome)
        return outcome, opened

    async def delete(self) -> int:
        """Delete the backup on the server; return the version it had. Raises `NoBackup`."""
        facts = await self._server.look()
        if facts is None:
            raise NoBackup("The server has no backup.")
        await self._server.remove(facts.version)
        machine = self._home.load() if self._home.exists else Machine()
        seen = machine.seen.get(self._url)
        if seen is not None:
            machine.seen[self._url] = replace(seen, version=0, sha256="")
            self._home.save(machine)
        return facts.version

    async def _fetch(self, progress: Progress) -> Remote:
        remote = await self._server.fetch(progress)
        if remote is None:
            raise NoBackup("The server has no backup for this account.")
        return remote

    async def _open(self, remote: Remote, password: str, changed: bool = False) -> Payload:
        """Open off the loop; *changed* tells why a password that was right may not be."""
        try:
            return await asyncio.to_thread(unseal, remote.blob, password)
        except WrongPassword:
            if not changed:
                raise
            raise ChangedElsewhere(
                "The backup was changed by another machine, under another password. Pull it with "
                "that password first, then push again."
            ) from None

    async def _seal(self, machine: Machine, payload: Payload, password: str) -> bytes:
        if machine.cost is None:
            machine.cost = await asyncio.to_thread(calibrate)
        # Both fresh for every upload, so no key meets two nonces.
        salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
        return await asyncio.to_thread(seal, payload, password, machine.cost, salt, nonce)

    def _is_known(self, machine: Machine, remote: Remote) -> bool:
        seen = machine.seen.get(self._url)
        return seen is not None and seen.sha256 == digest(remote.blob)

    def _next_generation(self, machine: Machine) -> int:
        seen = machine.seen.get(self._url)
        return (seen.generation if seen else 0) + 1

    def _warn_of_absence(self, machine: Machine, outcome: SyncReport) -> None:
        seen = machine.seen.get(self._url)
        if seen is not None and seen.sha256:
            outcome.warn(
                f"The server has no backup any more, though this machine saw generation "
                f"{seen.generation}. Unless you deleted it elsewhere, the server lost it."
            )

    def _take(
        self, machine: Machine, remote: Remote, opened: Payload, whose: Whose, outcome: SyncReport
    ) -> None:
        """Merge *opened* into *machine* and remember it; nothing is changed when it raises."""
        self._take_identity(machine, opened, whose, outcome)
        self._compare_with_seen(machine, remote, opened, outcome)
        before = {contact.id: contact for contact in machine.contacts}
        theirs = {contact.id: contact for contact in opened.contacts}
        merged = merge_contacts(machine.contacts, opened.contacts)
        machine.contacts = merged.contacts
        machine.profile = merge_profiles(machine.profile, opened.profile)
        outcome.clashes += merged.clashes
        for contact in merged.contacts:
            known = before.get(contact.id)
            outcome.only_here += contact != theirs.get(contact.id)
            if contact == known or (known is None and contact.deleted):
                continue
            outcome.added += known is None or (known.deleted and not contact.deleted)
            outcome.removed += contact.deleted
            outcome.changed += known is not None and known.deleted == contact.deleted

    def _take_identity(
        self, machine: Machine, opened: Payload, whose: Whose, outcome: SyncReport
    ) -> None:
        if machine.identity is None or whose is Whose.REMOTE:
            outcome.took_identity = machine.identity != opened.identity
            machine.identity = opened.identity
        elif machine.identity != opened.identity and whose is Whose.ASK:
            raise IdentityMismatch(
                "The backup holds another identity than this machine. One of them will be gone: "
                "choose the backup's or the one that is here."
            )

    def _compare_with_seen(
        self, machine: Machine, remote: Remote, opened: Payload, outcome: SyncReport
    ) -> None:
        """Notice a rollback; remember only what is newer, so that it is noticed again."""
        seen = machine.seen.get(self._url)
        fresh = Seen(remote.version, opened.generation, opened.created_at_ms, digest(remote.blob))
        if seen is None or opened.generation > seen.generation:
            machine.seen[self._url] = fresh
        elif opened.generation < seen.generation:
            outcome.warn(
                f"The server handed out an older backup (generation {opened.generation}) than this "
                f"machine has seen ({seen.generation}). What is here was kept; unless you restored "
                "it on purpose, the server lost a backup or was rolled back."
            )
        elif seen.sha256 and fresh.sha256 != seen.sha256:
            outcome.warn(
                f"The server shows another backup of generation {seen.generation} than it showed "
                "before. Unless a backup was deleted and made anew, it shows machines different "
                "things."
            )

    def _noted(
        self, machine: Machine, remote: Remote, payload: Payload, outcome: SyncReport
    ) -> SyncReport:
        outcome.version = remote.version
        outcome.generation = payload.generation
        outcome.created_at_ms = payload.created_at_ms
        if outcome.stored:
            machine.seen[self._url] = Seen(
                remote.version, payload.generation, payload.created_at_ms, digest(remote.blob)
            )
            outcome.only_here = 0
        self._home.save(machine)
        return outcome


def make_machine(home: Home, machine: Machine) -> None:
    """Write the first state of *home*; raises `NotSetUp` when there is one already."""
    if home.exists:
        raise NotSetUp(f"{home.folder} holds a machine already.")
    home.save(machine)
