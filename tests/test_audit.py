"""The audit: everything that somebody gets is in it, nothing in it can be changed unseen, and it says who saw whom."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import urllib3
from hypothesis import given
from hypothesis import strategies as st

import ropeway
import tiny_store
from ropeway.errors import Conflict, FormatError, ServiceError
from ropeway.remote import ServiceCatalog
from ropeway_server import audit, audit_chain
from ropeway_server.audit import AuditLog, Event
from ropeway_server.database import Database
from ropeway_server.grants import Grants, NewGrant
from ropeway_server.principals import Principal
from ropeway_server.tokens import Tokens
from serving import serving

http = urllib3.PoolManager()


def event(number: int, **more: Any) -> Event:
    return Event(principal=f"p{number}", action="view made", datasets=("free",), **more)


# ---- the log


def test_events_come_back_as_they_were_logged(state: Database) -> None:
    log = AuditLog(state)
    given_events = [event(n, view=f"{n:016x}", objects=("é", "\u2028"), agreements=("DUA 1",), detail={"n": n})
                    for n in range(5)]  # fmt: skip
    log.add(*given_events[:2])
    for one in given_events[2:]:
        log.add(one)
    found = list(log.events())
    assert [one.event for one in found] == given_events
    assert [one.number for one in found] == [1, 2, 3, 4, 5]
    assert [one.number for one in log.events(view=f"{3:016x}")] == [4]
    assert [one.number for one in log.events(after=3)] == [4, 5]
    assert list(log.events(dataset="other")) == []
    later = (datetime.now(UTC) + timedelta(seconds=5)).isoformat(timespec="milliseconds")
    assert list(log.events(since=later)) == []
    last = log.check()
    assert last is not None
    assert last.number == 5


def test_an_empty_log_checks(state: Database) -> None:
    assert AuditLog(state).check() is None
    with pytest.raises(Conflict, match="is not in the audit"):
        AuditLog(state).check("f" * 64)


def test_a_long_log_is_read_page_by_page(state: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PAGE", 7)
    log = AuditLog(state)
    log.add(*(event(n) for n in range(50)))
    assert [one.number for one in log.events(dataset="free")] == list(range(1, 51))
    assert log.check() is not None


def test_threads_and_replicas_make_one_chain(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(2)]
    logs = [AuditLog(database) for database in databases]
    begin = threading.Barrier(8)

    def add(number: int) -> None:
        begin.wait()
        for step in range(25):
            logs[number % 2].add(event(number, detail={"step": step}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    found = list(logs[0].events())
    assert len(found) == 200
    for number in range(8):  # each one's own are in its order
        steps = [one.event.detail["step"] for one in found if one.event.principal == f"p{number}"]
        assert steps == list(range(25))
    last = logs[1].check()
    assert last is not None
    assert last.number == 200
    for database in databases:
        database.close()


def test_what_is_waited_for_together_is_written_together(state: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log, sizes, slow = AuditLog(state), list[int](), threading.Event()
    real = audit.write

    def counted(connection: Any, events: Any) -> None:
        slow.wait(0.1)
        sizes.append(len(events))
        real(connection, events)

    monkeypatch.setattr(audit, "write", counted)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: log.add(event(n)), range(16)))
    assert sum(sizes) == 16
    assert len(sizes) <= 4


def test_one_that_cannot_be_written_is_nobody_elses_loss(state: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log, real, failing = AuditLog(state), audit.write, threading.Event()

    def once(connection: Any, events: Any) -> None:
        if not failing.is_set():
            failing.set()
            raise ServiceError("the database does not answer")
        real(connection, events)

    monkeypatch.setattr(audit, "write", once)
    failures = []

    def add(number: int) -> None:
        try:
            log.add(event(number))
        except ServiceError:
            failures.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert len(failures) == 1
    assert {one.event.principal for one in log.events()} == {f"p{n}" for n in range(8) if n not in failures}


def test_the_same_again_is_told_once_in_a_while(state: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(state)
    for _ in range(3):
        log.add_once(event(1))
        log.add_once(event(2))
    assert len(list(log.events())) == 2
    monkeypatch.setattr(audit, "AGAIN", 0.0)
    log.add_once(event(1))
    assert len(list(log.events())) == 3


# ---- tampering

DROP = {
    "sqlite": [
        f"DROP TRIGGER {table}_no_{verb}" for table in ("audit", "audit_datasets") for verb in ("update", "delete")
    ],
    "postgresql": [f"DROP TRIGGER {table}_only_added_to ON {table}" for table in ("audit", "audit_datasets")],
}


def tamper(database_url: str, *statements: str) -> None:
    """What somebody with all rights to the database can do."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        for statement in (*DROP[engine.dialect.name], *statements):
            connection.execute(sa.text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE audit SET entry = replace(entry, 'p3', 'xx') WHERE number = 4", "event 4 is not what was logged"),
        ("UPDATE audit SET digest = '0' WHERE number = 2", "event 2 is not what was logged"),
        ("DELETE FROM audit WHERE number = 5", "event 5 is missing"),
        ("DELETE FROM audit WHERE number = 1", "event 1 is missing"),
        ("UPDATE audit SET number = 99 WHERE number = 10", "event 10 is missing"),
        ("INSERT INTO audit VALUES (11, '{}', 'x')", "event 11 is not what was logged"),
    ],
)
def test_what_was_changed_is_found(database_url: str, statement: str, words: str) -> None:
    database = Database(database_url)
    log = AuditLog(database)
    log.add(*(event(n) for n in range(10)))
    assert log.check() is not None
    tamper(database_url, "DELETE FROM audit_datasets", statement)
    with pytest.raises(FormatError, match=words):
        log.check()
    database.close()


