"""Lists of connections by any filter, and links that are forgotten once they have expired"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LISTS = {
    "connections": (),
    "connections_of_application": ("slug",),
    "connections_of_account": ("linked_account_id",),
    "connections_of_both": ("linked_account_id", "slug"),
}
FLAGGED = sa.text("reason IS NOT NULL")


def upgrade() -> None:
    for name, columns in LISTS.items():
        given = ["org_id", "environment", *columns]
        op.create_index(f"{name}_by_status", "connection", [*given, "status", "health", "id"])
        op.create_index(
            f"{name}_by_reason",
            "connection",
            [*given, "reason", "health", "id"],
            sqlite_where=FLAGGED,
            postgresql_where=FLAGGED,
        )
    op.drop_index("connection_page", "connection")  # the same columns are unique, which is an index already
    op.create_index("ix_connect_ticket_expires_at", "connect_ticket", ["expires_at"])
    op.create_index("ix_oauth_state_ticket_id", "oauth_state", ["ticket_id"])
    op.create_index("ix_oauth_state_expires_at", "oauth_state", ["expires_at"])


def downgrade() -> None:
    op.drop_index("ix_oauth_state_expires_at", "oauth_state")
    op.drop_index("ix_oauth_state_ticket_id", "oauth_state")
    op.drop_index("ix_connect_ticket_expires_at", "connect_ticket")
    op.create_index("connection_page", "connection", ["org_id", "environment", "id"])
    for name in LISTS:
        op.drop_index(f"{name}_by_reason", "connection")
        op.drop_index(f"{name}_by_status", "connection")
