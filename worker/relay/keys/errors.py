"""What the relay's keys alone refuse, beside `worker.errors`."""

from worker.errors import Problem


class PrekeysExhausted(Problem):
    """No one-time prekey is left, so nothing was taken; `allow_no_otpk=1` does without."""

    status, code, title = 412, "prekeys_exhausted", "No one-time prekey is left"
