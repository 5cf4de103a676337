"""Who asks, what they may read, and what they have accepted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add tokens, groups, grants, acceptances and the service's own secrets."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("datasets", sa.JSON, nullable=True),
        sa.Column("created", time, nullable=False),
        sa.Column("expires", time, nullable=True),
        sa.Column("revoked", time, nullable=True),
    )
    op.create_table(
        "members",
        sa.Column("principal", sa.String(128), primary_key=True),
        sa.Column("group_name", sa.String(64), primary_key=True),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("holder", sa.String(160), nullable=False),
        sa.Column("dataset", sa.String(128), nullable=True),
        sa.Column("tier", sa.String(16), nullable=True),
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("agreement", sa.String(512), nullable=False),
        sa.Column("signed", sa.Date, nullable=False),
        sa.Column("created", time, nullable=False),
        sa.Column("expires", time, nullable=True),
        sa.Column("revoked", time, nullable=True),
    )
    op.create_index("ix_grants_holder", "grants", ["holder"])
    op.create_table(
        "acceptances",
        sa.Column("principal", sa.String(128), primary_key=True),
        sa.Column("view", sa.String(16), primary_key=True),
        sa.Column("dataset", sa.String(128), primary_key=True),
        sa.Column("licence", sa.String(512), nullable=False),
        sa.Column("accepted", time, nullable=False),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(128), nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("secrets", "acceptances", "grants", "members", "tokens"):
        op.drop_table(table)
