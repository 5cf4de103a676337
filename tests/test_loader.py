"""StreamingLoader and StreamingDataset over published datasets: content, exactly once, elastic, resume, damage."""

import json
import threading
from collections import Counter
from collections.abc import Sequence
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import packed
import ropeway
from ropeway.errors import ChecksumError, FormatError, StateError, StoreError, UsageError
from ropeway.shard_bytes import StoreBytes
from ropeway.stores import open_store
from ropeway.view import View

N = 103


@pytest.fixture(params=["local", "memory"])
def view(request: pytest.FixtureRequest, tmp_path: Path) -> View:
    """A view over mapped files, and one over a store that is read by range."""
    url = str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"
    packed.publish(open_store(url), samples=N, lacks=[5, 17])
    return ropeway.connect(url).query(split="train")


def keys(batches: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The real keys of each batch."""
    return [
        [key for key, real in zip(b["__key__"], b.get("__mask__", [True] * len(b["__key__"])), strict=True) if real]
        for b in batches
    ]


def world_run(
    view: View, size: int, *, state: dict[str, Any] | None = None, stop: int | None = None, **options: Any
) -> tuple[list[list[str]], dict[str, Any]]:
    """The keys of each global batch of one epoch over a whole world, and the state after it."""
    shares, states = [], []
    for rank in range(size):
        loader = ropeway.StreamingLoader(view, global_batch_size=12, tail="pad", rank=rank, world_size=size, **options)
        if state is not None:
            loader.load_state_dict(state)
        batches = []
        for batch in loader:
            batches.append(batch)
            if len(batches) == stop:
                break
        shares.append(keys(batches))
        states.append(loader.state_dict())
    assert all(one == states[0] for one in states)
    return [sorted(chain.from_iterable(step)) for step in zip(*shares, strict=True)], states[0]


def test_a_batch_holds_what_was_packed(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10, tail="pad")
    batches = list(loader)
    assert len(batches) == len(loader) == 11
    for batch in batches:
        numbers = torch.tensor([int(key[1:]) for key in batch["__key__"]])
        assert batch["x"].shape == (10, 3, 5)
        assert batch["x"].dtype == torch.int16
        assert (batch["x"] == numbers[:, None, None]).all()
        assert batch["task.cls"].dtype == torch.int64
        assert (batch["task.cls"] == numbers % 3).all()
        for number, note, present in zip(numbers, batch["note"], batch["__present__"]["note"], strict=True):
            assert present == (note is not None) == (number not in (5, 17))
            assert note in (None, f"sample {number}")
    assert [int(batch["__mask__"].sum()) for batch in batches] == [10] * 10 + [3]


def test_exactly_once_and_the_same_global_batches_in_every_world(view: View) -> None:
    alone, _ = world_run(view, 1)
    assert sorted(chain.from_iterable(alone)) == [f"k{i:06d}" for i in range(N)]
    for size in (2, 3, 4, 6, 12):
        assert world_run(view, size)[0] == alone
    assert world_run(view, 2, seed=1)[0] != alone


@pytest.mark.parametrize("sizes", [(1, 4, 3), (6, 1, 2), (4, 4, 12)])
def test_two_interruptions_and_resizes_lose_and_repeat_nothing(view: View, sizes: tuple[int, int, int]) -> None:
    alone, _ = world_run(view, 1)
    first, state = world_run(view, sizes[0], stop=3)
    second, state = world_run(view, sizes[1], state=json.loads(json.dumps(state)), stop=2)
    third, state = world_run(view, sizes[2], state=json.loads(json.dumps(state)))
    assert first + second + third == alone
    assert (state["epoch"], state["position"]) == (1, 0)
    assert world_run(view, 2, state=state)[0] != alone


def test_a_state_carries_the_seed_and_refuses_other_views_and_orders(view: View, tmp_path: Path) -> None:
    saved = ropeway.StreamingLoader(view, 10, seed=3).state_dict()
    other = ropeway.StreamingLoader(view, 10, seed=4)
    other.load_state_dict(saved)
    assert keys(list(other)) == keys(list(ropeway.StreamingLoader(view, 10, seed=3)))
    with pytest.raises(StateError, match="order"):
        ropeway.StreamingLoader(view, 10, order=ropeway.Sequential()).load_state_dict(saved)
    packed.publish(open_store(tmp_path / "other"), samples=N)
    stranger = ropeway.connect(str(tmp_path / "other")).query(where="age > 10")
    with pytest.raises(StateError, match="query the same view again"):
        ropeway.StreamingLoader(stranger, 10).load_state_dict(saved)


def test_every_iteration_is_a_new_epoch(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10)
    first, second = keys(list(loader)), keys(list(loader))
    assert first != second
    next(iter(loader))  # a look at the third
    assert loader.state_dict()["position"] == 10
    third_begun, fourth = loader.epoch, keys(list(loader))
    assert (third_begun, loader.epoch) == (2, 4)
    loader.set_epoch(0)
    assert keys(list(loader)) == first
    assert fourth not in (first, second)


def test_keys_and_labels_alone_read_no_shard(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    for door in ("read", "map"):
        monkeypatch.setattr(StoreBytes, door, lambda *_: pytest.fail("a shard was opened"))
    for batch in ropeway.StreamingLoader(view, 10, parts=[]):
        assert set(batch) == {"__key__", "task.cls"}


def test_sequential_order_is_storage_order(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10, order=ropeway.Sequential(), tail="pad", parts=["x"])
    assert list(chain.from_iterable(keys(list(loader)))) == [f"k{i:06d}" for i in range(N)]


def test_own_decoders_by_part_and_format(view: View) -> None:
    decoders = {"x": len, "txt": lambda content: np.zeros(2)}
    batch = next(iter(ropeway.StreamingLoader(view, 10, decoders=decoders)))
    assert all(isinstance(size, int) for size in batch["x"])
    both = {"note": lambda content: "by part", "txt": lambda content: "by format"}
    for own, expected in ((both, "by part"), ({"txt": both["txt"]}, "by format")):
        [given] = ropeway.StreamingLoader(view, N, parts=["note"], decoders=own)
        assert Counter(given["note"]) == {expected: N - 2, None: 2}
    with pytest.raises(UsageError, match="no part 'y' in this view; there is: x, note"):
        ropeway.StreamingLoader(view, 10, parts=["y"])


def test_arguments_that_do_not_fit_say_what_would(view: View) -> None:
    for options, problem in (
        ({}, "give one of batch_size"),
        ({"batch_size": 4, "global_batch_size": 4}, "give one of batch_size"),
        ({"batch_size": 4, "rank": 1}, "both rank= and world_size="),
        ({"batch_size": 200}, "fewer than one global batch of 200"),
        ({"global_batch_size": 10, "rank": 0, "world_size": 4}, "nearest world sizes that do are 2 or 5"),
    ):
        with pytest.raises(UsageError, match=problem):
            ropeway.StreamingLoader(view, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [ropeway.StreamingLoader, ropeway.NumpyLoader, ropeway.StreamingDataset])
def test_arguments_are_told_and_then_settled(view: View, kind: Any) -> None:
    told = signature(kind).parameters
    assert list(told)[:2] == ["view", "batch_size"]
    assert all(one.kind is one.KEYWORD_ONLY for one in list(told.values())[2:])
    assert (told["seed"].default, told["tail"].default, told["memory"].default) == (0, "drop", 2 << 30)
    asked = kind(view, 4, parts=["x"])
    assert (asked.view, asked.batch_size, asked.parts, asked.seed) == (view, 4, ["x"], 0)
    with pytest.raises(AttributeError, match=f"batch_size was settled when this {kind.__name__} was made"):
        asked.batch_size = 8


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("workers", "start"), [(0, "fork"), (1, "fork"), (3, "fork"), (2, "spawn")])
def test_worker_processes_give_the_loaders_batches(tmp_path: Path, workers: int, start: str) -> None:
    packed.publish(open_store(tmp_path), samples=N)
    view = ropeway.connect(str(tmp_path)).query()
    expected = list(ropeway.StreamingLoader(view, 10, tail="pad"))
    dataset = ropeway.StreamingDataset(view, 10, tail="pad")
    context = start if workers else None
    batches = list(DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=context))
    assert keys(batches) == keys(expected)
    assert all(torch.equal(a["x"], b["x"]) for a, b in zip(batches, expected, strict=True))


def test_dataset_resumes_with_other_workers(view: View) -> None:
    whole = keys(list(ropeway.StreamingLoader(view, 10, tail="pad")))
    first = ropeway.StreamingDataset(view, 10, tail="pad")
    begun = iter(DataLoader(first, batch_size=None))
    head = keys([next(begun) for _ in range(4)])
    rest = ropeway.StreamingDataset(view, 10, tail="pad")
    rest.load_state_dict(first.state_dict())
    assert head + keys(list(DataLoader(rest, batch_size=None))) == whole


@pytest.mark.parametrize(("workers", "start"), [(1, "fork"), (2, "fork"), (2, "spawn")])
def test_dataset_state_with_workers_counts_only_what_was_looked_into(tmp_path: Path, workers: int, start: str) -> None:
    packed.publish(open_store(tmp_path), samples=N)
    view = ropeway.connect(str(tmp_path)).query()
    whole = keys(list(ropeway.StreamingLoader(view, 10, tail="pad")))
    dataset = ropeway.StreamingDataset(view, 10, tail="pad")
    options: Any = {"batch_size": None, "num_workers": workers, "multiprocessing_context": start}
    begun = iter(DataLoader(dataset, prefetch_factor=4, **options))
    head = keys([next(begun) for _ in range(3)])
    assert dataset.state_dict()["position"] == 30  # though workers have read further
    next(begun)
    assert dataset.state_dict()["position"] == 30  # nobody looked into the fourth
    del begun
    rest = ropeway.StreamingDataset(view, 10, tail="pad")
    rest.load_state_dict(json.loads(json.dumps(dataset.state_dict())))
    assert head + keys(list(DataLoader(rest, **options))) == whole
    assert (rest.state_dict()["epoch"], rest.state_dict()["position"]) == (1, 0)
    second = ropeway.StreamingLoader(view, 10, tail="pad")
    second.set_epoch(1)
    assert keys(list(DataLoader(rest, **options))) == keys(list(second))


@pytest.mark.filterwarnings("ignore:.* is deprecated:UserWarning")  # torchdata touches every name of torch
@pytest.mark.parametrize("workers", [0, 2])
def test_torchdatas_stateful_loader_resumes(tmp_path: Path, workers: int) -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    packed.publish(open_store(tmp_path), samples=N)
    view = ropeway.connect(str(tmp_path)).query()
    whole = keys(list(ropeway.StreamingLoader(view, 10, tail="pad")))
    for stop in (1, 4, 5):
        first = StatefulDataLoader(ropeway.StreamingDataset(view, 10, tail="pad"), batch_size=None, num_workers=workers)
        begun = iter(first)
        head = keys([next(begun) for _ in range(stop)])
        saved = first.state_dict()
        del begun
        rest = StatefulDataLoader(ropeway.StreamingDataset(view, 10, tail="pad"), batch_size=None, num_workers=workers)
        rest.load_state_dict(saved)
        assert head + keys(list(rest)) == whole


def damage(url: str, shard: int, offset: int) -> None:
    store = open_store(url)
    path = f"d/{packed.VERSION}/train-{shard:06d}.tar"
    content = bytearray(store.read(path))
    content[offset] ^= 0x10
    store.put(path, bytes(content))


def test_damage_is_found_and_named(view: View, tmp_path: Path) -> None:
    url = str(tmp_path) if (tmp_path / "d").exists() else f"memory://{tmp_path.name}"
    damage(url, 1, 600)  # a content byte of the second shard's first sample, k000040
    with pytest.raises(ChecksumError, match=r"crc32c differs.*train-000001\.tar, key k000040, offset 0"):
        list(ropeway.StreamingLoader(view, 10))


def test_a_missing_shard_is_named(view: View, tmp_path: Path) -> None:
    url = str(tmp_path) if (tmp_path / "d").exists() else f"memory://{tmp_path.name}"
    open_store(url).delete(f"d/{packed.VERSION}/train-000001.tar")
    with pytest.raises(StoreError, match=r"no such object.*train-000001\.tar"):
        list(ropeway.StreamingLoader(view, 10))


def test_content_that_does_not_decode_names_the_sample(view: View) -> None:
    def broken(content: memoryview) -> object:
        raise ValueError("no good")

    with pytest.raises(FormatError, match=r"npy content does not decode: no good \[dataset d, shard .*, key k"):
        list(ropeway.StreamingLoader(view, 10, decoders={"x": broken}))


def test_threads_end_with_a_half_read_epoch(view: View) -> None:
    before = threading.active_count()
    loader = ropeway.StreamingLoader(view, 4, order=ropeway.Sequential(), memory=1024)  # no room to make it all ahead
    iteration = iter(loader)
    next(iteration)
    assert threading.active_count() > before
    iteration.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_stats_count_what_was_given(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10)
    list(loader)
    stats = loader.stats()
    assert (stats.samples, stats.batches) == (100, 10)
    assert 0 < stats.data_wait <= 1
    assert stats.bytes > 100 * 30
    assert stats.samples_per_second > 0


def test_padding_does_not_count_as_given(view: View) -> None:
    loaders = [ropeway.StreamingLoader(view, global_batch_size=33, tail="pad", rank=r, world_size=3) for r in range(3)]
    assert [[len(batch["__key__"]) for batch in loader] for loader in loaders] == [[11, 11, 11, 11]] * 3
    assert [loader.stats().samples for loader in loaders] == [35, 34, 34]
    assert sum(loader.stats().bytes for loader in loaders) == view.bytes


def test_what_a_wrapped_tail_repeats_counts_as_given(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10, tail="wrap", parts=[])
    assert sum(len(batch["__key__"]) for batch in loader) == loader.stats().samples == 110


def test_several_datasets_name_theirs(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    packed.publish(store, "one", samples=20)
    packed.publish(store, "two", samples=30)
    view = ropeway.connect(str(tmp_path)).query(where="age < 25")
    names = []
    for batch in ropeway.StreamingLoader(view, 9, tail="pad"):
        pairs = zip(batch["__dataset__"], batch["__key__"], strict=True)
        names += [pair for pair, real in zip(pairs, batch["__mask__"], strict=True) if real]
    assert sorted(names) == sorted(
        [("one", f"k{i:06d}") for i in range(20)] + [("two", f"k{i:06d}") for i in range(25)]
    )


def test_bad_samples_are_replaced_alike_in_every_world_and_reported(view: View, tmp_path: Path) -> None:
    url = str(tmp_path) if (tmp_path / "d").exists() else f"memory://{tmp_path.name}"
    sound, _ = world_run(view, 1)
    damage(url, 1, 600)
    damage(url, 0, 700)
    alone, _ = world_run(view, 1, on_bad=ropeway.substitute(limit=2))
    assert world_run(view, 4, on_bad=ropeway.substitute(limit=2))[0] == alone
    for before, after in zip(sound, alone, strict=True):  # every other sample stays where it was
        assert len(before) == len(after)
        assert set(before) - set(after) <= {"k000000", "k000040"}
    assert not {"k000000", "k000040"} & set(chain.from_iterable(alone))
    loader = ropeway.StreamingLoader(view, 10, tail="pad", on_bad=ropeway.substitute(limit=2))
    for batch in loader:
        numbers = torch.tensor([int(key[1:]) for key in batch["__key__"]])
        assert (batch["x"][:, 0, 0] == numbers).all()  # content, key and label are the stand-in's
        assert (batch["task.cls"] == numbers % 3).all()
    assert sorted(bad.key for bad in loader.bad) == ["k000000", "k000040"]
    assert {bad.reason for bad in loader.bad} == {"crc32c differs: the shard was damaged since it was packed"}
    assert loader.stats().bad == 2


def test_past_the_limit_a_bad_sample_raises(view: View, tmp_path: Path) -> None:
    url = str(tmp_path) if (tmp_path / "d").exists() else f"memory://{tmp_path.name}"
    damage(url, 1, 600)
    damage(url, 0, 700)
    with pytest.raises(ChecksumError, match="crc32c differs"):
        list(ropeway.StreamingLoader(view, 10, tail="pad", on_bad=ropeway.substitute(limit=1)))
    with pytest.raises(UsageError, match="on_bad is 'raise' or"):
        ropeway.StreamingLoader(view, 10, on_bad="skip")  # type: ignore[arg-type]


def test_a_forked_child_may_collect_what_its_parent_left(tmp_path: Path) -> None:
    """DuckDB's threads do not survive a fork, and its destructor would wait for them."""
    import gc
    import multiprocessing

    packed.publish(open_store(tmp_path), samples=N)
    catalogs = [ropeway.connect(str(tmp_path)) for _ in range(3)]
    assert all(catalog.query().samples == N for catalog in catalogs)

    def collect() -> None:
        catalogs.clear()
        gc.collect()

    child = multiprocessing.get_context("fork").Process(target=collect)
    child.start()
    child.join(30)
    assert child.exitcode == 0
