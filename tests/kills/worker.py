"""The worker that is killed: Everlink's own, with less patience, so that three days of retries fit into a minute.

Its timers and timeouts are shorter, and nothing else: what is promised does not hang on how long they are.
"""

from __future__ import annotations

from datetime import timedelta

import worker
from store import strays
from workflows import delivery, options

# So many that a listener that fails half of the time exhausts none of some thousand deliveries.
ATTEMPTS = 40


def hurry() -> None:
    delivery.DELAYS = (0, *[1] * (ATTEMPTS - 1))  # type: ignore[assignment]
    delivery.TRIES = ATTEMPTS
    options.DELIVERY_CALL = timedelta(seconds=10)  # this is how long a killed worker's attempt is missed
    options.STORE_CALL = timedelta(seconds=10)
    options.PROVIDER_CALL = timedelta(seconds=15)
    strays.OVERDUE_DELIVERY = timedelta(seconds=15)
    worker.UPKEEP_EVERY = timedelta(seconds=5)


if __name__ == "__main__":
    hurry()
    worker.main()
