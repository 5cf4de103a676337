"""Mixing: exact shares, elastic, resumable, per source or mixed; temperature weights."""

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import packed
import ropeway
from ropeway.errors import StateError, UsageError
from ropeway.mixing import Mix, mix, round_of, temperature
from ropeway.stores import open_store
from ropeway.view import View

SIZES = {"one": 40, "two": 70, "three": 25}


@pytest.fixture
def views(tmp_path: Path) -> list[View]:
    store = open_store(tmp_path)
    for name, samples in SIZES.items():
        packed.publish(store, name, samples=samples)
    catalog = ropeway.connect(str(tmp_path))
    return [catalog.query(datasets=[name]) for name in SIZES]


def mixed(views: list[View], batches: Any) -> Mix:
    return mix(dict(zip(views, (0.5, 0.3, 0.2), strict=True)), batches=batches)


Keys = list[tuple[str, str]]


def sourced(batch: dict[str, Any]) -> Keys:
    """(source, key) of each sample of a batch of either kind."""
    if "__source__" in batch:
        return [(batch["__source__"], key) for key in batch["__key__"]]
    return [(name, key) for name, part in batch.items() for key in part["__key__"]]


def world_run(
    what: Mix, size: int, *, epochs: int = 1, state: dict[str, Any] | None = None, stop: int | None = None
) -> tuple[list[Keys], dict[str, Any]]:
    """Global batches and the state after them."""
    shares, states = [], []
    for rank in range(size):
        loader = ropeway.StreamingLoader(what, global_batch_size=12, rank=rank, world_size=size, seed=5)
        if state is not None:
            loader.load_state_dict(state)
        steps: list[Keys] = []
        for _ in range(epochs):
            for batch in loader:
                steps.append(sourced(batch))
                if len(steps) == stop:
                    break
        shares.append(steps)
        states.append(loader.state_dict())
    assert all(one == states[0] for one in states)
    assert len({len(share) for share in shares}) == 1
    return [sorted(chain.from_iterable(step)) for step in zip(*shares, strict=True)], states[0]


@pytest.mark.parametrize("batches", ["per-source", "mixed"])
def test_the_same_global_batches_in_every_world(views: list[View], batches: str) -> None:
    what = mixed(views, batches)
    alone, _ = world_run(what, 1, epochs=3)
    assert len(alone) == 3 * (sum(SIZES.values()) // 12)
    for size in (2, 3, 6):
        assert world_run(what, size, epochs=3)[0] == alone


@pytest.mark.parametrize("batches", ["per-source", "mixed"])
def test_resumes_anywhere_at_another_size(views: list[View], batches: str) -> None:
    what = mixed(views, batches)
    alone, _ = world_run(what, 1)
    for stop in (1, 4, 10):
        head, state = world_run(what, 3, stop=stop)
        assert len(json.dumps(state)) < 1024
        middle, state = world_run(what, 2, state=json.loads(json.dumps(state)), stop=1)
        rest, _ = world_run(what, 1, state=state)
        assert head + middle + rest == alone


@pytest.mark.parametrize("batches", ["per-source", "mixed"])
def test_each_source_goes_through_its_own_epochs(views: list[View], batches: str) -> None:
    """However often a source has its turn: no sample is given again before all others were."""
    steps, _ = world_run(mixed(views, batches), 2, epochs=8)
    counts = Counter(chain.from_iterable(steps))
    total = sum(counts.values())
    for (name, samples), weight in zip(SIZES.items(), (0.5, 0.3, 0.2), strict=True):
        given = [counts[name, f"k{i:06d}"] for i in range(samples)]
        assert max(given) - min(given) <= 1
        assert sum(given) / total == pytest.approx(weight, abs=0.03)


def test_every_rank_has_the_same_source_at_every_step(views: list[View]) -> None:
    what = mixed(views, "per-source")
    seen = []
    for rank in range(4):
        loader = ropeway.StreamingLoader(what, global_batch_size=12, rank=rank, world_size=4)
        seen.append([(batch["__source__"], len(batch["__key__"])) for batch in loader])
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert {name for name, _ in seen[0]} == set(SIZES)
    assert {count for _, count in seen[0]} == {3}


def test_a_mixed_batch_has_a_sub_batch_of_each_source(views: list[View]) -> None:
    loader = ropeway.StreamingLoader(mixed(views, "mixed"), 24, parts=["x"])
    for batch in loader:
        assert list(batch) == list(SIZES)
        assert sum(len(part["__key__"]) for part in batch.values()) == 24
        for part in batch.values():
            assert part["x"].shape == (len(part["__key__"]), 3, 5)
            assert [int(key[1:]) for key in part["__key__"]] == part["x"][:, 0, 0].tolist()


def test_source_epochs_are_counted(views: list[View]) -> None:
    loader = ropeway.StreamingLoader(mixed(views, "per-source"), 12)
    for _ in range(3):
        list(loader)
    given = {name: epochs * SIZES[name] for name, epochs in loader.source_epochs.items()}
    assert sum(given.values()) == 3 * len(loader) * 12
    assert loader.source_epochs["one"] > 1


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(0, 2**32), st.integers(0, 9))
def test_a_round_is_exact_and_even(turns: list[int], seed: int, number: int) -> None:
    pattern = round_of(tuple(turns), seed, number)
    assert np.bincount(pattern, minlength=len(turns)).tolist() == turns
    length = len(pattern)
    for source, count in enumerate(turns):
        had = np.cumsum(pattern == source)
        due = np.arange(1, length + 1) * count / length
        assert np.abs(had - due).max() <= len(turns) + 1  # never far from its share


def test_golden_round() -> None:
    assert round_of((5, 3, 2), 7, 1).tolist() == GOLDEN_ROUND


GOLDEN_ROUND = [0, 1, 2, 0, 0, 1, 0, 2, 0, 1]


def test_temperature_weights() -> None:
    class Sized:
        def __init__(self, samples: int) -> None:
            self.samples = samples

    small, large = Sized(100), Sized(10_000)
    assert list(temperature([small, large], 0.5).values()) == [10.0, 100.0]  # type: ignore[list-item]
    assert list(temperature([small, large], 0).values()) == [1.0, 1.0]  # type: ignore[list-item]


def test_states_and_arguments_are_guarded(views: list[View]) -> None:
    what = mixed(views, "mixed")
    saved = ropeway.StreamingLoader(what, 12).state_dict()
    with pytest.raises(StateError, match="is of view"):
        ropeway.StreamingLoader(mixed(views, "per-source"), 12).load_state_dict(saved)
    with pytest.raises(StateError, match="order digest"):
        ropeway.StreamingLoader(what, 24).load_state_dict(saved)
    with pytest.raises(UsageError, match="a mix has no tail"):
        ropeway.StreamingLoader(what, 12, tail="pad")
    with pytest.raises(UsageError, match="a weight is a positive number, not 0"):
        mix({views[0]: 0})
    with pytest.raises(UsageError, match="at least one view"):
        mix({})
    with pytest.raises(UsageError, match="under a millionth"):
        _ = mix({views[0]: 1, views[1]: 1e-9}).turns
    with pytest.raises(UsageError, match="no part 'y'"):
        ropeway.StreamingLoader(what, 12, parts=["y"])