def test_a_list_of_datasets_that_was_changed_is_found(database_url: str) -> None:
    database = Database(database_url)
    log = AuditLog(database)
    log.add(*(event(n) for n in range(10)))
    tamper(database_url, "DELETE FROM audit_datasets WHERE number = 3")
    with pytest.raises(FormatError, match="its list of datasets"):
        log.check()
    database.close()


def test_a_log_made_anew_or_cut_is_found_by_a_digest_kept_elsewhere(database_url: str) -> None:
    database = Database(database_url)
    log = AuditLog(database)
    log.add(*(event(n) for n in range(10)))
    head = log.check()
    assert head is not None
    assert log.check(head.digest) == head
    log.add(event(11))
    assert log.check(head.digest) is not None  # it has grown since
    tamper(database_url, "DELETE FROM audit_datasets WHERE number > 8", "DELETE FROM audit WHERE number > 8")
    assert log.check() is not None  # nothing shows …
    with pytest.raises(Conflict, match="is not in the audit"):
        log.check(head.digest)  # … but for this
    database.close()


def test_the_database_itself_refuses_to_change_it(database_url: str) -> None:
    database = Database(database_url)
    AuditLog(database).add(event(1))
    statements = ["UPDATE audit SET entry = ''", "DELETE FROM audit", "DELETE FROM audit_datasets",
                  "UPDATE audit_datasets SET dataset = 'x'"]  # fmt: skip
    if database_url.startswith("postgresql"):
        statements.append("TRUNCATE audit_datasets")
    for statement in statements:
        with pytest.raises(ServiceError, match="the audit log is only added to"), database.alone() as connection:
            connection.execute(sa.text(statement))
    assert AuditLog(database).check() is not None
    database.close()


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8), st.data())
def test_every_change_of_a_chain_shows(names: list[str], data: st.DataObject) -> None:
    rows, before = [], audit_chain.START
    for number, name in enumerate(names, 1):
        text = audit_chain.dumps(Event(principal=name, action="view made"))
        before = audit_chain.digest(before, text)
        rows.append((number, text, before))
    assert [one.event.principal for one in audit_chain.check(rows)] == names
    place = data.draw(st.integers(0, len(rows) - 1))
    number, text, digest = rows[place]
    other = audit_chain.dumps(Event(principal=names[place] + "x", action="view made"))
    changed = data.draw(
        st.sampled_from([
            [(number, other, digest)],
            [(number, text, digest[::-1] + "0")], [], [(number, text, digest), (number, text, digest)],
        ])
    )  # fmt: skip
    damaged = [*rows[:place], *changed, *rows[place + 1 :]]
    if damaged == rows[: len(damaged)]:  # a cut tail shows by a head kept elsewhere only
        return
    with suppress(IndexError), pytest.raises(FormatError):
        list(audit_chain.check(damaged))


# ---- the service


def actions(database_url: str, **asked: Any) -> list[tuple[str, str]]:
    database = Database(database_url)
    try:
        return [(one.event.principal, one.event.action) for one in AuditLog(database).events(**asked)]
    finally:
        database.close()


