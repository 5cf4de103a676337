"""What licences say together, and that a view's has to be accepted once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import guarded
import ropeway
import tiny_store
from guarded import call, make_grant, make_token
from ropeway import licences
from ropeway import manifest as m
from ropeway.errors import AccessDenied
from ropeway.remote import ServiceCatalog
from ropeway.stores import open_store
from serving import serving

ORDER = ("NC", "ND", "SA", "registered", "credentialed", "restricted", "unclear")


def test_a_licence_is_accepted_once_per_view(guarded_store: str, database_url: str) -> None:
    token = make_token(database_url)
    make_grant(database_url, tier="credentialed")
    with serving(guarded_store, database_url) as url:
        catalog = ropeway.connect(url, token)
        assert isinstance(catalog, ServiceCatalog)
        view, part = catalog.query(), catalog.query(datasets=["trained"])
        found = catalog.licence(view.id)
        assert (found.needed, found.accepted) == (True, None)
        assert found.licence.terms == ("NC", "SA", "credentialed")
        assert {one.dataset for one in found.licence.datasets} == {"free", "alike", "trained"}
        assert any("alike" in conflict and "trained" in conflict for conflict in found.licence.conflicts)
        reads = ("shards", "samples", "columns?name=age", "layout", "layout/part-trained")
        for refused in (view, part):
            for path in reads:
                answer = call("GET", f"{url}/v1/views/{refused.id}/{path}", token)
                assert answer.status == 403
                assert "ropeway licence" in answer.json()["detail"]
            with pytest.raises(AccessDenied, match="has terms to accept first"):
                refused.table()
            for path, body in (("access", {}), ("credentials", {}), ("details", {"rows": [[0, 1]]})):
                assert call("POST", f"{url}/v1/views/{refused.id}/{path}", token, body).status == 403
        sample = f"{url}/v1/samples/trained/key-trained-00-0"
        alone = [
            sample,
            f"{sample}/part-trained",
            f"{sample}/preview",
            f"{url}/v1/objects/trained/{tiny_store.VERSION}/train-000000.tar",
        ]
        assert {call("GET", place, token).status for place in alone} == {403}
        first = catalog.accept(view.id).accepted
        assert first is not None
        assert catalog.accept(view.id).accepted == first == catalog.licence(view.id).accepted
        assert len(view.table()) == view.samples
        assert bytes(view.reader().read(0, 0, 512))
        assert {call("GET", place, token).status for place in alone} == {200}
        with pytest.raises(AccessDenied):
            part.table()  # another view


def test_a_dataset_under_another_licence_is_accepted_anew(guarded_store: str, sqlite: str) -> None:
    token, files = make_token(sqlite), open_store(guarded_store)
    with serving(guarded_store, sqlite) as url:
        catalog = ropeway.connect(url, token)
        assert isinstance(catalog, ServiceCatalog)
        catalog.accept(catalog.query(datasets=["alike"]).id)
        place = f"{url}/v1/samples/alike/key-alike-00-0"
        assert call("GET", place, token).status == 200
        later = guarded.build(files, "alike", version="0123456789ff")
        card = replace(later.card, licence="CC BY-NC-ND 4.0")
        files.put(m.manifest_path("alike", later.version), m.dumps(replace(later, card=card)))
        with serving(guarded_store, sqlite) as other:
            answer = call("GET", place.replace(url, other), token)
            assert (answer.status, "CC BY-NC-ND 4.0" in answer.json()["detail"]) == (403, True)


def test_somebody_without_a_name_reads_what_has_no_terms_and_accepts_nothing(guarded_store: str) -> None:
    with serving(guarded_store) as url:
        catalog = ropeway.connect(url)
        assert isinstance(catalog, ServiceCatalog)
        assert len(catalog.query(datasets=["free"]).table()) == 27
        view = catalog.query(datasets=["alike"])
        with pytest.raises(AccessDenied, match=r"NC, SA of alike .*ROPEWAY_TOKEN"):
            view.table()
        with pytest.raises(AccessDenied, match="somebody with a name"):
            catalog.accept(view.id)


@pytest.mark.parametrize(
    ("licence", "access", "terms"),
    [
        ("CC0-1.0", "open", ()), ("CC-BY-4.0", "open", ()), ("MIT", "open", ()), ("Apache-2.0", "open", ()),
        ("CC BY-NC-SA 4.0", "open", ("NC", "SA")), ("CC-BY-NC-ND-4.0", "open", ("NC", "ND")),
        ("CC BY-SA 3.0", "open", ("SA",)), ("AGPL-3.0", "open", ("SA",)), ("none stated", "open", ("unclear",)),
        ("", "open", ("unclear",)), ("Somebody's licence", "open", ("unclear",)),
        ("MIT", "registered", ("registered",)),
        ("PhysioNet Credentialed Health Data License 1.5.0", "credentialed", ("credentialed",)),
        ("DRIVE terms (research, registration)", "registered", ("NC", "registered")),
    ],
)  # fmt: skip
def test_terms_are_read_from_a_licences_name(licence: str, access: Any, terms: tuple[str, ...], tmp_path: Path) -> None:
    card = replace(guarded.build(open_store(tmp_path), "free").card, licence=licence, access=access)
    assert licences.terms_of(card) == terms
    assert licences.terms_of(replace(card, shareable=False)) == tuple(sorted({*terms, "ND"}, key=ORDER.index))


def test_conflicts_between_licences_are_told(tmp_path: Path) -> None:
    one = guarded.build(open_store(tmp_path), "free")

    def conflicts(*names: str) -> tuple[str, ...]:
        cards = [replace(one.card, licence=name) for name in names]
        return licences.joined([replace(one, card=card, dataset=f"d{n}") for n, card in enumerate(cards)]).conflicts

    assert conflicts("CC BY-SA 4.0", "CC0", "MIT") == ()
    assert conflicts("CC BY-SA 4.0", "CC-BY-SA-4.0") == ()  # the same one, written otherwise
    assert len(conflicts("CC BY-SA 4.0", "CC BY-NC 4.0")) == 1
    assert len(conflicts("CC BY-SA 4.0", "CC BY-NC-SA 4.0")) == 2
    assert "d0" in conflicts("CC BY-SA 4.0", "CC BY-ND 4.0")[0]
