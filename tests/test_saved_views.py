"""Views with names and definitions: the same view whoever asks, wherever it is kept."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import msgspec
import pytest

import packed
import ropeway
import tiny_store
from ropeway import definition
from ropeway.catalog import Catalog
from ropeway.definition import DEEPEST, Definition, FewShot, Limited, Selected
from ropeway.errors import AccessDenied, Conflict, FormatError, NotFound, QueryError, UsageError
from ropeway.query import Query
from ropeway.remote import ServiceCatalog
from ropeway.stores import open_store
from ropeway.view import View
from ropeway_server.database import Database
from ropeway_server.principals import Principal
from ropeway_server.tokens import Tokens
from serving import serving

MADE: list[Callable[[View], View]] = [
    lambda view: view,
    lambda view: view.limit(20, seed=3),
    lambda view: view.few_shot("cls", per_class=4),
    lambda view: view.balanced("cls").limit(50),
    lambda view: view.few_shot("cls", per_class=2, seed=1).limit(5).balanced("cls", seed=2),
]


@pytest.fixture
def store(tmp_path: Path) -> str:
    packed.publish(open_store(tmp_path / "store"), samples=103)
    return str(tmp_path / "store")


@pytest.fixture
def service(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A service, asked by an admin."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    database = Database(url)
    monkeypatch.setenv("ROPEWAY_TOKEN", Tokens(database).create("ann", admin=True, by=Principal(name="test"))[1])
    database.close()
    with serving(store, url) as running:
        yield running


@pytest.fixture(params=["store", "service"])
def where(request: pytest.FixtureRequest) -> str:
    """The same catalog, in-process and over HTTP."""
    return str(request.getfixturevalue(request.param))


def keys(view: View) -> list[str]:
    return [str(key) for key in view.table().keys.to_pylist()]


@pytest.mark.parametrize("make", MADE)
def test_a_named_view_is_the_same_for_somebody_else(where: str, make: Callable[[View], View]) -> None:
    view = make(ropeway.connect(where).query(where="age < 60"))
    given = ropeway.connect(where).save(view, "mine", tags=["paper", "paper", "v1"])
    assert (given.name, given.view, given.tags) == ("mine", view.id, ("paper", "v1"))
    assert (given.samples, given.bytes, given.datasets) == (view.samples, view.bytes, view.datasets)
    for name in ("mine", view.id):
        again = ropeway.connect(where).view(name)
        assert again.info == view.info
        assert keys(again) == keys(view)
        assert again.columns(["age"]).equals(view.columns(["age"]))
    assert ropeway.connect(where).saved() == [given]


def test_few_shot_views_stream_by_name(where: str) -> None:
    catalog = ropeway.connect(where)
    catalog.save(catalog.query(task="cls").few_shot("cls", per_class=5), "cls-5-shot")
    loader = ropeway.StreamingLoader(ropeway.connect(where).view("cls-5-shot"), 5, parts=["x"])
    seen = [key for batch in loader for key in batch["__key__"]]
    assert len(seen) == len(set(seen)) == 15
    assert sorted(int(key[1:]) % 3 for key in seen) == [0] * 5 + [1] * 5 + [2] * 5


def test_a_name_never_changes_its_meaning(where: str) -> None:
    catalog = ropeway.connect(where)
    view, other = catalog.query(), catalog.query(where="age < 9")
    first = catalog.save(view, "mine", tags=["a"])
    assert catalog.save(view, "mine", tags=["b"]) == first
    with pytest.raises(Conflict, match=f"the name 'mine' is view {view.id}'s since .* take another name"):
        catalog.save(other, "mine")
    catalog.save(other, "other")
    assert [saved.name for saved in catalog.saved()] == ["mine", "other"]


def test_views_are_pinned_to_versions(where: str, store: str) -> None:
    tiny_store.build(open_store(store))
    catalog = ropeway.connect(where)
    view = catalog.query(where="age < 30", datasets=["tiny"]).limit(10)
    catalog.save(view, "before")
    tiny_store.build(open_store(store), content=tiny_store.samples(20), version="f" * 12)
    again = ropeway.connect(where).view("before")
    assert keys(again) == keys(view)
    assert again.datasets == {"tiny": tiny_store.VERSION}


@pytest.mark.parametrize("name", ["", "A", "a/b", "../x", "a" * 65, "0123456789abcdef", "-a", "ä", "a b"])
def test_what_is_no_name_is_refused(where: str, name: str) -> None:
    catalog = ropeway.connect(where)
    with pytest.raises(UsageError, match="a view's name has up to 64 lower-case letters"):
        catalog.save(catalog.query(), name)
    if name != "0123456789abcdef":
        with pytest.raises(NotFound, match="no view"):
            catalog.view(name)


@pytest.mark.parametrize("tags", [[""], ["x" * 65], ["a\nb"], ["t"] * 33])
def test_what_are_no_tags_is_refused(where: str, tags: list[str]) -> None:
    catalog = ropeway.connect(where)
    with pytest.raises(UsageError, match="tags are up to 32 words"):
        catalog.save(catalog.query(), "mine", tags=tags)


def test_unknown_views_are_told(where: str) -> None:
    for name in ("nobody-knows", "0" * 16):
        with pytest.raises(NotFound, match=f"no view .*{name}"):
            ropeway.connect(where).view(name)


def test_a_store_tells_its_named_views_to_its_service(store: str, service: str) -> None:
    local = ropeway.connect(store)
    view = local.query(where="age < 40").limit(7)
    local.save(view, "from-the-store")
    assert keys(ropeway.connect(service).view("from-the-store")) == keys(view)
    assert keys(ropeway.connect(service).view(view.id)) == keys(view)
    assert [saved.name for saved in ropeway.connect(service).saved()] == ["from-the-store"]


def test_names_are_given_by_somebody(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROPEWAY_TOKEN")
    catalog = ropeway.connect(service)
    with pytest.raises(AccessDenied, match="views are named by somebody with a name"):
        catalog.save(catalog.query(), "mine")


def test_nothing_of_a_view_is_told_to_who_may_not_read_its_datasets(
    store: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tiny_store.build(open_store(store), access="credentialed")
    catalog = ropeway.connect(service)
    until = monotonic() + 10
    while len(catalog.datasets()) == 1 and monotonic() < until:
        sleep(0.05)
    both = catalog.query()
    assert isinstance(catalog, ServiceCatalog)
    catalog.accept(both.id)
    views = [catalog.query(datasets=["tiny"]), both.limit(9), catalog.query(datasets=["d"])]
    for number, view in enumerate(views):
        catalog.save(view, f"view-{number}")
    monkeypatch.delenv("ROPEWAY_TOKEN")
    anybody = ropeway.connect(service)
    assert [saved.name for saved in anybody.saved()] == ["view-2"]
    for number, view in enumerate(views[:2]):
        for name in (f"view-{number}", view.id):
            with pytest.raises(NotFound, match="no view"):
                anybody.view(name)
    assert closed.version
    assert views[0].definition is not None
    with pytest.raises(NotFound, match="no such dataset"):
        anybody.make(Limited(of=views[0].definition, count=1))
    assert anybody.view("view-2").definition == views[2].definition


def test_a_damaged_saved_view_is_told_with_its_place(store: str) -> None:
    catalog = ropeway.connect(store)
    view = catalog.query()
    catalog.save(view, "mine")
    for name in ("mine", view.id):
        Path(store, ".views", f"{name}.json").write_text('{"kind": "magic"}')
        with pytest.raises(FormatError, match=r"\.views/.*\.json"):
            ropeway.connect(store).view(name)


def test_views_of_a_store_survive_pickling(store: str) -> None:
    for make in MADE:
        view = make(ropeway.connect(store).query(where="age < 60"))
        again: View = pickle.loads(pickle.dumps(view))
        assert (again.info, keys(again)) == (view.info, keys(view))
        assert again.columns(["age"]).equals(view.columns(["age"]))


def test_a_definition_makes_the_same_view_again(where: str) -> None:
    catalog: Catalog = ropeway.connect(where)
    for make in MADE:
        view = make(catalog.query(where="age < 60", task="cls"))
        assert view.definition is not None
        told = msgspec.json.encode(view.definition)
        assert definition.loads(told) == view.definition
        assert ropeway.connect(where).make(definition.loads(told)).info == view.info


BARE = Selected(query=Query(), versions={"d": packed.VERSION})


@pytest.mark.parametrize(
    ("asked", "kind", "says"),
    [
        (Selected(query=Query(), versions={"d": "0" * 12}), NotFound, "no such"),
        (Selected(query=Query(), versions={"e": packed.VERSION}), NotFound, "no such"),
        (Selected(query=Query(where="height > 3"), versions={"d": packed.VERSION}), QueryError, "unknown column"),
        (Limited(of=BARE, count=1000), UsageError, "a limit is from 1"),
        (FewShot(of=BARE, task="nope", per_class=1), UsageError, "no task 'nope'"),
        (FewShot(of=BARE, task="cls", per_class=0), UsageError, "per_class is at least 1"),
    ],
)
def test_definitions_that_make_nothing(where: str, asked: Definition, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        ropeway.connect(where).make(asked)


@pytest.mark.parametrize(
    "text",
    [b"", b"7", b"{}", b'{"kind": "magic"}', b'{"kind": "limit", "count": 1}', b'{"kind": "query", "query": {}}',
     b'{"kind": "query", "query": {}, "versions": {"d": "x"}, "more": 1}', b'{"kind": "\xff"}',
     b'{"kind": "limit", "count": 1, "of": ' * 100_000],
)  # fmt: skip
def test_what_is_no_definition_is_refused(text: bytes) -> None:
    with pytest.raises(QueryError, match="definition"):
        definition.loads(text)


def test_definitions_have_a_depth() -> None:
    made: Definition = BARE
    for _ in range(DEEPEST - 1):
        made = Limited(of=made, count=1)
    assert definition.selections(made) == [BARE]
    with pytest.raises(QueryError, match=f"at most {DEEPEST} steps"):
        definition.loads(msgspec.json.encode(Limited(of=made, count=1)))
