"""Who may read what: every principal against every dataset at every route of the service. Nothing may leak."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import sqlalchemy as sa
import urllib3

import guarded
import tiny_store
from guarded import KINDS
from ropeway import manifest as m
from ropeway import wire
from ropeway.catalog import StoreCatalog
from ropeway.definition import Definition
from ropeway.stores import open_store
from ropeway.view import View
from ropeway_server import asking, routes
from ropeway_server.database import Database
from ropeway_server.grants import Grants, NewGrant
from ropeway_server.groups import Groups
from ropeway_server.principals import Principal
from ropeway_server.tokens import Tokens
from serving import serving

VERSION = tiny_store.VERSION
TODAY = datetime.now(UTC).date()
OPEN = {"free", "alike"}
http = urllib3.PoolManager()

READS: dict[str, set[str] | None] = {
    "nobody": OPEN,
    "without grants": OPEN,
    "by tier": {*OPEN, "signup"},
    "by group": {*OPEN, "trained"},
    "by everyone": OPEN,
    "with an expired grant": OPEN,
    "with a revoked grant": OPEN,
    "limited": {"free"},
    "limited to what is not granted": set(),
    "counting": OPEN,
    "limited admin": {"closed"},
    "admin": set(KINDS),
    "expired": None,
    "revoked": None,
    "foreign": None,
    "made up": None,
    "of another scheme": None,
}
"""Principal → the datasets it may read; None where its token must not hold at all."""


class Asked(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]


class World(NamedTuple):
    """A service, its store, and the Authorization header of each principal."""

    url: str
    store: Path
    headers: dict[str, str | None]

    def ask(self, who: str, method: str, path: str, body: object = None, **more: str) -> Asked:
        header = self.headers[who]
        headers = {"Content-Type": "application/json", **more} | ({} if header is None else {"Authorization": header})
        answer = http.request(method, self.url + path, body=None if body is None else json.dumps(body), headers=headers,
                              retries=False, redirect=False)  # fmt: skip
        heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        given = {name.lower(): value for name, value in answer.headers.items()}
        return Asked(answer.status, f"{answer.data.decode('utf-8', 'replace')}\n{heads}", given)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    guarded.build_all(open_store(folder / "store"))
    database = f"sqlite:///{folder / 'state.db'}"
    state = Database(database)
    headers = _principals(state, folder)
    state.close()
    with serving(str(folder / "store"), database) as url:
        yield World(url, folder / "store", headers)


def _principals(state: Database, folder: Path) -> dict[str, str | None]:
    tokens, grants, groups = Tokens(state), Grants(state), Groups(state)

    def token(name: str, **kwargs: Any) -> str:
        return f"Bearer {tokens.create(name, by=Principal(name='test'), **kwargs)[1]}"

    def grant(holder: str, **kwargs: Any) -> int:
        return grants.add(
            NewGrant(holder=holder, agreement="DUA 1", signed=TODAY, **kwargs), by=Principal(name="test")
        ).id

    elsewhere = Database(f"sqlite:///{folder / 'other.db'}")
    foreign = Tokens(elsewhere).create("ann", by=Principal(name="test"), admin=True)[1]
    elsewhere.close()
    grant("tier", tier="registered")
    groups.add("radiology", "grouped", by=Principal(name="test"))
    grant("group:radiology", dataset="trained")
    grant("group:surgery", dataset="closed")
    ended = grant("late", tier="credentialed", expires=datetime.now(UTC) + timedelta(days=1))
    with state.writing() as connection:
        connection.execute(sa.text("UPDATE grants SET expires = :t WHERE id = :n"),
                           {"t": datetime.now(UTC) - timedelta(seconds=1), "n": ended})  # fmt: skip
    grants.revoke(grant("fired", dataset="closed"), by=Principal(name="test"))
    grant("limited", tier="credentialed")
    grant("counting", dataset="closed", level="count")
    header = {
        "nobody": None, "without grants": token("plain"), "by tier": token("tier"), "by group": token("grouped"),
        "by everyone": token("someone"), "with an expired grant": token("late"), "with a revoked grant": token("fired"),
        "limited": token("limited", datasets=["free"]),
        "limited to what is not granted": token("plain", datasets=["closed"]), "counting": token("counting"),
        "limited admin": token("root", admin=True, datasets=["closed"]), "admin": token("root", admin=True),
        "expired": token("root", admin=True, expires=datetime.now(UTC) - timedelta(seconds=1)),
        "foreign": f"Bearer {foreign}", "made up": f"Bearer ropeway_{'0' * 12}_{'0' * 64}",
        "of another scheme": "Basic cm9vdDpyb290",
    }  # fmt: skip
    gone, text = tokens.create("root", by=Principal(name="test"), admin=True)
    tokens.revoke(gone.id, by=Principal(name="test"))
    return {**header, "revoked": f"Bearer {text}"}


@pytest.fixture(scope="module")
def views(world: World) -> dict[str, str]:
    """The view of each dataset, and one of all, made and accepted by an admin."""
    found = {}
    for name, asked in {**{name: {"datasets": [name]} for name in KINDS}, "all": {}}.items():
        answer = world.ask("admin", "POST", "/v1/views", asked)
        assert answer.status in (200, 201), answer.text
        found[name] = json.JSONDecoder().raw_decode(answer.text)[0]["id"]
        assert world.ask("admin", "POST", f"/v1/views/{found[name]}/licence").status == 200
        assert world.ask("admin", "PUT", f"/v1/saved/named-{name}", {"view": found[name]}).status == 200
    return found


def requests(dataset: str, view: str) -> list[tuple[str, str, object]]:
    """What there is to ask about one dataset, and the view of it."""
    key = f"key-{dataset}-00-0"
    named = f"meta_{dataset}"
    return [
        ("GET", "/v1/datasets", None),
        ("GET", f"/v1/datasets/{dataset}", None),
        ("GET", f"/v1/datasets/{dataset}?version={VERSION}", None),
        ("GET", "/v1/tasks", None),
        ("GET", "/v1/stats", None),
        ("GET", f"/v1/stats?by=dataset&by=domain&by=split&dataset={dataset}", None),
        ("GET", f"/v1/stats?by={named}", None),
        ("GET", f"/v1/stats?by=subject&by=key&by=age&where={quote(f'{named} >= 0')}", None),
        ("GET", f"/v1/stats?by=label&task=task-{dataset}", None),
        ("POST", "/v1/views", {}),
        ("POST", "/v1/views", {"datasets": [dataset]}),
        ("POST", "/v1/views", {"task": f"task-{dataset}"}),
        ("POST", "/v1/views", {"where": f"{named} >= 0"}),
        ("POST", "/v1/views", {"where": f"subject = 'person-{dataset}-00'"}),
        ("POST", "/v1/views", {"parts": [f"part-{dataset}"]}),
        ("POST", "/v1/views", {"kind": "query", "query": {}, "versions": {dataset: VERSION}}),
        (
            "POST",
            "/v1/views",
            {"kind": "query", "query": {"datasets": ["free"]}, "versions": {"free": VERSION, dataset: VERSION}},
        ),
        ("POST", "/v1/views", {"kind": "limit", "of": whole(dataset), "count": 3}),
        ("POST", "/v1/views", {"kind": "few-shot", "of": whole(dataset), "task": f"task-{dataset}", "per_class": 1}),
        ("GET", "/v1/saved", None),
        ("GET", f"/v1/views/named-{dataset}", None),
        ("PUT", f"/v1/saved/named-{dataset}", {"view": view}),
        ("GET", f"/v1/views/{view}", None),
        ("GET", f"/v1/views/{view}/licence", None),
        ("POST", f"/v1/views/{view}/licence", None),
        ("GET", f"/v1/views/{view}/shards", None),
        ("GET", f"/v1/views/{view}/samples", None),
        ("GET", f"/v1/views/{view}/columns?name=subject&name=key&name=age", None),
        ("GET", f"/v1/views/{view}/layout", None),
        ("GET", f"/v1/views/{view}/layout/part-{dataset}", None),
        ("POST", f"/v1/views/{view}/details", {"rows": [[0, 1]]}),
        ("POST", f"/v1/views/{view}/access", {}),
        ("POST", f"/v1/views/{view}/access", {"shards": [0], "proxied": True}),
        ("POST", f"/v1/views/{view}/credentials", {}),
        ("GET", f"/v1/samples/{dataset}/{key}", None),
        ("GET", f"/v1/samples/{dataset}/{key}/part-{dataset}", None),
        ("GET", f"/v1/samples/{dataset}/{key}/preview", None),
        ("GET", f"/v1/objects/{dataset}/{VERSION}/train-000000.tar", None),
        ("HEAD", f"/v1/objects/{dataset}/{VERSION}/train-000000.tar", None),
        ("GET", f"/v1/objects/free/{VERSION}/../../{dataset}/{VERSION}/train-000000.tar", None),
        ("GET", f"/v1/objects/{dataset}/{VERSION}/manifest.json", None),
    ]


def whole(dataset: str) -> dict[str, Any]:
    """The definition of the view of all samples of a dataset."""
    return {"kind": "query", "query": {"datasets": [dataset]}, "versions": {dataset: VERSION}}


def marks(dataset: str) -> list[str]:
    """Words that only this dataset's content has; its bare id is in what is asked, and so in some answers."""
    names = ("key", "part", "person", "content", "task", "title", "domain", "common", "rare", "named")
    return [*(f"{name}-{dataset}" for name in names), f"meta_{dataset}", KINDS[dataset].licence]


