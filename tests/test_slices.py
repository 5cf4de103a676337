"""Packing in slices: the last one publishes, once, whatever the order and whoever runs twice."""

import json
import multiprocessing
from itertools import permutations
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ropeway.cli import make_app
from ropeway.errors import StoreError, UsageError
from ropeway.stores import LocalStore
from ropeway_shardgen.pack import Packed, pack
from ropeway_shardgen.plan import Settings, make_plan
from ropeway_shardgen.slices import Slice, Unfinished, pack_slice, publish_slices
from shardgen_raw import RECIPE, recipe, stored_digests, write_raw

SMALL = Settings(shard_size=20_000)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("slices") / "raw")


@pytest.fixture(scope="module")
def whole(root: Path) -> dict[str, str]:
    """What packing at once makes."""
    store = LocalStore(root.parent / "whole")
    pack(recipe(), root, store, SMALL)
    return stored_digests(store)


@pytest.mark.parametrize("order", [*permutations((1, 2, 3))])
def test_the_last_slice_publishes(order: tuple[int, ...], root: Path, whole: dict[str, str], tmp_path: Path) -> None:
    store, plan = LocalStore(tmp_path), make_plan(recipe(), root, SMALL)
    *before, last = [pack_slice(plan, store, SMALL, Slice(number, 3)) for number in order]
    assert all(isinstance(one, Unfinished) for one in before)
    assert [one.missing for one in before if isinstance(one, Unfinished)][-1] > 0
    assert isinstance(last, Packed)
    assert not last.already_published
    assert stored_digests(store) == whole
    again = pack_slice(plan, store, SMALL, Slice(2, 3))
    assert isinstance(again, Packed)
    assert again.already_published
    assert stored_digests(store) == whole


def test_a_slice_that_runs_twice_packs_nothing_again(root: Path, tmp_path: Path) -> None:
    store, plan = LocalStore(tmp_path), make_plan(recipe(), root, SMALL)
    first = pack_slice(plan, store, SMALL, Slice(1, 2))
    tags = {stat.path: stat.tag for stat in store.objects()}
    again = pack_slice(plan, store, SMALL, Slice(1, 2))
    assert isinstance(first, Unfinished)
    assert isinstance(again, Unfinished)
    assert (first.resumed, again.resumed) == (0, first.packed)
    assert {stat.path: stat.tag for stat in store.objects()} == tags


def test_more_slices_than_shards(root: Path, whole: dict[str, str], tmp_path: Path) -> None:
    store, plan = LocalStore(tmp_path), make_plan(recipe(), root, SMALL)
    count = len(plan.shards) + 2
    done = [pack_slice(plan, store, SMALL, Slice(number, count)) for number in range(1, count + 1)]
    assert [isinstance(one, Packed) for one in done][-4:] == [False, True, True, True]
    assert stored_digests(store) == whole


def test_slices_at_once(root: Path, whole: dict[str, str], tmp_path: Path) -> None:
    store, plan = LocalStore(tmp_path), make_plan(recipe(), root, SMALL)
    work = [(plan, store, SMALL, Slice(number, 2)) for number in (1, 2, 1, 2)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        done = pool.starmap(pack_slice, work)
    assert any(isinstance(one, Packed) for one in done)
    assert stored_digests(store) == whole


def test_publishing_by_hand(root: Path, whole: dict[str, str], tmp_path: Path) -> None:
    store, plan = LocalStore(tmp_path), make_plan(recipe(), root, SMALL)
    pack_slice(plan, store, SMALL, Slice(1, 2))
    wrong = rf"{len(plan.shards) // 2} of {len(plan.shards)} shards are not packed, the first is train-000001\.tar"
    with pytest.raises(StoreError, match=wrong):
        publish_slices(plan, store)
    pack_slice(plan, store, SMALL, Slice(2, 2))
    assert publish_slices(plan, store).already_published
    assert stored_digests(store) == whole


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "-1/3", "1/0"])
def test_what_is_no_slice(text: str) -> None:
    with pytest.raises(UsageError, match="slice"):
        Slice.parse(text)


def test_the_command(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    command = ["pack", str(tmp_path / "tiny.toml"), "--root", str(root), "--store", str(tmp_path / "store")]
    command += ["--shard-size", "20kB"]
    runner = CliRunner()
    told = runner.invoke(make_app(), [*command, "--slice", "1/2", "--json"], catch_exceptions=False)
    found = json.loads(told.stdout)
    assert (found["published"], found["resumed_shards"]) == (False, 0)
    assert found["missing_shards"] > 0
    told = runner.invoke(make_app(), [*command, "--slice", "1/2"], catch_exceptions=False)
    assert f"{found['missing_shards']} shards of other slices are missing" in told.stdout
    told = runner.invoke(make_app(), [*command, "--slice", "2/2", "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["published"]
    told = runner.invoke(make_app(), [*command, "--publish"], catch_exceptions=False)
    assert "is already published" in told.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slice", "1/2", "--publish"], "leave --slice out"),
        (["--scheduler", "tcp://a:1"], "add --engine dask"),
        (["--engine", "dask", "--scheduler", "tcp://a:1", "--cluster", "c.toml"], "give one of them"),
    ],
)
def test_options_that_do_not_go_together(words: list[str], said: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    command = ["pack", str(tmp_path / "tiny.toml"), "--root", str(root), "--store", str(tmp_path / "store")]
    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(make_app(), [*command, *words], catch_exceptions=False)
