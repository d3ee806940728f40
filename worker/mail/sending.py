"""
Mail that goes out behind an answer: tried a few times, counted for each mailbox, told to the log.

Nothing of a mail is logged, not even its address: a failure is an event with the kind of error.
"""

from typing import Final

from worker.env import Env
from worker.errors import MailUnavailable
from worker.identity.caller import pseudonym
from worker.identity.email_address import mailbox
from worker.limiter.counting import spared
from worker.limits import MAILS
from worker.mail.port import Mail, MailFailed

# Seconds before the second and the third try: work behind an answer of the edge ends after 30.
_PAUSES: Final = (1, 4)


def require(env: Env) -> None:
    """Raise `MailUnavailable` where no mail can be sent."""
    if not env.tools.mail.is_open:
        raise MailUnavailable("This deployment has no way to send mail.")


async def post(env: Env, mail: Mail, remote: str) -> None:
    """
    Send *mail* behind the answer, unless its mailbox had too many; nobody is told which.

    *remote* is the address of whoever asked. A mail that is held back is an event of the log.
    """
    if not spared(env.settings, remote):
        # A pseudonym: at the edge the key leaves this process.
        wait = await env.limiter.take(MAILS, pseudonym(env, f"mailbox\0{mailbox(mail.to)}"))
        if wait > 0:
            env.log.event("info", "mail_held_back")
            return
    env.tools.wait_until(_deliver(env, mail))


async def _deliver(env: Env, mail: Mail) -> None:
    for number, pause in enumerate((*_PAUSES, None), 1):
        try:
            await env.tools.mail.send(mail)
        except MailFailed as error:
            if pause is None or not error.passing:
                env.log.event("error", "mail_failed", reason=error.reason, tries=number)
                return
            await env.tools.pause(pause)
        except Exception as error:
            # An adapter's own fault: its text may quote the mail, so only its kind is written.
            env.log.error("mail_failed", error, tries=number)
            return
        else:
            return