ADMINS_ONLY = [
    ("GET", "/v1/tokens", None),
    ("POST", "/v1/tokens", {"name": "evil", "admin": True}),
    ("DELETE", "/v1/tokens/000000000000", None),
    ("GET", "/v1/groups", None),
    ("PUT", "/v1/groups/radiology/plain", None),
    ("DELETE", "/v1/groups/radiology/grouped", None),
    ("GET", "/v1/grants", None),
    ("POST", "/v1/grants", {"holder": "plain", "dataset": "closed", "agreement": "mine", "signed": "2026-01-01"}),
    ("DELETE", "/v1/grants/1", None),
    ("GET", "/v1/audit", None),
    ("GET", "/v1/audit/check", None),
    ("GET", "/v1/audit/subjects/closed/person-closed-00", None),
]


@pytest.mark.parametrize("dataset", KINDS)
@pytest.mark.parametrize("who", READS)
def test_nothing_leaks(world: World, views: dict[str, str], who: str, dataset: str) -> None:
    may = READS[who]
    for view in (views[dataset], views["all"]):
        for method, path, body in requests(dataset, view):
            asked = quote(json.dumps([path, body]))
            answer = world.ask(who, method, path, body)
            if may is None:
                assert answer.status == 401, (path, answer)
                assert answer.headers["www-authenticate"] == "Bearer"
            hidden = set(KINDS) - (may or set()) - ({"closed"} if who == "counting" and _counts(path) else set())
            for other in hidden:
                told = [mark for mark in marks(other) if mark in answer.text and quote(mark) not in asked]
                assert not told, (who, method, path, body, answer)
            if dataset in hidden and (dataset in path or (view == views[dataset] and view in path)):
                assert answer.status >= 400 or path.startswith("/v1/stats"), (who, path, answer)


