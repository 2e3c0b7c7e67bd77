"""Whose data: every read and write names an organization and an environment."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, and_

from everlink.contract import ConnectionRef, DeliveryTask, Environment, InboxTask, RemovalTask, ReplayTask


class Scope(NamedTuple):
    """One organization in one environment."""

    org_id: str
    environment: Environment

    @classmethod
    def of(cls, owner: ConnectionRef | DeliveryTask | InboxTask | RemovalTask | ReplayTask) -> Scope:
        return cls(owner.org_id, owner.environment)

    def owns(self, table: Table) -> ColumnElement[bool]:
        """The condition that a row of this table is this tenant's."""
        return and_(table.c.org_id == self.org_id, table.c.environment == self.environment.value)

    @property
    def columns(self) -> dict[str, str]:
        return {"org_id": self.org_id, "environment": self.environment.value}
