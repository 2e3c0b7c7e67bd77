"""Where a refresh can be struck, and by what."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """The steps of a refresh in their order. Values are parts of linked accounts' ids."""

    READ = "read"
    BEGINNING = "beginning"
    BEGUN = "begun"
    SENDING = "sending"
    HALF_SENT = "half_sent"
    ANSWERED = "answered"
    SWAPPING = "swapping"
    SWAPPED = "swapped"
    REPORTING = "reporting"

    @property
    def words(self) -> str:
        return _WORDS[self]

    @property
    def may_lose_the_answer(self) -> bool:
        """The provider has rotated, and nothing of it is stored: nobody can save this without a reuse grace."""
        return self in (Step.ANSWERED, Step.SWAPPING)


_WORDS = {
    Step.READ: "credential read",
    Step.BEGINNING: "intent about to be written",
    Step.BEGUN: "intent written, request not begun",
    Step.SENDING: "request about to be sent",
    Step.HALF_SENT: "request's headers sent, body not",
    Step.ANSWERED: "request's last byte sent, server has answered, answer not read",
    Step.SWAPPING: "answer read, swap about to be written",
    Step.SWAPPED: "swap committed",
    Step.REPORTING: "result about to be reported",
}


class Fault(StrEnum):
    KILL = "killed"  # SIGKILL
    STOP = "stopped"  # SIGSTOP, and SIGCONT once another worker has finished the connections


class Server(StrEnum):
    """How the provider treats a refresh token that it has rotated."""

    STRICT = "strict"  # its reuse revokes the grant
    GRACE = "grace"  # its reuse repeats the answer for a while

    @property
    def grace_seconds(self) -> int:
        return 120 if self is Server.GRACE else 0
