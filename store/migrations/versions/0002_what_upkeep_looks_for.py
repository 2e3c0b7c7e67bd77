"""What upkeep looks for: grants that no workflow has confirmed, deliveries that are still scheduled"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UNCONFIRMED = sa.text("unconfirmed_generation IS NOT NULL")
SCHEDULED = sa.text("status = 'scheduled'")


def upgrade() -> None:
    op.add_column("credential", sa.Column("unconfirmed_generation", sa.Integer(), nullable=True))
    # A connection that never finished, but has a credential: its grant was stored and the workflow not told.
    op.execute(
        "UPDATE credential SET unconfirmed_generation = generation "
        "WHERE connection_id IN (SELECT id FROM connection WHERE status = 'pending')"
    )
    op.create_index(
        "unconfirmed_grant",
        "credential",
        ["connection_id"],
        sqlite_where=UNCONFIRMED,
        postgresql_where=UNCONFIRMED,
    )
    op.create_index(
        "scheduled_delivery",
        "delivery",
        ["event_id", "endpoint_id"],
        sqlite_where=SCHEDULED,
        postgresql_where=SCHEDULED,
    )


def downgrade() -> None:
    op.drop_index("scheduled_delivery", "delivery")
    op.drop_index("unconfirmed_grant", "credential")
    op.drop_column("credential", "unconfirmed_generation")