@pytest.mark.parametrize(("who", "accept"), [("nobody", wire.MEDIA_TYPE), ("counting", wire.ARROW)])
def test_nothing_leaks_in_other_media_types(world: World, views: dict[str, str], who: str, accept: str) -> None:
    hidden = set(KINDS) - (READS[who] or set())
    for dataset in KINDS:
        for method, path, body in requests(dataset, views[dataset]):
            asked, answer = quote(json.dumps([path, body])), world.ask(who, method, path, body, Accept=accept)
            for other in hidden - ({"closed"} if who == "counting" and _counts(path) else set()):
                told = [mark for mark in marks(other) if mark in answer.text and quote(mark) not in asked]
                assert not told, (who, method, path, body, answer)


def _counts(path: str) -> bool:
    return path.startswith(("/v1/stats", "/v1/datasets", "/v1/tasks")) and not path.startswith("/v1/datasets/")


@pytest.mark.parametrize("who", READS)
def test_what_may_be_read_is_read(world: World, views: dict[str, str], who: str) -> None:
    """Else the test above would pass on a service that answers nothing."""
    for dataset in READS[who] or ():
        if who != "nobody":  # nobody can accept a licence, and need not for the free one
            assert world.ask(who, "POST", f"/v1/views/{views[dataset]}/licence").status == 200
        elif dataset != "free":
            continue
        for method, path, body in requests(dataset, views[dataset]):
            if "manifest.json" in path or ".." in path or path.endswith("/credentials"):
                continue  # not there, for nobody
            if "free" not in (READS[who] or ()) and "free" in str(body):
                continue
            answer = world.ask(who, method, path, body)
            if who == "nobody" and path in (f"/v1/views/{views[dataset]}/licence", f"/v1/saved/named-{dataset}"):
                assert method == "GET" or answer.status == 401
                continue
            assert answer.status < 300, (path, body, answer)
            if f"/{dataset}" in path and method == "GET":
                assert any(mark in answer.text for mark in marks(dataset)), (path, answer)
    found = world.ask(who, "GET", "/v1/datasets")
    if READS[who] is not None:
        listed = {one["id"] for one in json.JSONDecoder().raw_decode(found.text)[0]}
        assert listed == (READS[who] or set()) | ({"closed"} if who == "counting" else set())


