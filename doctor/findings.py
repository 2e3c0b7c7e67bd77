"""What a check says: how it stands, in one line, and the way to mend it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel


class Standing(StrEnum):
    """How what was looked at stands."""

    OK = "ok"
    NOTE = "note"  # nothing is wrong
    WARNING = "warning"  # it works, and will trouble somebody
    FAILURE = "failure"  # something does not work


class Finding(BaseModel):
    """What one check found."""

    check: str
    standing: Standing
    said: str  # one line, no secret in it
    mend: str | None = None  # a command, or what to do


def ok(check: str, said: str) -> Finding:
    return Finding(check=check, standing=Standing.OK, said=said)


def note(check: str, said: str, mend: str) -> Finding:
    return Finding(check=check, standing=Standing.NOTE, said=said, mend=mend)


def warning(check: str, said: str, mend: str) -> Finding:
    return Finding(check=check, standing=Standing.WARNING, said=said, mend=mend)


def failure(check: str, said: str, mend: str) -> Finding:
    return Finding(check=check, standing=Standing.FAILURE, said=said, mend=mend)
