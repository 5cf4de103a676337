"""Requests of an attack that once made the service fail: each has its status and a problem document."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

import guarded
import tiny_store
from guarded import call, make_token
from ropeway.stores import open_store
from serving import serving


class Running(NamedTuple):
    url: str
    admin: str


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    guarded.build_all(open_store(tmp_path / "store"))
    admin = make_token(database_url, "root", admin=True)
    with serving(str(tmp_path / "store"), database_url) as url:
        yield Running(url, admin)


def test_requests_that_once_were_the_services_failure(running: Running) -> None:
    right = {"holder": "ann", "dataset": "free", "agreement": "A", "signed": "2026-01-02"}
    pinned = {"kind": "query", "query": {"where": "sex = '\ud800'"}, "versions": {"free": tiny_store.VERSION}}
    asked: list[tuple[str, str, object, tuple[int, ...]]] = [
        ("GET", "audit/check?head=not-a-digest", None, (422,)),
        ("GET", f"audit?since={quote('0001-01-01T00:00:00+14:00')}", None, (422,)),
        ("GET", f"audit?since={quote('9999-12-31T23:59:59-14:00')}", None, (422,)),
        ("POST", "tokens", {"name": "ann", "expires": "9999-12-31T23:59:59-14:00"}, (422,)),
        ("POST", "grants", {**right, "expires": "9999-12-31T23:59:59-14:00"}, (422,)),
        ("POST", "grants", {**right, "agreement": "A\0"}, (422,)),
        ("POST", "grants", {**right, "agreement": "A\x1b[2J"}, (422,)),
        ("POST", "views", pinned, (422,)),
        ("GET", "views/%00", None, (404,)),
        ("GET", "views/%00/samples", None, (404, 422)),
        ("PUT", "saved/%00", {"view": "\0"}, (404, 422)),
        ("DELETE", "tokens/%00", None, (404, 422)),
        ("DELETE", "groups/%00/ann", None, (404, 422)),
        ("DELETE", "groups/icu/%00", None, (404, 422)),
        ("GET", "audit?dataset=%00", None, (200, 422)),
    ]
    for method, path, body, statuses in asked:
        answer = call(method, f"{running.url}/v1/{path}", running.admin, body)
        assert answer.status in statuses, (path, body, answer.data)
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
    assert call("GET", f"{running.url}/v1/datasets").status == 200


def test_a_range_that_is_not_there_is_a_problem(running: Running) -> None:
    view = call("POST", f"{running.url}/v1/views", None, {"datasets": ["free"]}).json()["id"]
    for path in (f"objects/free/{tiny_store.VERSION}/train-000000.tar", f"views/{view}/samples"):
        for asked in ("bytes=5-1", "bytes=99999999999-", "bytes=0-0,2-3", "bytes=x-"):
            answer = call("GET", f"{running.url}/v1/{path}", None, Range=asked)
            assert (answer.status, answer.headers["content-type"]) == (416, "application/problem+json"), asked
            assert answer.headers["content-range"].startswith("bytes */")


def test_an_address_that_a_proxy_made_up_is_not_repeated(tmp_path: Path) -> None:
    guarded.build_all(open_store(tmp_path / "store"))
    database = f"sqlite:///{tmp_path / 'state.db'}"
    admin = make_token(database, "root", admin=True)
    with serving(str(tmp_path / "store"), database) as url:
        for name in ("John Smith", "A" * 5000, "10.1.2.3"):
            assert call("GET", f"{url}/v1/datasets/closed", **{"X-Forwarded-For": name}).status == 404
    with serving(str(tmp_path / "store"), database) as url:
        events = call("GET", f"{url}/v1/audit?dataset=closed", admin).json()
    assert [one["event"]["detail"]["address"] for one in events] == ["unknown", "10.1.2.3"]
    assert [one["event"]["detail"]["times"] for one in events] == [2, 1]
