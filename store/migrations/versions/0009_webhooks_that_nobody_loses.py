"""The order of events, attempts to deliver, replays, reminders, and what a webhook endpoint has besides"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FAILED = sa.text("status = 'failed'")
REPLAYED = sa.text("replay_id IS NOT NULL")
UNFINISHED = sa.text("finished_at IS NULL")
NUMBERED = """
    UPDATE event SET position = (
        SELECT numbered.position FROM (
            SELECT id, row_number() OVER (PARTITION BY org_id, environment ORDER BY created_at, id) AS position FROM event
        ) AS numbered WHERE numbered.id = event.id
    )
"""
COUNTED = """
    INSERT INTO event_counter (org_id, environment, last)
    SELECT org_id, environment, max(position) FROM event GROUP BY org_id, environment
"""
FOLLOWED = "UPDATE delivery SET position = (SELECT event.position FROM event WHERE event.id = delivery.event_id)"


def _text(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _moment(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _position(name: str = "position") -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _zero(name: str, kind: Any = sa.Integer) -> sa.Column[Any]:
    return sa.Column(name, kind(), nullable=False, server_default=sa.text("0"))


def _of(table: str, local: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["org_id", "environment", local], [f"{table}.org_id", f"{table}.environment", f"{table}.id"]
    )


def upgrade() -> None:
    op.add_column("application", _moment("outage_since", nullable=True))
    op.add_column("application", _moment("outage_ended_at", nullable=True))
    op.add_column("connection", sa.Column("in_outage", sa.Boolean(), nullable=False, server_default=sa.false()))
    days = sa.text("'[1.0, 3.0, 7.0]'")
    op.add_column("tenant_settings", sa.Column("reminder_days", sa.JSON(), nullable=False, server_default=days))
    _order_events()
    _extend_endpoints()
    op.add_column("delivery", _zero("round"))
    op.add_column("delivery", _text("replay_id", nullable=True))
    op.create_index(
        "delivery_of_replay", "delivery", ["replay_id", "status"], sqlite_where=REPLAYED, postgresql_where=REPLAYED
    )
    op.create_table(
        "delivery_attempt",
        _text("event_id"),
        _text("endpoint_id"),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _text("org_id"),
        _text("environment"),
        _moment("at"),
        sa.Column("seconds", sa.Float(), nullable=False),
        _text("url"),
        _text("method"),
        sa.Column("request_headers", sa.JSON(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        _text("note"),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        _of("event", "event_id"),
        _of("webhook_endpoint", "endpoint_id"),
        sa.PrimaryKeyConstraint("event_id", "endpoint_id", "round", "attempt"),
    )
    op.create_index("attempt_of_endpoint", "delivery_attempt", ["org_id", "environment", "endpoint_id"])
    op.create_table(
        "replay",
        _text("id"),
        _text("org_id"),
        _text("environment"),
        _text("endpoint_id"),
        _position("after_position"),
        _position("until_position"),
        _position(),
        sa.Column("missed_only", sa.Boolean(), nullable=False),
        sa.Column("replayed", sa.Integer(), nullable=False),
        _text("note"),
        _moment("started_at"),
        _moment("finished_at", nullable=True),
        _of("webhook_endpoint", "endpoint_id"),
        sa.UniqueConstraint("org_id", "environment", "id"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("unfinished_replay", "replay", ["id"], sqlite_where=UNFINISHED, postgresql_where=UNFINISHED)


def _order_events() -> None:
    """Those that there are come in the order of their time."""
    op.add_column("event", _zero("position", sa.BigInteger))
    op.execute(NUMBERED)
    op.create_index("event_position", "event", ["org_id", "environment", "position"], unique=True)
    op.create_table(
        "event_counter",
        _text("org_id"),
        _text("environment"),
        _position("last"),
        sa.ForeignKeyConstraint(["org_id"], ["organization.id"]),
        sa.PrimaryKeyConstraint("org_id", "environment"),
    )
    op.execute(COUNTED)
    op.add_column("delivery", _zero("position", sa.BigInteger))
    op.execute(FOLLOWED)
    of_endpoint = ["org_id", "environment", "endpoint_id", "position"]
    op.create_index("delivery_of_endpoint", "delivery", of_endpoint)
    op.create_index("failed_delivery", "delivery", of_endpoint, sqlite_where=FAILED, postgresql_where=FAILED)


def _extend_endpoints() -> None:
    nothing, yes = sa.text("'[]'"), sa.true()
    op.add_column("webhook_endpoint", sa.Column("applications", sa.JSON(), nullable=False, server_default=nothing))
    op.add_column("webhook_endpoint", sa.Column("reminders", sa.Boolean(), nullable=False, server_default=yes))
    op.add_column("webhook_endpoint", sa.Column("header_names", sa.JSON(), nullable=False, server_default=nothing))
    op.add_column("webhook_endpoint", _text("disabled_reason", nullable=True))
    for name in ("sealed_headers", "previous_secret"):
        op.add_column("webhook_endpoint", sa.Column(name, sa.LargeBinary(), nullable=True))
    for name in ("disabled_at", "failing_since", "failed_at", "previous_secret_until"):
        op.add_column("webhook_endpoint", _moment(name, nullable=True))


def downgrade() -> None:
    op.drop_table("replay")
    op.drop_table("delivery_attempt")
    op.drop_index("failed_delivery", "delivery")
    op.drop_index("delivery_of_endpoint", "delivery")
    op.drop_index("delivery_of_replay", "delivery")
    for column in ("round", "replay_id", "position"):
        op.drop_column("delivery", column)
    for column in (
        "applications", "reminders", "disabled_reason", "disabled_at", "failing_since", "failed_at", "previous_secret",
        "previous_secret_until", "sealed_headers", "header_names",
    ):  # fmt: skip
        op.drop_column("webhook_endpoint", column)
    op.drop_table("event_counter")
    op.drop_index("event_position", "event")
    op.drop_column("event", "position")
    op.drop_column("tenant_settings", "reminder_days")
    op.drop_column("connection", "in_outage")
    op.drop_column("application", "outage_since")
    op.drop_column("application", "outage_ended_at")
