"""The index service where HTTP, restarts and damage get awkward; on a store that has everything a dataset can have."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

import ropeway
import tiny_store
from ropeway.errors import RopewayError, ServiceError
from ropeway.service import Service
from ropeway.stores import open_store
from ropeway_server import views as served_views
from ropeway_server.database import Database
from ropeway_server.run import listen
from ropeway_server.saved import SavedViews
from serving import serving
from tiny_store import Sample

SHARD = f"tiny/{tiny_store.VERSION}/train-000000.tar"
OTHER = [Sample(key="q", parts={"extra": ("txt", b"e")}, subject="z", meta={"height": 3.0})]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def call(url: str, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """One request whose path goes out as it is written: other clients tidy up `..` and `%2e`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    place = tmp_path / "store"
    tiny_store.build(open_store(place))
    tiny_store.build(open_store(place), "other", OTHER, tasks=(), meta={"height": "number"})
    return place


@pytest.fixture
def service(store: Path) -> Iterator[str]:
    with serving(str(store)) as url:
        yield url


@pytest.mark.parametrize(
    "path",
    [
        f"tiny/{tiny_store.VERSION}/../latest.json", "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd", "/etc/passwd", "file:///etc/passwd", "tiny", "tiny/", "tiny%00/x", "%ff",
        "tiny/latest.json", f"tiny/{tiny_store.VERSION}/manifest.json",
        f"tiny/{tiny_store.VERSION}/index/00000.parquet",
        f"other/{tiny_store.VERSION}/../../{SHARD}", f"tiny/{tiny_store.VERSION}/./train-000000.tar",
        f"tiny//{tiny_store.VERSION}/train-000000.tar", f"tiny/{'f' * 12}/train-000000.tar",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_but_published_shards_is_read(service: str, path: str, method: str) -> None:
    answer = call(service, f"/v1/objects/{path}", method=method)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("asked", "status", "given"),
    [
        ("bytes=0-0", 206, (0, 1)), ("bytes=-1024", 206, (-1024, None)), ("bytes=1024-", 206, (1024, None)),
        ("bytes=10-999999999999", 206, (10, None)), ("lines=1-2", 200, (0, None)), ("bytes=99999999-", 416, None),
        ("bytes=5-2", 416, None), ("bytes=0-1,4-5", 416, None), ("bytes=-0", 416, None), ("bytes=--5", 416, None),
        ("bytes=0-" + "9" * 5000, 416, None),
    ],
)  # fmt: skip
def test_ranges(service: str, store: Path, asked: str, status: int, given: tuple[int, int | None] | None) -> None:
    content = (store / SHARD).read_bytes()
    answer = call(service, f"/v1/objects/{SHARD}", Range=asked)
    assert answer.status == status
    if given is not None:
        assert answer.body == content[slice(*given)]
    else:
        assert json.loads(answer.body)["status"] == 416
        assert answer.headers["content-range"] == f"bytes */{len(content)}"


def test_conditions_on_shards(service: str, store: Path) -> None:
    path = f"/v1/objects/{SHARD}"
    head = call(service, path, method="HEAD", Range="bytes=0-9")  # a range means nothing to HEAD
    assert (head.status, int(head.headers["content-length"])) == (200, (store / SHARD).stat().st_size)
    tag = head.headers["etag"]
    assert call(service, path, If_None_Match=f'"other", W/{tag}').status == 304
    assert call(service, path, method="HEAD", If_None_Match="*").status == 304
    assert call(service, path, Range="bytes=0-9", If_Range=tag).status == 206
    assert call(service, path, Range="bytes=0-9", If_Range='"older"').status == 200


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_shard_that_cannot_be_read_is_a_problem(service: str, store: Path, damage: str) -> None:
    before = call(service, f"/v1/objects/{SHARD}", Range="bytes=2048-4095")
    assert before.status == 206
    if damage == "gone":
        (store / SHARD).unlink()
    else:
        (store / SHARD).write_bytes(b"short")
    answer = call(service, f"/v1/objects/{SHARD}", Range="bytes=2048-4095")
    assert answer.status == (404 if damage == "gone" else 502)
    assert len(answer.headers["x-request-id"]) == 16
    if damage == "short":
        with pytest.raises(RopewayError, match=r"\(request [0-9a-f]{16}\)"):
            Service(service).fetch(f"/v1/objects/{SHARD}", "application/x-tar")
    assert str(store).encode() not in answer.body  # where the store is, is the operator's business


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422), (b'{"x', 422), (b"null", 422), (b"[]", 422), (b"[" * 100_000, 400), (b'{"where": "\xff"}', 400),
        (b'{"task": NaN}', 422), (b'{"datasets": "tiny"}', 422), (b'{"datasets": [1]}', 422), (b'{"split": 1}', 422),
        (b'{"split": "Train"}', 422), (b'{"parts": ["nope"]}', 422), (b'{"task": "\\ud800"}', 422),
        (b'{"where": "sex = \'\\ud800\'"}', 422), (b'{"where": "sex = \'\\u0000\'"}', 422), (b'{"where": "1"}', 422),
        (b'{"where": "age > 1; drop table rows"}', 422), (b'{"where": "age > (select 1)"}', 422),
        (b'{"where": "lower(sex) = \'f\'"}', 422), (b'{"where": "age > \'x\'"}', 422), (b'{"where": "(((((age"}', 422),
        (b'{"where": "read_text(\'/etc/passwd\') = \'x\'"}', 422), (b'{"where": "label = \'MI\'"}', 422),
        (b'{"where": "' + b"(" * 50_000 + b'"}', 422),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_bodies_that_are_no_query(service: str, body: bytes, status: int) -> None:
    answer = call(service, "/v1/views", method="POST", body=body)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == status
    assert call(service, "/healthz").status == 200


