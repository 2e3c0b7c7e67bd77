"""Finding links to the hosted page that have ended: each new one deletes them"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_connect_session_expires_at", "connect_session", ["expires_at"])


def downgrade() -> None:
    op.drop_index("ix_connect_session_expires_at", "connect_session")
