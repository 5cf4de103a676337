"""Equal steps on every rank, tails, worlds, saved positions."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway.errors import StateError, UsageError
from ropeway.shuffle import Blocks, ShuffledEpoch
from ropeway.state import State, from_json
from ropeway.steps import TAILS, Batching, Tail
from ropeway.world import World, detect


def order(n: int) -> ShuffledEpoch:
    return ShuffledEpoch(Blocks(np.arange(n + 1, dtype=np.uint32)), lanes=12, window=2, seed=1, epoch=0)


def global_batches(n: int, batch: int, size: int, tail: Tail, position: int = 0) -> list[tuple[list[int], list[bool]]]:
    ranks = [list(Batching(batch, World(rank, size), tail).steps(order(n), position)) for rank in range(size)]
    assert len({len(steps) for steps in ranks}) == 1
    together = []
    for share in zip(*ranks, strict=True):
        assert len({step.stop for step in share}) == 1
        assert {len(step.rows) for step in share} == {batch // size}
        pairs = sorted((int(r), bool(m)) for step in share for r, m in zip(step.rows, step.real, strict=True))
        together.append(([row for row, _ in pairs], [real for _, real in pairs]))
    return together


@given(
    st.integers(1, 200), st.integers(1, 6), st.sampled_from([1, 2, 3, 4, 6]), st.sampled_from(TAILS), st.floats(0, 1)
)
def test_global_batches_do_not_depend_on_the_world(n: int, per: int, size: int, tail: Tail, share: float) -> None:
    batch = 12 * per
    position = int(share * (n // batch)) * batch
    assert global_batches(n, batch, size, tail, position) == global_batches(n, batch, 1, tail, position)


@given(st.integers(1, 200), st.integers(1, 40))
def test_tails(n: int, batch: int) -> None:
    dropped, padded, wrapped = (global_batches(n, batch, 1, tail) for tail in ("drop", "pad", "wrap"))
    assert len(dropped) == n // batch
    assert len(padded) == len(wrapped) == -(-n // batch)
    real = [row for rows, mask in padded for row, is_real in zip(rows, mask, strict=True) if is_real]
    assert sorted(real) == list(range(n))
    rows = [row for rows, mask in wrapped for row in rows if all(mask)]
    counts = np.bincount(rows, minlength=n)
    assert counts.max() - counts.min() <= 1


@given(st.integers(1, 200), st.integers(1, 5))
def test_workers_share_the_steps_and_do_not_choose(n: int, workers: int) -> None:
    batching = Batching(8, World(1, 2), "pad")
    alone = [step.rows.tolist() for step in batching.steps(order(n), 0)]
    shared = [list(batching.steps(order(n), 0, offset=worker, stride=workers)) for worker in range(workers)]
    turns = [shared[number % workers][number // workers].rows.tolist() for number in range(len(alone))]
    assert turns == alone


def test_a_world_that_does_not_divide_the_batch_is_told_which_would() -> None:
    with pytest.raises(UsageError, match=r"5 ranks .* 48: the nearest world sizes that do are 4 or 6"):
        Batching(48, World(0, 5), "drop")
    with pytest.raises(UsageError, match="tail is one of drop, pad, wrap"):
        Batching(48, World(), "keep")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least 1"):
        Batching(0, World(), "drop")


def test_worlds_are_read_from_every_launcher() -> None:
    assert detect({}) == World(0, 1)
    assert detect({"RANK": "3", "WORLD_SIZE": "8"}) == World(3, 8)
    assert detect({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}) == World(1, 2)
    assert detect({"PMI_RANK": "1", "PMI_SIZE": "4"}) == World(1, 4)
    slurm = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}
    assert detect(slurm) == World(0, 1)  # a batch script's own shell
    assert detect({**slurm, "SLURM_STEP_ID": "0"}) == World(2, 4)
    with pytest.raises(UsageError, match="RANK and WORLD_SIZE are not whole numbers"):
        detect({"RANK": "x", "WORLD_SIZE": "8"})
    with pytest.raises(UsageError, match="rank 8 is not one of a world of 8"):
        World(8, 8)


def test_states_are_small_and_guarded() -> None:
    saved = State(2**63, 10_000, 4_510_000, "0" * 16, "1" * 12).to_json()
    assert len(json.dumps(saved)) < 1024
    good = {"view": "0" * 16, "order": "1" * 12, "samples": 4_510_000}
    assert from_json(json.loads(json.dumps(saved)), **good).position == 4_510_000  # type: ignore[arg-type]
    with pytest.raises(StateError, match="is of view 0000000000000000, this job streams view f"):
        from_json(saved, view="f", order="1" * 12, samples=10)
    with pytest.raises(StateError, match="order digest"):
        from_json(saved, view="0" * 16, order="2", samples=10)
    with pytest.raises(StateError, match="not in an epoch of 10 samples"):
        from_json(saved, view="0" * 16, order="1" * 12, samples=10)
    for broken in ({}, {**saved, "position": "7"}, {**saved, "epoch": True}):
        with pytest.raises(StateError, match="not a loader state"):
            from_json(broken, **good)  # type: ignore[arg-type]
