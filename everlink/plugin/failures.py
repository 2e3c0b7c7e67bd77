"""What an activity that met a dead connection tells its workflow, recorded in the workflow's history."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError, field_validator
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory

from everlink.contract import Message, ReauthReason, harmless

FAILURE_TYPE = "ReauthRequired"


class DeadConnection(Message):
    """Which connection is dead, and how its workflow is to wait.

    The plugin's settings stand in it as they were when the activity failed: a replay decides from what is recorded.
    """

    connection_id: str
    application: str  # its slug; empty where Everlink could not be asked
    linked_account_id: str  # the same
    reason: ReauthReason | None
    since: datetime | None
    generation: int | None  # of the credential that is dead, for whoever reads the history
    endpoint: str | None  # the Nexus endpoint to wait through; None: by asking the API
    at_most: float | None  # seconds to wait; None: for ever; 0: not at all

    @field_validator("reason", mode="before")
    @classmethod
    def _known(cls, reason: object) -> object:
        """One of a later release is none, so that a workflow decides the same whichever release reads its history."""
        return next((known for known in ReauthReason if known == reason), None)

    @property
    def whose(self) -> str:
        """Whose connection to what, for people, in Markdown."""
        if not self.linked_account_id:
            return f"connection {harmless(self.connection_id)}"
        return f"{harmless(self.linked_account_id)}'s {self.application[:1].upper()}{self.application[1:]}"

    def failure(self) -> ApplicationError:
        """The activity's failure. Its one detail is a plain dict, so that any data converter takes it."""
        words = f": {self.reason.words}" if self.reason else ""
        return ApplicationError(
            f"{self.linked_account_id or 'the customer'} has to reconnect {self.application or 'an account'}{words}",
            self.model_dump(mode="json"),
            type=FAILURE_TYPE,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,  # the workflow knows what to do: no warning in the worker's log
        )

    @classmethod
    def of(cls, error: BaseException) -> DeadConnection | None:
        """What such a failure says, of a normal activity or a local one; None for any other."""
        cause = error.cause if isinstance(error, ActivityError) else error
        if not isinstance(cause, ApplicationError) or cause.type != FAILURE_TYPE:
            return None
        try:
            return cls.model_validate(cause.details[0]) if cause.details else None
        except ValidationError:  # another's failure of the same name
            return None
