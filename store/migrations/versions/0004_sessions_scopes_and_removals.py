"""Sessions, scopes of API keys, idempotent answers, settings, removals, and the previous client secret"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UNFINISHED = sa.text("finished_at IS NULL")


def _text(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _moment(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _sealed(name: str, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _tenant() -> list[sa.Column[Any]]:
    return [_text("org_id"), _text("environment")]


def _of_account() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["org_id", "environment", "linked_account_id"],
        ["linked_account.org_id", "linked_account.environment", "linked_account.id"],
    )


def _of_organization() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["org_id"], ["organization.id"])


def _addressable() -> sa.UniqueConstraint:
    return sa.UniqueConstraint("org_id", "environment", "id")


def upgrade() -> None:
    every_scope = sa.text("""'["read", "connect", "tokens", "admin"]'""")
    op.add_column("api_key", sa.Column("scopes", sa.JSON(), nullable=False, server_default=every_scope))
    op.add_column("application", _sealed("previous_client_secret"))
    op.add_column("application", _moment("previous_until", nullable=True))
    op.add_column("application", _moment("removed_at", nullable=True))
    op.add_column("linked_account", _moment("removed_at", nullable=True))
    op.add_column("webhook_endpoint", _sealed("legacy_secret"))
    op.create_table(
        "tenant_settings",
        *_tenant(),
        sa.Column("allowed_origins", sa.JSON(), nullable=False),
        _of_organization(),
        sa.PrimaryKeyConstraint("org_id", "environment"),
    )
    op.create_table(
        "session_token",
        _text("id"),
        *_tenant(),
        _text("linked_account_id"),
        _text("token_sha256"),
        _text("refresh_sha256"),
        _sealed("sealed", nullable=False),
        _moment("created_at"),
        _moment("expires_at"),
        _moment("refresh_expires_at"),
        _moment("revoked_at", nullable=True),
        _of_account(),
        _addressable(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_sha256"),
        sa.UniqueConstraint("refresh_sha256"),
    )
    op.create_index("session_token_of_account", "session_token", ["org_id", "environment", "linked_account_id"])
    op.create_table(
        "connect_session",
        _text("id"),
        _text("secret_sha256"),
        *_tenant(),
        _text("linked_account_id"),
        sa.Column("body", sa.JSON(), nullable=False),
        _moment("created_at"),
        _moment("expires_at"),
        _text("browser_sha256", nullable=True),
        _of_account(),
        _addressable(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_sha256"),
    )
    op.create_table(
        "idempotent_answer",
        *_tenant(),
        _text("owner"),
        _text("key"),
        _text("request_sha256"),
        _text("claim"),
        sa.Column("status", sa.Integer(), nullable=True),
        _sealed("sealed"),
        _moment("started_at"),
        _moment("expires_at"),
        _of_organization(),
        sa.PrimaryKeyConstraint("org_id", "environment", "owner", "key"),
    )
    op.create_index("ix_idempotent_answer_expires_at", "idempotent_answer", ["expires_at"])
    op.create_table(
        "removal",
        _text("id"),
        *_tenant(),
        _text("kind"),
        _text("subject"),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        _moment("started_at"),
        _moment("finished_at", nullable=True),
        _of_organization(),
        _addressable(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("unfinished_removal", "removal", ["id"], sqlite_where=UNFINISHED, postgresql_where=UNFINISHED)


def downgrade() -> None:
    for table in ("removal", "idempotent_answer", "connect_session", "session_token", "tenant_settings"):
        op.drop_table(table)
    op.drop_column("webhook_endpoint", "legacy_secret")
    op.drop_column("linked_account", "removed_at")
    for column in ("removed_at", "previous_until", "previous_client_secret"):
        op.drop_column("application", column)
    op.drop_column("api_key", "scopes")
