"""Who was refused what is in the audit too, and nobody can flood it."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from guarded import call, make_grant, make_token
from ropeway.errors import ServiceError
from ropeway_server import audit, refusals
from ropeway_server.audit import AuditLog
from ropeway_server.audit_chain import Event
from ropeway_server.database import Database
from ropeway_server.principals import Principal
from ropeway_server.refusals import Refusal, Refusals
from ropeway_server.settings import Limits
from ropeway_server.tokens import Tokens
from serving import serving


def refused(database_url: str, **asked: Any) -> list[Event]:
    """The refusals in the log, whose chain must hold."""
    database = Database(database_url)
    try:
        assert AuditLog(database).check() is not None
        return [one.event for one in AuditLog(database).events(**asked) if one.event.action == "refused"]
    finally:
        database.close()


def told(event: Event) -> tuple[object, ...]:
    detail = event.detail
    return event.principal, detail["status"], detail["reason"], event.datasets, detail["times"]


def test_what_was_not_given_is_in_the_audit(guarded_store: str, database_url: str) -> None:
    admin, ann = make_token(database_url, "root", admin=True), make_token(database_url)
    make_grant(database_url, dataset="signup")
    with serving(guarded_store, database_url) as url:
        hidden = call("POST", f"{url}/v1/views", admin, {"datasets": ["closed"]}).json()["id"]
        own = call("POST", f"{url}/v1/views", ann, {"datasets": ["signup"]}).json()["id"]
        asked = [
            call("GET", f"{url}/v1/datasets/closed", ann, **{"X-Request-ID": "request-0001"}),
            call("POST", f"{url}/v1/views", ann, {"datasets": ["closed"], "where": "subject = 'person-closed-03'"}),
            call("GET", f"{url}/v1/stats?dataset=closed&where=subject='person-closed-03'", ann),
            call("GET", f"{url}/v1/views/{hidden}/samples", ann),
            call("POST", f"{url}/v1/views/{own}/access", ann, {}),
            call("GET", f"{url}/v1/samples/signup/key-signup-00-0", ann),
            call("GET", f"{url}/v1/samples/closed/key-closed-00-0", ann),
            call("GET", f"{url}/v1/objects/closed/0123456789ab/train-000000.tar", ann),
            call("GET", f"{url}/v1/tokens", ann),
        ]
        assert [one.status for one in asked] == [404, 422, 422, 404, 403, 403, 404, 404, 403]
        for path in ("datasets/absent", "views/0123456789abcdef", "stats?where=age%20>", "nothing", "datasets/signup"):
            call("GET", f"{url}/v1/{path}", ann)  # nothing is refused here: it is not there, or is given
    found = refused(database_url)
    assert {told(one) for one in found} == {
        ("ann", 404, "may not be read", ("closed",), 3),
        ("ann", 404, "may not be read", ("closed",), 1),  # of the view
        ("ann", 422, "may not be read", ("closed",), 2),
        ("ann", 403, "licence not accepted", ("signup",), 1),  # of the view
        ("ann", 403, "licence not accepted", ("signup",), 1),
        ("ann", 403, "not an admin", (), 1),
    }
    assert {one.view for one in found} == {hidden, own, ""}
    assert {one.token for one in found} == {ann.split("_")[1]}
    (first,) = [one for one in found if one.detail["request"] == "request-0001"]
    assert (first.detail["route"], first.detail["method"]) == ("/v1/datasets/{dataset}", "GET")
    assert (first.detail["asked"], first.detail["address"]) == ("dataset closed", "127.0.0.1")
    assert len(refused(database_url, dataset="closed")) == 3
    assert not re.search("person-|key-|meta_", json.dumps([one.detail for one in found], default=str))


def test_tokens_that_do_not_hold_are_told_by_what_is_known_of_them(guarded_store: str, database_url: str) -> None:
    state = Database(database_url)
    expired = Tokens(state).create("ann", by=Principal(name="test"), expires=datetime.now(UTC) - timedelta(seconds=1))
    revoked = Tokens(state).create("bob", by=Principal(name="test"))
    Tokens(state).revoke(revoked[0].id, by=Principal(name="test"))
    state.close()
    tokens = {"expired": expired[1], "revoked": revoked[1], "stolen id": f"ropeway_{revoked[0].id}_{'0' * 64}",
              "made up": f"ropeway_{'0' * 12}_{'0' * 64}", "none": "what is this?"}  # fmt: skip
    with serving(guarded_store, database_url, anonymous=False) as url:
        for token in tokens.values():
            assert call("GET", f"{url}/v1/datasets/free", token).status == 401
        assert call("GET", f"{url}/v1/datasets/free").status == 401
        assert call("GET", f"{url}/v1/objects/free/x/y.tar?by=nothing").status == 403
    found = refused(database_url)
    assert {(one.principal, one.token, one.detail["reason"], one.detail["times"]) for one in found} == {
        ("ann", expired[0].id, "expired token", 1),
        ("bob", revoked[0].id, "revoked token", 1),
        ("anonymous", "", "unknown token", 2),  # whose id somebody guessed or found did not hold it
        ("anonymous", "", "not a token", 1),
        ("anonymous", "", "no token", 1),
        ("anonymous", "", "URL that was not signed here", 1),
    }
    assert all(one.detail["asked"] == "dataset free" for one in found)
    assert not any(token.split("_")[-1] in str(found) for token in tokens.values())


def test_a_url_that_stands_for_a_revoked_token_is_told_as_that_token(guarded_store: str, tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'state.db'}"
    token = make_token(database_url)
    with serving(guarded_store, database_url) as url:
        view = call("POST", f"{url}/v1/views", token, {"datasets": ["free"]}).json()["id"]
        given = call("POST", f"{url}/v1/views/{view}/access", token, {}).json()["urls"]["0"]
        state = Database(database_url)
        Tokens(state).revoke(token.split("_")[1], by=Principal(name="test"))
        state.close()
        assert call("GET", given).status == 401
    (found,) = refused(database_url)
    assert (found.principal, found.token, found.detail["reason"]) == ("ann", token.split("_")[1], "revoked token")
    assert "by=" not in str(found)


def test_a_flood_is_one_line_with_a_number(guarded_store: str, database_url: str) -> None:
    with serving(guarded_store, database_url, limits=Limits(rate=1, burst=300)) as url:
        found = [call("GET", f"{url}/v1/views/{number:016x}", f"made-up-{number}").status for number in range(400)]
    lines = {one.detail["reason"]: one for one in refused(database_url)}
    assert set(lines) == {"not a token", "too many requests"}
    assert {name: one.detail["times"] for name, one in lines.items()} == {
        "not a token": found.count(401), "too many requests": found.count(429),
    }  # fmt: skip
    assert (found.count(401) >= 300, found.count(429) > 50) == (True, True)
    assert lines["too many requests"].at <= str(lines["too many requests"].detail["last"])


def test_refusals_are_written_while_the_service_runs(
    guarded_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "EVERY", 0.05)
    database_url = f"sqlite:///{tmp_path / 'state.db'}"
    admin = make_token(database_url, "root", admin=True)
    with serving(guarded_store, database_url) as url:
        assert call("GET", f"{url}/v1/datasets/closed").status == 404
        wait_until(lambda: "refused" in call("GET", f"{url}/v1/audit?dataset=closed", admin).data.decode())


def wait_until(holds: Callable[[], bool]) -> None:
    until = monotonic() + 10
    while not holds():
        assert monotonic() < until
        sleep(0.02)


def test_more_clients_than_are_told_one_by_one_are_told_as_a_number(
    state: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST", 3)
    waiting = Refusals(AuditLog(state))
    for number in range(10):
        scope = {"type": "http", "method": "GET", "client": (f"10.0.0.{number}", 1)}
        waiting.add(Refusal(status=401, reason="no token"), scope)
    waiting.write()
    found = [one.event for one in AuditLog(state).events()]
    assert [one.detail["times"] for one in found] == [1, 1, 1, 7]
    assert found[-1].detail["reason"] == "one of too many to be told one by one"
    waiting.write()  # nothing is told twice
    assert len(list(AuditLog(state).events())) == 4


def test_what_the_database_does_not_take_is_kept_for_the_next_time(
    state: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, refusal = Refusals(AuditLog(state)), Refusal(status=401, reason="no token")
    scope = {"type": "http", "method": "GET", "client": ("10.0.0.1", 1)}
    waiting.add(refusal, scope)
    begun = datetime.now(UTC).isoformat(timespec="milliseconds")
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:  # and somebody is refused meanwhile
            sleep(0.002)
            waiting.add(refusal, scope)
            raise OperationalError("INSERT", {}, Exception("disk is full"))

        broken.setattr(audit, "write", fail)
        with pytest.raises(ServiceError):
            waiting.write()
    waiting.add(refusal, scope)
    waiting.write()
    (found,) = AuditLog(state).events()
    assert found.event.detail["times"] == 3
    assert found.event.at <= begun < str(found.event.detail["last"])


def test_what_an_admin_does_is_told_with_their_token(guarded_store: str, database_url: str) -> None:
    admin = make_token(database_url, "root", admin=True)
    with serving(guarded_store, database_url) as url:
        made = call("POST", f"{url}/v1/tokens", admin, {"name": "ann"}).json()["info"]["id"]
        right = {"holder": "ann", "dataset": "closed", "agreement": "A", "signed": "2026-01-02"}
        number = call("POST", f"{url}/v1/grants", admin, right).json()["id"]
        for method, path in (("DELETE", f"tokens/{made}"), ("DELETE", f"grants/{number}"), ("PUT", "groups/icu/ann"),
                             ("DELETE", "groups/icu/ann")):  # fmt: skip
            assert call(method, f"{url}/v1/{path}", admin).status == 200
        events = [one["event"] for one in call("GET", f"{url}/v1/audit?after=1", admin).json()]
    assert [one["action"] for one in events] == [
        "token created", "grant given", "token revoked", "grant revoked", "group joined", "group left",
    ]  # fmt: skip
    assert {(one["principal"], one["token"]) for one in events} == {("root", admin.split("_")[1])}
