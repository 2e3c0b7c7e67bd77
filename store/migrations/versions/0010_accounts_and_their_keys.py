"""By which ids providers' events name the account of a connection"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connection_key",
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "environment", "connection_id"],
            ["connection.org_id", "connection.environment", "connection.id"],
        ),
        sa.PrimaryKeyConstraint("connection_id", "name", "value"),
    )
    op.create_index("connection_of_key", "connection_key", ["org_id", "environment", "slug", "name", "value"])


def downgrade() -> None:
    op.drop_table("connection_key")
