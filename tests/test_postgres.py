"""The service's state in SQLite and in PostgreSQL: the same schema from every earlier version, the same promises."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import packed
import ropeway
from ropeway.definition import Selected
from ropeway.errors import NotFound, ServiceError
from ropeway.query import Query
from ropeway.stores import open_store
from ropeway_server import database as state
from ropeway_server.acceptances import Acceptances
from ropeway_server.audit import AuditLog
from ropeway_server.audit_chain import START, Event, digest, dumps
from ropeway_server.database import Database, metadata
from ropeway_server.grants import Grants, NewGrant
from ropeway_server.principals import Principal
from ropeway_server.saved import SavedViews
from ropeway_server.tokens import Tokens
from serving import serving

MIGRATIONS = sorted(Path(state.__file__).with_name("migrations").joinpath("versions").glob("0*.py"))
REVISIONS = [file.name[:4] for file in MIGRATIONS]
TOKEN = f"ropeway_{'1' * 12}_{'2' * 64}"
SAVED = json.dumps({"name": "mine", "view": "0" * 16, "tags": [], "created": "2026-01-02T03:04:05Z",
                    "datasets": {"d": "0123456789ab"}, "samples": 3, "bytes": 4})  # fmt: skip


def test_the_schema_is_that_of_the_code(database_url: str) -> None:
    Database(database_url).close()
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_every_earlier_version_is_brought_up_to_date_with_what_it_holds(database_url: str, revision: str) -> None:
    engine = state._connect(database_url)
    state._migrate(engine, revision)
    row = {"id": "0" * 16, "query": '{"where": "age < 30"}', "versions": '{"d": "0123456789ab"}',
           "created": datetime.now(UTC)}  # fmt: skip
    with engine.begin() as connection:
        held = sa.inspect(connection).get_columns("views")
        if {"query", "versions"} <= {column["name"] for column in held}:
            connection.execute(
                sa.text("INSERT INTO views (id, query, versions, created) VALUES (:id, :query, :versions, :created)"),
                row,
            )
        else:
            made = '{"kind": "query", "query": {}, "versions": {"d": "0123456789ab"}}'
            connection.execute(
                sa.text("INSERT INTO views (id, definition, created) VALUES (:id, :made, :created)"),
                {**row, "made": made},
            )
        if revision >= "0002":
            connection.execute(
                sa.text("INSERT INTO grants (holder, tier, level, agreement, signed, created) "
                        "VALUES ('ann', 'registered', 'read', 'DUA 1', '2026-01-02', :created)"),
                {"created": datetime.now(UTC)},
            )  # fmt: skip
            _identities(connection)
        if revision >= "0003":
            event = dumps(Event(principal="ann", action="view made", view="0" * 16, datasets=("d",)))
            connection.execute(sa.text("INSERT INTO audit (number, entry, digest) VALUES (1, :entry, :digest)"),
                               {"entry": event, "digest": digest(START, event)})  # fmt: skip
            connection.execute(sa.text("INSERT INTO audit_datasets (dataset, number) VALUES ('d', 1)"))
        if revision >= "0004":
            named = {"name": "mine", "view": "0" * 16, "entry": SAVED}
            connection.execute(sa.text("INSERT INTO saved (name, view, entry) VALUES (:name, :view, :entry)"),
                               named)  # fmt: skip
    engine.dispose()
    database = Database(database_url)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(sa.text("SELECT count(*) FROM views")).scalar() == 1
    assert SavedViews(database).load("0" * 16).versions == {"d": "0123456789ab"}  # type: ignore[union-attr]
    assert SavedViews(database).datasets("0" * 16) is None  # nobody noted it then
    if revision >= "0002":
        assert [(grant.holder, grant.tier, grant.agreement) for grant in Grants(database).listed()] == [
            ("ann", "registered", "DUA 1")
        ]
        ann = Tokens(database).identify(TOKEN)
        assert (ann.name, ann.groups) == ("ann", frozenset({"radiology"}))
        assert Acceptances(database).of_dataset(ann, "d", "CC BY-SA 4.0")
    if revision >= "0003":
        last = AuditLog(database).check()
        assert last is not None
        assert (last.number, last.event.view) == (1, "0" * 16)
        AuditLog(database).add(Event(principal="bob", action="view made"))
        assert AuditLog(database).check(last.digest).number == 2  # type: ignore[union-attr]
    if revision >= "0004":
        assert [(one.name, one.view) for one in SavedViews(database).all()] == [("mine", "0" * 16)]
    database.close()


def _identities(connection: sa.Connection) -> None:
    """A token of somebody who is in a group and accepted a licence, as every version has kept them."""
    id_, secret, now = TOKEN.split("_")[1], TOKEN.split("_")[2], datetime.now(UTC)
    for table, row in (
        ("tokens", {"id": id_, "name": "ann", "digest": sha256(secret.encode()).hexdigest(), "admin": False,
                    "created": now}),
        ("members", {"principal": "ann", "group_name": "radiology"}),
        ("acceptances", {"principal": "ann", "view": "0" * 16, "dataset": "d", "licence": "CC BY-SA 4.0",
                         "accepted": now}),
    ):  # fmt: skip
        names = ", ".join(row)
        connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES (:{names.replace(', ', ', :')})"), row)


def test_replicas_that_start_together_bring_it_up_to_date_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for database in pool.map(lambda _: Database(database_url), range(4)):
            database.check()
            database.close()


def test_a_transaction_alone_is_alone(database_url: str) -> None:
    """Eight threads count up one number each fifty times, by reading and then writing it."""
    databases = [Database(database_url) for _ in range(2)]  # two replicas
    name = sa.text("SELECT value FROM secrets WHERE name = 'n'")

    def count(number: int) -> None:
        for _ in range(25):
            with databases[number % 2].alone() as connection:
                seen = connection.execute(name).scalar()
                if seen is None:
                    connection.execute(sa.text("INSERT INTO secrets VALUES ('n', '1')"))
                else:
                    connection.execute(sa.text("UPDATE secrets SET value = :v"), {"v": str(int(seen) + 1)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    with databases[0].reading() as connection:
        assert connection.execute(name).scalar() == "200"
    for database in databases:
        database.close()


def test_an_error_takes_a_transaction_back(database_url: str) -> None:
    database = Database(database_url)
    for way in (database.alone, database.writing):
        with suppress(ZeroDivisionError), way() as connection:
            connection.execute(sa.text("INSERT INTO secrets VALUES ('n', '1')"))
            raise ZeroDivisionError
    with database.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM secrets")).scalar() == 0
    database.close()


def test_times_are_the_same_in_both(database_url: str) -> None:
    database = Database(database_url)
    end = datetime(2099, 3, 4, 5, 6, 7, 89000, tzinfo=UTC)
    Tokens(database).create("ann", by=Principal(name="test"), expires=end)
    day = datetime(2026, 1, 2, tzinfo=UTC).date()
    Grants(database).add(
        NewGrant(holder="ann", agreement="A", signed=day, tier="registered", expires=end), by=Principal(name="test")
    )
    assert Tokens(database).listed()[0].expires == end
    assert Grants(database).listed()[0].expires == end
    assert Grants(database).listed()[0].signed == day
    database.close()


def test_a_memory_database_serves_many_threads() -> None:
    """It has one connection: what one thread does must not be undone by another one's end."""
    database = Database("sqlite://")
    begun = threading.Barrier(8)

    def save(number: int) -> None:
        begun.wait()
        for step in range(20):
            view = f"{number:08x}{step:08x}"
            SavedViews(database).add(view, Selected(query=Query(), versions={}), {"d": "0123456789ab"})
            SavedViews(database).load(view)
            assert SavedViews(database).datasets(view) == {"d": "0123456789ab"}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(8)))
    database.close()


def test_views_are_shared_by_replicas(database_url: str, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    packed.publish(open_store(store), samples=30)
    with serving(store, database_url) as first, serving(store, database_url) as second:
        view = ropeway.connect(first).query(where="age < 20")
        assert ropeway.connect(second).view(view.id).samples == view.samples == 20
        with pytest.raises(NotFound):
            ropeway.connect(second).view("0" * 16)


def test_a_password_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        Database(f"postgresql+psycopg://me:hush@/db?host={tmp_path}")
    assert "hush" not in str(caught.value)
