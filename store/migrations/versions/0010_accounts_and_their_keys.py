"""By which ids a provider names a connection's account; what a customer gave before consent; switching accounts

Connections from before have the key that is known of them, the account's identifier.
"""

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
        sa.PrimaryKeyConstraint("connection_id", "name", "value"),
        sa.ForeignKeyConstraint(
            ["org_id", "environment", "connection_id"], ["connection.org_id", "connection.environment", "connection.id"]
        ),
    )
    op.create_index("connection_of_key", "connection_key", ["org_id", "environment", "slug", "name", "value"])
    op.execute(
        "INSERT INTO connection_key (connection_id, name, value, org_id, environment, slug) "
        "SELECT id, 'account', identifier, org_id, environment, slug FROM connection "
        "WHERE identifier <> 'default' AND identifier NOT LIKE 'unidentified-%'"
    )
    op.add_column("connect_ticket", sa.Column("switch_account", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("connect_ticket", sa.Column("given", sa.LargeBinary()))


def downgrade() -> None:
    with op.batch_alter_table("connect_ticket") as table:
        table.drop_column("given")
        table.drop_column("switch_account")
    op.drop_table("connection_key")
