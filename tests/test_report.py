"""A job's report: enough to make the views again and to name every sample that the job was given, in its order."""

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

import guarded
import packed
import ropeway
import tiny_store
from ropeway import definition
from ropeway.catalog import Catalog
from ropeway.stores import open_store
from ropeway.view import View
from serving import serving


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    store = open_store(tmp_path / "store")
    packed.publish(store, "d", samples=103)
    packed.publish(store, "other", samples=50, shape=(4,))
    return ropeway.connect(str(tmp_path / "store"))


def stepped(loader: Any, steps: int) -> list[Any]:
    """What each of the next steps gave, over epochs."""
    found = list[Any]()
    while len(found) < steps:
        for batch in loader:
            found.append(batch.get("__source__", "") + " ".join(batch["__key__"]))
            if len(found) == steps:
                break
    return found


def view_again(told: Any, catalog: Catalog) -> View:
    return catalog.make(definition.loads(msgspec.json.encode(told["definition"])))


def test_a_report_is_enough_to_name_every_sample_again(catalog: Catalog, tmp_path: Path) -> None:
    view = catalog.query(task="cls", where="age >= 12").few_shot("cls", per_class=21, seed=4)
    loader = ropeway.NumpyLoader(view, global_batch_size=9, seed=3, tail="wrap", order=ropeway.Shuffled(lanes=6))
    given = stepped(loader, 16)  # two epochs and a bit
    told = json.loads(json.dumps(loader.report()))
    packed.publish(open_store(tmp_path / "store"), "later", samples=90)  # the query alone would find these, too
    again = view_again(told["views"][0], ropeway.connect(str(tmp_path / "store")))
    assert again.id == told["views"][0]["id"] == view.id
    assert told["views"][0]["datasets"] == {"d": packed.VERSION, "other": packed.VERSION}
    assert (told["state"]["epoch"], told["state"]["position"]) == (2, 18)
    assert (told["order"], told["tail"]) == (repr(ropeway.Shuffled(lanes=6)), "wrap")
    replay = ropeway.NumpyLoader(
        again, global_batch_size=told["per_step"], seed=told["state"]["seed"], tail=told["tail"],
        order=ropeway.Shuffled(lanes=6), parts=[],
    )  # fmt: skip
    assert stepped(replay, 16) == given
    assert json.loads(json.dumps(replay.report()))["state"] == told["state"]


def test_a_mix_tells_each_of_its_views(catalog: Catalog) -> None:
    one, other = catalog.query(datasets=["d"], where="age < 40"), catalog.query(datasets=["other"])
    mix = ropeway.mix({one: 3, other: 1})
    loader = ropeway.StreamingLoader(mix, 4, seed=1, parts={"x": ropeway.Slab(0, 1)})
    given = stepped(loader, 11)
    told = json.loads(json.dumps(loader.report()))
    assert [(view["name"], view["share"]) for view in told["views"]] == [("d", 0.75), ("other", 0.25)]
    assert (told["mixed"], told["parts"]) == ("per-source", {"x": repr(ropeway.Slab(0, 1))})
    again = [view_again(view, catalog) for view in told["views"]]
    assert [view.id for view in again] == [one.id, other.id]
    shares = {view: named["share"] for view, named in zip(again, told["views"], strict=True)}
    replay = ropeway.NumpyLoader(ropeway.mix(shares), told["per_step"], seed=told["state"]["seed"], parts=[])
    assert stepped(replay, 11) == given


def test_batches_by_a_rule_and_the_torch_dataset_tell_theirs(catalog: Catalog) -> None:
    view = catalog.query(datasets=["d"])
    told = ropeway.NumpyLoader(view, ropeway.Groups(2), parts=[], rank=1, world_size=3).report()
    assert (told["batches"], told["per_step"], told["world_size"]) == (repr(ropeway.Groups(2)), 3, 3)
    dataset = ropeway.StreamingDataset(view, 8, seed=5)
    stepped(dataset, 15)
    loader = ropeway.NumpyLoader(view, 8, seed=5)
    stepped(loader, 15)
    assert dataset.report() == loader.report()


def test_replaced_samples_are_told(catalog: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shard = tmp_path / "store/d" / packed.VERSION / "train-000000.tar"
    content = bytearray(shard.read_bytes())
    content[600] ^= 1
    shard.write_bytes(content)
    view, bad = catalog.query(datasets=["d"]), ropeway.substitute(limit=2)
    caplog.set_level(logging.WARNING)
    for kind in (ropeway.StreamingLoader, ropeway.StreamingDataset):
        caplog.clear()
        loader = kind(view, 8, on_bad=bad, tail="pad")
        list(loader)
        (replaced,) = loader.report()["replaced"]
        assert (replaced["dataset"], replaced["key"]) == ("d", "k000000")
        assert "k000000" in caplog.text


def test_a_view_that_was_asked_over_hidden_datasets_tells_no_definition(tmp_path: Path) -> None:
    guarded.build_all(open_store(tmp_path / "store"))
    database = f"sqlite:///{tmp_path / 'state.db'}"
    with serving(str(tmp_path / "store"), database) as url:
        admin = ropeway.connect(url, guarded.make_token(database, "root", admin=True))
        view = admin.query(where="meta_free >= 0 or meta_closed > 90")
        (known,), (hidden,) = (
            ropeway.NumpyLoader(seen, 9, parts=[]).report()["views"]
            for seen in (view, ropeway.connect(url).view(view.id))
        )
    assert "meta_closed" in known["definition"]["query"]["where"]
    assert hidden == {**known, "definition": None}
    assert hidden["datasets"] == {"free": tiny_store.VERSION}