@pytest.mark.parametrize("who", READS)
def test_what_is_hidden_and_what_is_not_there_are_told_in_the_same_words(
    world: World, views: dict[str, str], who: str
) -> None:
    may = READS[who]
    for dataset in KINDS if may is None else set(KINDS) - may:
        for method, path, body in requests(dataset, views[dataset]):
            if dataset not in path and views[dataset] not in path and dataset not in str(body):
                continue
            if who == "counting" and path.startswith("/v1/stats"):
                continue
            missing = "a" * len(dataset)
            hidden = world.ask(who, method, path, body)
            other = path.replace(dataset, missing).replace(views[dataset], "0" * 16)
            content = json.dumps(body).replace(dataset, missing).replace(views[dataset], "0" * 16)
            absent = world.ask(who, method, other, json.loads(content))
            assert _words(hidden, dataset, views[dataset]) == _words(absent, missing, "0" * 16), (path, hidden, absent)


def _words(answer: Asked, dataset: str, view: str) -> tuple[int, str]:
    lines = [line for line in answer.text.splitlines() if not line.startswith(("date:", "x-request-id:"))]
    return answer.status, "\n".join(lines).replace(dataset, "DATASET").replace(view, "VIEW")


def joined(dataset: str) -> dict[str, Any]:
    """The definition of a view of free samples, each with a partner of another dataset."""
    return {"kind": "join", "of": whole("free"), "other": whole(dataset), "on": ["split"], "within": 0.5, "time": "age"}


