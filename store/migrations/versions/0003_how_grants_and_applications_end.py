"""When grants end, and events of applications"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("credential", sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("event") as event:
        event.alter_column("connection_id", existing_type=sa.String(), nullable=True)
