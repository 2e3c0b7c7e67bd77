"""What providers tell of grants, and the secret that it is known by"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

WAITING, SEEN_TO = sa.text("dispatched_at IS NULL"), sa.text("dispatched_at IS NOT NULL")
OF_APPLICATION = ["org_id", "environment", "slug"]


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=False)


def _moment(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    for name in ("signing_secret", "previous_signing_secret"):
        op.add_column("application", sa.Column(name, sa.LargeBinary(), nullable=True))
    op.add_column("application", _moment("previous_signing_until", nullable=True))
    op.create_table(
        "provider_event",
        _text("id"),
        _text("org_id"),
        _text("environment"),
        _text("slug"),
        _text("event_id"),
        _text("body_sha256"),
        sa.Column("ended", sa.JSON(), nullable=False),
        _moment("occurred_at"),
        _moment("received_at"),
        sa.Column("part", sa.Integer(), nullable=False),
        _text("after"),
        sa.Column("told", sa.Integer(), nullable=False),
        _moment("dispatched_at", nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["organization.id"]),
        sa.UniqueConstraint(*OF_APPLICATION, "event_id"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("provider_event_body", "provider_event", [*OF_APPLICATION, "body_sha256"])
    op.create_index(
        "undispatched_event",
        "provider_event",
        [*OF_APPLICATION, "id"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_index(
        "dispatched_event", "provider_event", ["dispatched_at"], sqlite_where=SEEN_TO, postgresql_where=SEEN_TO
    )


def downgrade() -> None:
    op.drop_table("provider_event")
    for name in ("signing_secret", "previous_signing_secret", "previous_signing_until"):
        op.drop_column("application", name)
