"""Batches by budget: within the limit, of like sizes, equal steps, exactly once, elastic, resumable."""

import io
import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import packed
import ropeway
from ropeway.budget import Budget, content_bytes, elements, split
from ropeway.errors import StateError, UsageError
from ropeway.samples import Ints, Samples
from ropeway.stores import open_store
from ropeway.view import View

N = 150
COSTS = 1 + (np.arange(N) * 37) % 100


def cost(table: Samples) -> Ints:
    """A made-up size of each sample, by its number."""
    return COSTS[[int(key[1:]) for key in table.keys.to_pylist()]]


@pytest.fixture
def view(tmp_path: Path) -> View:
    packed.publish(open_store(tmp_path), samples=N)
    return ropeway.connect(str(tmp_path)).query()


Steps = list[list[list[str]]]
"""Step → rank → real keys."""


def world_run(
    view: View, size: int, *, tail: Any = "pad", state: dict[str, Any] | None = None, stop: int | None = None,
    padded: bool = False,
) -> tuple[Steps, dict[str, Any]]:  # fmt: skip
    shares, states = [], []
    for rank in range(size):
        budget = Budget(cost, 300, padded=padded, per_step=6)
        loader = ropeway.StreamingLoader(view, budget, tail=tail, rank=rank, world_size=size, parts=["x"], seed=3)
        if state is not None:
            loader.load_state_dict(state)
        steps = []
        for batch in loader:
            real = batch["__mask__"].tolist() if "__mask__" in batch else [True] * len(batch["__key__"])
            steps.append([key for key, is_real in zip(batch["__key__"], real, strict=True) if is_real])
            if len(steps) == stop:
                break
        shares.append(steps)
        states.append(loader.state_dict())
    assert all(one == states[0] for one in states)
    return [list(step) for step in zip(*shares, strict=True)], states[0]


def merged(steps: Steps) -> list[list[str]]:
    return [sorted(chain.from_iterable(step)) for step in steps]


def costs(keys: Sequence[str]) -> list[int]:
    return [int(COSTS[int(key[1:])]) for key in keys]


@pytest.mark.parametrize("padded", [False, True])
def test_batches_stay_within_the_budget_and_alike_in_size(view: View, padded: bool) -> None:
    steps, _ = world_run(view, 6, padded=padded)  # six ranks, six batches a step: each rank has one
    spreads = []
    for keys in chain.from_iterable(steps):
        sizes = costs(keys)
        if sizes:
            assert (max(sizes) * len(sizes) if padded else sum(sizes)) <= 300
            spreads.append(max(sizes) - min(sizes))
    assert np.mean(spreads) < 15
    filled = [sum(costs(keys)) for keys in chain.from_iterable(steps) if keys]
    assert np.mean(filled) > 220


def test_exactly_once_with_equal_steps_in_every_world(view: View) -> None:
    alone, _ = world_run(view, 1)
    assert Counter(chain.from_iterable(merged(alone))) == Counter(f"k{i:06d}" for i in range(N))
    for size in (2, 3, 6):
        assert merged(world_run(view, size)[0]) == merged(alone)


@pytest.mark.parametrize("tail", ["drop", "wrap"])
def test_other_tails(view: View, tail: str) -> None:
    alone = merged(world_run(view, 1, tail=tail)[0])
    assert merged(world_run(view, 3, tail=tail)[0]) == alone
    counts = Counter(chain.from_iterable(alone))
    assert max(counts.values()) <= (1 if tail == "drop" else 2)
    assert tail == "drop" or len(counts) == N


def test_resumes_anywhere_at_another_size(view: View) -> None:
    alone = merged(world_run(view, 1)[0])
    for stop in range(1, len(alone)):
        head, state = world_run(view, 3, stop=stop)
        rest, after = world_run(view, 2, state=json.loads(json.dumps(state)))
        assert merged(head + rest) == alone
        assert (after["epoch"], after["position"]) == (1, 0)
    with pytest.raises(StateError, match="no batch begins at position"):
        world_run(view, 2, state={**state, "position": state["position"] - 1})


def test_the_length_is_that_of_the_epoch(view: View) -> None:
    loader = ropeway.StreamingLoader(view, Budget(cost, 300, per_step=2), rank=0, world_size=2, tail="pad")
    for _ in range(3):
        expected = len(loader)
        assert len(list(loader)) == expected


def test_costs_of_parts(view: View, tmp_path: Path) -> None:
    table = view.table()
    assert set(elements(view, "x")(table).tolist()) == {15}
    header = io.BytesIO()
    np.save(header, np.zeros((3, 5), "<i2"))
    assert set(content_bytes("x")(table).tolist()) == {len(header.getvalue())}
    with pytest.raises(UsageError, match="not stored as npy"):
        elements(view, "note")


def test_what_cannot_be_is_told(view: View) -> None:
    with pytest.raises(UsageError, match=r"samples cost more than the budget's limit of 50; the largest costs 100"):
        ropeway.StreamingLoader(view, Budget(cost, 50))
    with pytest.raises(UsageError, match="nearest world sizes that do are 3 or 6"):
        ropeway.StreamingLoader(view, Budget(cost, 300, per_step=6), rank=0, world_size=4)
    with pytest.raises(UsageError, match="not a Budget"):
        ropeway.StreamingLoader(ropeway.mix({view: 1}), Budget(cost, 300))
    with pytest.raises(UsageError, match="fewer batches than one step takes"):
        ropeway.StreamingLoader(view, Budget(cost, 10**6, per_step=2), rank=0, world_size=2)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80), st.booleans(), st.integers(0, 2**64 - 1))
def test_a_cut_covers_each_place_once(sizes: list[int], padded: bool, key: int) -> None:
    found = split(np.array(sizes), 60, padded, np.uint64(key))
    assert sorted(chain.from_iterable(batch.tolist() for batch in found)) == list(range(len(sizes)))
    for batch in found:
        chosen = [sizes[place] for place in batch]
        assert (max(chosen) * len(chosen) if padded else sum(chosen)) <= 60
