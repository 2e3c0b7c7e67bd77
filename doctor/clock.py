"""This machine's clock beside another one's."""

from __future__ import annotations

from datetime import datetime

from doctor.findings import Finding, failure, ok, warning
from store.database import utc_now

WARN_FROM, FAIL_FROM = 5.0, 60.0  # seconds; workflows take five for the difference of honest clocks
MEND = "sudo timedatectl set-ntp true, on both machines"


def compared(check: str, theirs: datetime) -> Finding:
    """`theirs` was read a moment ago, to the second."""
    seconds = (utc_now() - theirs).total_seconds()
    off = abs(seconds)
    if off <= 1.5:
        return ok(check, "they agree to the second")
    said = f"this machine's is {off:.0f} s {'ahead' if seconds > 0 else 'behind'}"
    if off < WARN_FROM:
        return ok(check, said)
    return (failure if off >= FAIL_FROM else warning)(check, said, MEND)