@pytest.mark.parametrize("dataset", sorted(KINDS.keys() - {"free"}))
def test_a_joined_view_is_there_for_who_reads_both_sides_alone(world: World, dataset: str) -> None:
    made = world.ask("admin", "POST", "/v1/views", joined(dataset))
    assert made.status in (200, 201), made.text
    view = json.JSONDecoder().raw_decode(made.text)[0]["id"]
    assert world.ask("admin", "POST", f"/v1/views/{view}/licence").status == 200
    told = world.ask("admin", "GET", f"/v1/views/{view}/samples").text
    assert all(mark in told for mark in ("key-free-", f"key-{dataset}-"))
    for who in ("nobody", "by tier", "by group", "limited", "counting", "limited admin", "expired"):
        may = READS[who]
        for method, path, body in [("POST", "/v1/views", joined(dataset)), *requests(dataset, view)]:
            if path != "/v1/views" and view not in path:
                continue
            answer = world.ask(who, method, path, body)
            if may is None:
                assert answer.status == 401, (who, path, answer)
            elif not {"free", dataset} <= may and (view in path or body == joined(dataset)):
                absent = world.ask(who, method, path.replace(view, "0" * 16), _absent(body, dataset))
                assert answer.status == (401 if (who, method) == ("nobody", "POST") and "licence" in path else 404)
                assert _words(answer, dataset, view) == _words(absent, "a" * len(dataset), "0" * 16), (who, path)
            elif view in path and who != "nobody" and path.endswith("/licence"):
                assert answer.status == 200, (who, path, answer)


def _absent(body: object, dataset: str) -> object:
    return json.loads(json.dumps(body).replace(dataset, "a" * len(dataset)))


@pytest.mark.parametrize("who", [name for name in READS if name != "admin"])
def test_only_admins_administrate(world: World, who: str) -> None:
    for method, path, body in ADMINS_ONLY:
        answer = world.ask(who, method, path, body)
        assert answer.status == (401 if READS[who] is None or who == "nobody" else 403), (path, answer)
        assert "application/problem+json" in answer.headers["content-type"]


def test_every_route_is_in_this_matrix_or_needs_no_identity(world: World, views: dict[str, str]) -> None:
    """A new route under /v1 fails here until it is asked about above."""
    asked = [(method, path) for method, path, _ in (*requests("free", views["free"]), *ADMINS_ONLY)]
    document = json.JSONDecoder().raw_decode(world.ask("nobody", "GET", "/openapi.json").text)[0]
    for path, methods in document["paths"].items():
        for method in methods:
            if path.startswith("/v1/") and path != "/v1/me":
                assert any(_fits(path, method, one) for one in asked), (method, path)
            elif not path.startswith("/v1/"):
                assert path in ("/healthz", "/readyz", "/metrics"), path


def _fits(template: str, method: str, asked: tuple[str, str]) -> bool:
    have, want = asked[1].partition("?")[0].split("/"), template.split("/")
    if method != asked[0].lower() or (len(have) != len(want) and not template.endswith(("{path}", "{key}"))):
        return False
    return all(part.startswith("{") or part == given for part, given in zip(want, have, strict=False))


def test_every_route_knows_who_asks() -> None:
    modules = [import_module(f"{routes.__name__}.{found.name}") for found in iter_modules(routes.__path__)]
    known = [route for module in modules for route in module.router.routes]
    guarded_paths = {route.path for route in known if _asks(route.dependant)}
    free = {"/healthz", "/readyz", "/metrics", "/", "/docs", "/explorer/{name}"}
    assert guarded_paths >= {"/v1/datasets", "/v1/views/{view_id}/samples", "/v1/objects/{path:path}", "/v1/audit"}
    assert {route.path for route in known} - guarded_paths == free


def _asks(dependant: Any) -> bool:
    return isinstance(dependant.call, asking.Bearer) or any(_asks(inner) for inner in dependant.dependencies)


def test_a_service_without_anonymous_wants_a_token_for_everything(world: World, tmp_path: Path) -> None:
    with serving(str(world.store), anonymous=False) as url:
        closed = World(url, world.store, {"nobody": None})
        for method, path, body in requests("free", "0" * 16):
            answer = closed.ask("nobody", method, path, body)
            assert answer.status == 401, path
            assert method == "HEAD" or "ROPEWAY_TOKEN" in answer.text
        assert closed.ask("nobody", "GET", "/healthz").status == 200