def test_a_view_is_created_once(service: str) -> None:
    answers = [call(service, "/v1/views", method="POST", body=body) for body in (b"{}", b"{}", b'{"where": "true"}')]
    assert [answer.status for answer in answers] == [201, 200, 200]  # the same samples are the same view
    assert {json.loads(answer.body)["id"] for answer in answers} == {answers[0].headers["location"].rpartition("/")[2]}
    assert call(service, answers[0].headers["location"]).body == answers[0].body


@pytest.mark.parametrize(
    "asked",
    [
        {"where": "age > 3 or height > 9"}, {"where": "age > 4 and not has('extra')"}, {"task": "findings"},
        {"datasets": ["tiny", "other"], "where": "age >= 5"}, {"parts": ["note"], "split": "valid"},
    ],
)  # fmt: skip
def test_a_restart_keeps_views_whose_filter_names_what_only_other_datasets_have(
    store: Path, tmp_path: Path, asked: dict[str, object]
) -> None:
    database = f"sqlite:///{tmp_path / 'state.db'}"
    body = json.dumps(asked).encode()
    with serving(str(store), database) as first:
        made = json.loads(call(first, "/v1/views", method="POST", body=body).body)
    tiny_store.build(open_store(store), "newer", OTHER, tasks=(), meta={"height": "number"})
    with serving(str(store), database) as later:
        assert json.loads(call(later, f"/v1/views/{made['id']}").body) == made
        reopened = ropeway.connect(later).view(made["id"])
        assert len(reopened.table()) == len(reopened.columns(["subject"])) == made["samples"]


