"""Views by definition, and names of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Put each view's query and versions into one definition, and add the table of names."""
    op.add_column("views", sa.Column("definition", sa.JSON, nullable=True))
    views = sa.table(
        "views", sa.column("id"), sa.column("query", sa.JSON), sa.column("versions", sa.JSON),
        sa.column("definition", sa.JSON),
    )  # fmt: skip
    connection = op.get_bind()
    for row in connection.execute(sa.select(views)).all():
        made = {"kind": "query", "query": row.query, "versions": row.versions}
        connection.execute(views.update().where(views.c.id == row.id).values(definition=made))
    with op.batch_alter_table("views") as table:
        table.alter_column("definition", existing_type=sa.JSON, nullable=False)
        table.drop_column("query")
        table.drop_column("versions")
    op.create_table(
        "saved",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("view", sa.String(16), nullable=False),
        sa.Column("entry", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Go back to a query and versions; other views than those of queries are forgotten."""
    op.drop_table("saved")
    op.add_column("views", sa.Column("query", sa.JSON, nullable=True))
    op.add_column("views", sa.Column("versions", sa.JSON, nullable=True))
    views = sa.table(
        "views", sa.column("id"), sa.column("query", sa.JSON), sa.column("versions", sa.JSON),
        sa.column("definition", sa.JSON),
    )  # fmt: skip
    connection = op.get_bind()
    for row in connection.execute(sa.select(views)).all():
        made = row.definition
        chosen = views.c.id == row.id
        if made["kind"] != "query":
            connection.execute(views.delete().where(chosen))
            continue
        connection.execute(views.update().where(chosen).values(query=made["query"], versions=made["versions"]))
    with op.batch_alter_table("views") as table:
        table.alter_column("query", existing_type=sa.JSON, nullable=False)
        table.alter_column("versions", existing_type=sa.JSON, nullable=False)
        table.drop_column("definition")