def test_a_query_of_somebody_who_sees_more_is_not_told(world: World) -> None:
    """Two people ask for the same samples; the first one's words name what the second may not know of."""
    telling = {"where": "age >= 41 and (meta_free >= 0 or meta_closed > 90)"}
    first = json.JSONDecoder().raw_decode(world.ask("admin", "POST", "/v1/views", telling).text)[0]
    again = world.ask("nobody", "POST", "/v1/views", {"datasets": ["free"], "where": "age > 40"})
    second = json.JSONDecoder().raw_decode(again.text)[0]
    assert second["id"] == first["id"]
    for answer in (again, world.ask("nobody", "GET", f"/v1/views/{first['id']}")):
        assert "closed" not in answer.text
    assert "meta_closed" in world.ask("admin", "GET", f"/v1/views/{first['id']}").text


def test_a_stricter_tier_of_the_current_version_holds_for_the_earlier_ones(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    made = guarded.build(store, "free")
    with serving(str(tmp_path)) as url:
        here = World(url, tmp_path, {"nobody": None})
        view = json.JSONDecoder().raw_decode(here.ask("nobody", "POST", "/v1/views", {}).text)[0]["id"]
    newer = "f" * 12
    kinds = dict(guarded.KINDS)
    try:
        guarded.KINDS["free"] = guarded.Kind("restricted", "by application")
        guarded.build(store, "free", newer)
    finally:
        guarded.KINDS.update(kinds)
    assert StoreCatalog(store).manifest("free").version == newer
    with serving(str(tmp_path)) as url:
        here = World(url, tmp_path, {"nobody": None})
        for path in (f"/v1/objects/free/{made.version}/train-000000.tar", f"/v1/datasets/free?version={made.version}",
                     f"/v1/views/{view}"):  # fmt: skip
            assert here.ask("nobody", "GET", path).status == 404


def test_a_version_that_may_not_be_read_is_told_in_the_words_of_one_that_is_not_there(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    strict = guarded.build(store, "free")
    store.put(
        m.manifest_path("free", strict.version),
        m.dumps(replace(strict, card=replace(strict.card, access="restricted"))),
    )
    guarded.build(store, "free", "f" * 12)
    with serving(str(tmp_path)) as url:
        here = World(url, tmp_path, {"nobody": None})
        hidden, missing = (
            here.ask("nobody", "GET", f"/v1/datasets/free?version={version}") for version in (strict.version, "e" * 12)
        )
        assert (hidden.status, missing.status) == (404, 404)
        told, words = (json.JSONDecoder().raw_decode(answer.text)[0]["detail"] for answer in (hidden, missing))
        assert told.replace(strict.version, "e" * 12) == words


def test_rights_are_looked_at_before_a_view_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded.build_all(open_store(tmp_path / "store"))
    database = f"sqlite:///{tmp_path / 'state.db'}"
    admin = guarded.make_token(database, "root", admin=True)
    with serving(str(tmp_path / "store"), database) as url:
        asked = {"datasets": ["free", "closed"], "where": "age >= 0"}
        view = guarded.call("POST", f"{url}/v1/views", admin, asked).json()["id"]
    made, real = list[object](), StoreCatalog.pinned

    def counted(self: StoreCatalog, definition: Definition) -> View:
        made.append(definition)
        return real(self, definition)

    monkeypatch.setattr(StoreCatalog, "pinned", counted)
    with serving(str(tmp_path / "store"), database) as url:
        for path in ("", "/licence", "/shards", "/samples"):
            assert guarded.call("GET", f"{url}/v1/views/{view}{path}").status == 404
        assert made == []
        assert guarded.call("GET", f"{url}/v1/views/{view}", admin).json()["id"] == view
        assert len(made) == 1
        assert guarded.call("GET", f"{url}/v1/views/{view}").status == 404
