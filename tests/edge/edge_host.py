"""The Worker in real workerd, with the same verbs that tests use on a running host."""

import time

from aiohttp import ClientSession

from tests.support.clock import Clock
from tests.support.running_host import SECRETS, RunningHost
from worker.identity.tokens import issue
from worker.settings import Settings


class EdgeHost(RunningHost):
    """A client of the Worker in workerd."""

    def __init__(self, url: str, session: ClientSession) -> None:
        self.url = url
        self.session = session
        self.log = []
        self.clock = Clock()
        self.settings = Settings.load(SECRETS)

    def token(self, *scopes: str, subject: str = "tester") -> str:
        """Return an access token."""
        return issue(self.settings.signing_keys, subject, list(scopes), time.time(), 15)
