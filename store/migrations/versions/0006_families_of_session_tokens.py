"""Which session tokens came of one another, finding those that have ended, and the hosted page's browsers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("session_token", sa.Column("family", sa.String(), nullable=False, server_default=""))
    op.create_index("ix_session_token_refresh_expires_at", "session_token", ["refresh_expires_at"])
    op.create_index("connect_session_of_browser", "connect_session", ["browser_sha256"], unique=True)


def downgrade() -> None:
    op.drop_index("connect_session_of_browser", "connect_session")
    op.drop_index("ix_session_token_refresh_expires_at", "session_token")
    op.drop_column("session_token", "family")
