"""Which dataset versions a view has samples of: so that rights are checked before it is made."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; views of before say nothing, and are made to find out."""
    op.add_column("views", sa.Column("datasets", sa.JSON, nullable=True))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("views", "datasets")
