"""How customers come back: where to, how it looks, what came of a try; who reads the console"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NONE = sa.text("'[]'")


COLUMNS = {
    "tenant_settings": (
        sa.Column("return_urls", sa.JSON(), nullable=False, server_default=NONE),
        sa.Column("brand_colour", sa.String(), nullable=True),
        sa.Column("logo", sa.String(), nullable=True),
    ),
    "application": (sa.Column("required_scopes", sa.JSON(), nullable=False, server_default=NONE),),
    "connect_session": (
        sa.Column("applications", sa.JSON(), nullable=False, server_default=NONE),
        sa.Column("return_url", sa.String(), nullable=True),
        sa.Column("embed_origin", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=True),
    ),
    "connect_ticket": (
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("return_url", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("connected_id", sa.String(), nullable=True),
    ),
}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "console_session",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("api_key_id", sa.String(), nullable=False),
        sa.Column("may_act", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["organization.id"]),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_sha256"),
    )
    op.create_index("ix_console_session_expires_at", "console_session", ["expires_at"])
    op.create_index("console_session_of_key", "console_session", ["api_key_id"])


def downgrade() -> None:
    op.drop_table("console_session")
    for table, columns in COLUMNS.items():
        for column in columns:
            op.drop_column(table, column.name)
