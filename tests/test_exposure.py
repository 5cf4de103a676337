"""Who saw a subject: by views, by shards that hold more than a view selects, by single samples."""

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3
from typer.testing import CliRunner

import guarded
from ropeway.catalog import StoreCatalog
from ropeway.cli import make_app
from ropeway.errors import NotFound
from ropeway.remote import ServiceCatalog
from ropeway.stores import open_store
from ropeway_server.audit import AuditLog
from ropeway_server.database import Database
from ropeway_server.exposure import exposures
from ropeway_server.principals import Principal
from ropeway_server.saved import SavedViews
from ropeway_server.tokens import Tokens
from ropeway_server.views import Views
from serving import serving

http = urllib3.PoolManager()


@pytest.fixture
def seen(guarded_store: str, tmp_path: Path) -> tuple[str, str, dict[str, str]]:
    """Several people did several things; the store, the database, and the views by name."""
    database_url = f"sqlite:///{tmp_path / 'seen.db'}"
    state = Database(database_url)
    tokens = {
        name: Tokens(state).create(name, by=Principal(name="t"), admin=True)[1]
        for name in ("ann", "bob", "cat", "dan", "eve")
    }
    state.close()
    views = {}
    with serving(guarded_store, database_url) as url:

        def catalog(name: str) -> ServiceCatalog:
            return ServiceCatalog(url, tokens[name])

        whole = catalog("ann").query(datasets=["free"])
        whole.table()
        whole.reader().read(0, 0, 512)
        part = catalog("bob").query(datasets=["free"], where="meta_free = 0")
        part.table()
        part.reader().read(0, 0, 512)  # its shard holds subjects 0 to 3
        other = catalog("cat").query(datasets=["signup"])  # has the same ages, and other people
        views = {"whole": whole.id, "part": part.id, "other": other.id}
        headers = {"Authorization": f"Bearer {tokens['dan']}"}
        http.request("GET", f"{url}/v1/samples/free/key-free-03-1", headers=headers)
        headers = {"Authorization": f"Bearer {tokens['eve']}"}
        http.request("GET", f"{url}/v1/samples/free/key-free-12-1", headers=headers)
    return guarded_store, database_url, views


def test_who_saw_a_subject(seen: tuple[str, str, dict[str, str]]) -> None:
    store, database_url, views = seen
    state = Database(database_url)
    catalog = StoreCatalog(open_store(store))
    search = AuditLog(state), catalog, Views(catalog, SavedViews(state)), "free"
    found = {(one.principal, one.action, one.view, one.how) for one in exposures(*search, "person-free-03")}
    whole, part = views["whole"], views["part"]
    assert found == {
        ("ann", "view made", whole, "selected"), ("ann", "samples listed", whole, "selected"),
        ("ann", "urls given", whole, "selected"), ("ann", "urls given", whole, "in a shard"),
        ("ann", "shard read", whole, "selected"), ("ann", "shard read", whole, "in a shard"),
        ("bob", "urls given", part, "in a shard"), ("bob", "shard read", part, "in a shard"),
        ("dan", "sample read", "", "selected"),
    }  # fmt: skip
    assert {one.principal for one in exposures(*search, "person-free-12")} == {"ann", "eve"}
    assert exposures(*search, "nobody") == exposures(*search, "it's' nobody") == []
    with pytest.raises(NotFound):
        exposures(*search[:3], "none", "x")
    state.close()


def test_a_joined_view_has_the_subjects_of_both(guarded_store: str, tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'joined.db'}"
    token = guarded.make_token(database_url, "fay", admin=True)
    with serving(guarded_store, database_url) as url:
        catalog = ServiceCatalog(url, token)
        ours = catalog.query(datasets=["signup"], where="key = 'key-signup-03-0'")
        theirs = catalog.query(datasets=["free"], where="key = 'key-free-03-0'")
        catalog.accept(ours.id)
        catalog.save(ours.join(theirs, on="age"), "joined")
        joined = catalog.view("joined")
        catalog.accept(joined.id)
        joined.table()
    state = Database(database_url)
    stored = StoreCatalog(open_store(guarded_store))
    views = Views(stored, SavedViews(state))
    for dataset in ("signup", "free"):
        found = exposures(AuditLog(state), stored, views, dataset, f"person-{dataset}-03")
        assert ("samples listed", joined.id, "selected") in {(one.action, one.view, one.how) for one in found}, dataset
        others = exposures(AuditLog(state), stored, views, dataset, f"person-{dataset}-04")
        assert joined.id not in {one.view for one in others if one.how == "selected"}
    state.close()


def test_the_command_shows_it(seen: tuple[str, str, dict[str, str]]) -> None:
    store, database_url, views = seen

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(make_app(), ["audit", "--database", database_url, *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    who = run("--dataset", "free", "--subject", "person-free-03", "--store", store, "--json")
    assert {one["principal"] for one in who} == {"ann", "bob", "dan"}
    assert "in a shard" in run("--dataset", "free", "--subject", "person-free-03", "--store", store)
    events = run("--dataset", "free", "--since", "1d", "--json")
    assert {one["event"]["principal"] for one in events} == {"ann", "bob", "dan", "eve"}
    assert views["part"] in run("--dataset", "free")
    assert run("--since", "2099-01-01", "--json") == []
    head = run("--check", "--json")
    assert head["events"] > len(events)
    assert run("--check", "--head", head["head"], "--json") == head