def test_a_view_whose_version_was_changed_is_refused(store: Path, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'state.db'}"
    with serving(str(store), database) as first:
        made = ropeway.connect(first).query(where="age < 30").id
    for file in sorted((store / "tiny").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    tiny_store.build(open_store(store), "tiny", tiny_store.samples(24))
    with serving(str(store), database) as later:
        answer = call(later, f"/v1/views/{made}")
    assert answer.status == 503
    assert "a dataset version of it was changed" in json.loads(answer.body)["detail"]


def test_memory_of_views_is_bounded(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_views, "KEPT", 2)
    monkeypatch.setattr(served_views, "REMEMBERED", 3)
    with serving(str(store)) as service:
        remote = ropeway.connect(service)
        ids = [remote.query(where=f"age < {limit}").id for limit in (10, 20, 30, 20, 40)]
        assert len(set(ids)) == 4
        assert [remote.view(name).id for name in ids] == ids  # what is forgotten is made again


def test_a_database_that_is_gone_is_told(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    database = Database(f"sqlite:///{file}")
    database.close()  # the next use connects anew
    file.write_bytes(b"this is no database" * 100)
    for use in (database.check, lambda: SavedViews(database).load("0" * 16)):
        with pytest.raises(ServiceError, match="the database does not answer"):
            use()
    database.close()


def test_samples_whose_keys_have_slashes_escapes_and_the_names_of_parts(tmp_path: Path) -> None:
    parts = {"note": ("txt", b"hello"), "scan": ("bin", b"\x00\x01")}
    keys = ("site/note", "a%2Eb", "site")
    samples = [Sample(key=key, parts=parts if key != "a%2Eb" else {"scan": ("bin", b"2")}) for key in keys]
    tiny_store.build(open_store(tmp_path), "named", samples)
    with serving(str(tmp_path)) as service:
        assert json.loads(call(service, "/v1/samples/named/a%252Eb").body)["key"] == "a%2Eb"
        assert call(service, "/v1/samples/named/site/note").body == b"hello"  # the part: there is a sample `site`
        assert call(service, "/v1/samples/named/site/note/scan").body == b"\x00\x01"
        lacking = call(service, "/v1/samples/named/a%252Eb/note")
        assert (lacking.status, b"lacks the part" in lacking.body) == (404, True)
        assert call(service, "/v1/samples/named/nope/note").status == 404


def test_a_key_that_ends_in_the_name_of_a_part_is_found_where_there_is_no_sample_before_it(tmp_path: Path) -> None:
    tiny_store.build(open_store(tmp_path), "named", [Sample(key="site/note", parts={"note": ("txt", b"hello")})])
    with serving(str(tmp_path)) as service:
        assert json.loads(call(service, "/v1/samples/named/site/note").body)["key"] == "site/note"


def test_one_sample_with_all_kinds_of_labels(service: str) -> None:
    sample = json.loads(call(service, "/v1/samples/tiny/site-1/p%252E0013").body)
    assert sample["labels"] == {"sick": "yes", "rhythm": "afib", "findings": ["MI", "CD"], "dose": 3.25}
    assert sample["meta"] == {"age": 13, "weight": 56.5, "sex": "M", "smoker": False}
    assert (sample["split"], sample["subject"]) == ("train", "s4")
    unlabelled = json.loads(call(service, "/v1/samples/tiny/site-1/p%252E0007").body)
    assert set(unlabelled["labels"].values()) == {None}


def test_metrics_hold_no_text_of_the_requester(service: str) -> None:
    call(service, "/secret-path")
    assert call(service, "/healthz", method="SECRET").status == 400
    call(service, "/healthz", method="PROPFIND")
    call(service, "/v1/samples/tiny/site-1/p%252E0013")
    text = call(service, "/metrics").body.decode()
    assert 'method="other"' in text
    assert 'route="none"' in text
    assert 'route="/v1/samples/{dataset}/{path:path}"' in text
    assert not any(word in text for word in ("secret", "SECRET", "PROPFIND", "E0013"))


def test_openapi_has_a_schema_for_every_answer_and_problem(service: str) -> None:
    document = json.loads(call(service, "/openapi.json").body)
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            named = described["responses"]["5XX"]["$ref"].rpartition("/")[2]
            problem = document["components"]["responses"][named]["content"]["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
            if method != "head":
                good = described["responses"].get("200") or described["responses"]["201"]
                answers = good["content"].values()
                assert all(answer["schema"] for answer in answers), (method, path)
    body = document["paths"]["/v1/views"]["post"]["requestBody"]["content"]["application/json"]
    query, definition = body["schema"]["anyOf"]
    assert query["additionalProperties"] is False
    assert set(body["examples"]["query"]["value"]) <= set(query["properties"])
    assert {one["$ref"].rpartition("/")[2] for one in definition["anyOf"]} <= set(document["components"]["schemas"])


def test_answers_differ_by_accept_and_say_so(service: str) -> None:
    for accept, given in (("application/msgpack", "application/msgpack"), ("*/*", "application/json")):
        answer = call(service, "/v1/tasks", Accept=accept)
        assert (answer.headers["content-type"], answer.headers["vary"]) == (given, "Accept, Authorization")


def test_answers_are_not_held_back_by_nagle() -> None:
    with listen("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP  # what asyncio looks at before it turns the delay off
