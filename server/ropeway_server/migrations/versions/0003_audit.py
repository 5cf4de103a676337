"""The audit log: rows are added, and never changed or removed again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = ("audit", "audit_datasets")


def upgrade() -> None:
    """Add the log, and triggers by which the database itself refuses to change it."""
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_table(
        "audit_datasets",
        sa.Column("dataset", sa.String(128), primary_key=True),
        sa.Column("number", sa.Integer, sa.ForeignKey("audit.number"), primary_key=True),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in _TABLES:
            for verb in ("UPDATE", "DELETE"):
                op.execute(f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                           "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END")  # fmt: skip
        return
    op.execute("CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS "
               "$$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$")  # fmt: skip
    for table in _TABLES:
        op.execute(f"CREATE TRIGGER {table}_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                   "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to()")  # fmt: skip


def downgrade() -> None:
    """Remove it: whoever does this has kept a copy elsewhere."""
    for table in reversed(_TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_is_only_added_to()")