def test_what_somebody_gets_is_logged_with_the_agreement(guarded_store: str, database_url: str) -> None:
    database = Database(database_url)
    admin = Tokens(database).create("root", by=Principal(name="test"), admin=True)[1]
    token = Tokens(database).create("ann", by=Principal(name="test"))[1]
    day = datetime(2026, 1, 2, tzinfo=UTC).date()
    Grants(database).add(
        NewGrant(holder="ann", tier="registered", agreement="DUA 1", signed=day), by=Principal(name="test")
    )
    database.close()
    with serving(guarded_store, database_url) as url:
        catalog = ropeway.connect(url, token)
        assert isinstance(catalog, ServiceCatalog)
        view = catalog.query(datasets=["signup"])
        catalog.accept(view.id)
        reader = view.reader()
        for start in range(0, 4096, 512):
            reader.read(0, start, start + 512)
        view.columns(["age"])
        catalog.stats(["age"], where="meta_signup > 3")
        headers = {"Authorization": f"Bearer {token}"}
        http.request("GET", f"{url}/v1/samples/signup/key-signup-00-0/part-signup", headers=headers)
        seen = {"Authorization": f"Bearer {admin}"}
        events = http.request("GET", f"{url}/v1/audit?dataset=signup&after=2", headers=seen).json()
        found = {one["event"]["action"]: one["event"] for one in events if one["event"]["principal"] == "ann"}
        assert set(found) == {"view made", "licence accepted", "samples listed", "urls given", "shard read",
                              "columns read", "counted", "sample read"}  # fmt: skip
        assert len([one for one in events if one["event"]["action"] == "shard read"]) == 1  # not one per range
        shard = f"signup/{tiny_store.VERSION}/train-000000.tar"
        assert found["shard read"]["objects"] == [shard]
        assert found["shard read"]["view"] == found["urls given"]["view"] == view.id
        assert shard in found["urls given"]["objects"]
        assert found["sample read"]["objects"] == ["signup/key-signup-00-0"]
        assert found["counted"]["detail"]["where"] == "meta_signup > ?"
        for action in ("view made", "samples listed", "urls given", "shard read", "sample read"):
            assert found[action]["agreements"] == ["DUA 1, 2026-01-02"], action
        assert all(one["token"] == token.split("_")[1] for one in found.values())
        assert token.split("_")[2] not in json.dumps(events)
        checked = http.request("GET", f"{url}/v1/audit/check", headers=seen).json()
        assert checked["events"] >= len(events)
        assert http.request("GET", f"{url}/v1/audit/check?head={checked['head']}", headers=seen).status == 200
        assert http.request("GET", f"{url}/v1/audit/check?head={'0' * 64}", headers=seen).status == 409
        since = quote_time(datetime.now(UTC) + timedelta(minutes=1))
        assert http.request("GET", f"{url}/v1/audit?since={since}", headers=seen).json() == []


def quote_time(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def test_nothing_is_given_that_cannot_be_logged(guarded_store: str, tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'state.db'}"
    with serving(guarded_store, database_url) as url:
        view = ropeway.connect(url).query(datasets=["free"])
        engine = sa.create_engine(database_url)
        with engine.begin() as connection:
            connection.execute(
                sa.text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
            )
        engine.dispose()
        answer = http.request("GET", f"{url}/v1/views/{view.id}/samples", retries=False)
        assert answer.status == 503
        assert b"key-free" not in answer.data


def test_changes_by_operators_are_logged(state: Database, database_url: str) -> None:
    made, _ = Tokens(state).create("ann", by=Principal(name="cli:op"), datasets=["free"])
    Tokens(state).revoke(made.id, by=Principal(name="cli:op"))
    day = datetime.now(UTC).date()
    number = (
        Grants(state)
        .add(NewGrant(holder="ann", dataset="free", agreement="A", signed=day), by=Principal(name="cli:op"))
        .id
    )
    Grants(state).revoke(number, by=Principal(name="cli:op"))
    assert actions(database_url) == [
        ("cli:op", f"{what} {done}") for what, done in
        (("token", "created"), ("token", "revoked"), ("grant", "given"), ("grant", "revoked"))
    ]  # fmt: skip
    assert len(actions(database_url, dataset="free")) == 3
