"""Whole subjects together, in order of time, in every world; from a store and through a service."""

import json
from collections import Counter
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import pytest

import packed
import ropeway
from ropeway.errors import UsageError
from ropeway.stores import open_store
from ropeway.view import View
from serving import serving

N = 100


@pytest.fixture
def view(tmp_path: Path) -> View:
    """Sample i is of subject i div 7 and has the age i mod 90."""
    packed.publish(open_store(tmp_path), samples=N)
    return ropeway.connect(str(tmp_path)).query()


def subject(key: str) -> int:
    return int(key[1:]) // 7


def rank_run(
    view: View, rank: int, size: int, *, then: str | None = None, state: dict[str, Any] | None = None,
    stop: int | None = None, tail: Any = "pad",
) -> tuple[list[list[tuple[int, str]]], dict[str, Any]]:  # fmt: skip
    """Steps of (group, key), padding left out, and the state."""
    rule = ropeway.Groups(2, by="subject", then=then, per_step=6)
    loader = ropeway.StreamingLoader(view, rule, tail=tail, rank=rank, world_size=size, parts=["x"])
    if state is not None:
        loader.load_state_dict(state)
    steps = []
    for batch in loader:
        real = batch["__mask__"].tolist() if "__mask__" in batch else [True] * len(batch["__key__"])
        assert [int(key[1:]) for key in batch["__key__"]] == batch["x"][:, 0, 0].tolist()
        triples = zip(batch["__group__"].tolist(), batch["__key__"], real, strict=True)
        steps.append([(group, key) for group, key, is_real in triples if is_real])
        if len(steps) == stop:
            break
    return steps, loader.state_dict()


def world_run(view: View, size: int, **options: Any) -> tuple[list[list[str]], dict[str, Any]]:
    ranks = [rank_run(view, rank, size, **options) for rank in range(size)]
    steps = zip(*(steps for steps, _ in ranks), strict=True)
    return [sorted(key for _, key in chain.from_iterable(step)) for step in steps], ranks[0][1]


def test_a_subject_is_whole_and_on_one_rank(view: View) -> None:
    for rank in range(3):
        for step in rank_run(view, rank, 3)[0]:
            for _, samples in groupby(step, key=lambda pair: pair[0]):
                keys = [key for _, key in samples]
                [of] = {subject(key) for key in keys}
                assert len(keys) == min(7, N - 7 * of)


def test_samples_of_a_subject_come_in_order_of_time(view: View) -> None:
    for step in rank_run(view, 0, 1, then="age")[0]:
        for _, samples in groupby(step, key=lambda pair: pair[0]):
            ages = [int(key[1:]) % 90 for _, key in samples]
            assert ages == sorted(ages)


def test_exactly_once_and_elastic(view: View) -> None:
    alone, _ = world_run(view, 1)
    assert Counter(chain.from_iterable(alone)) == Counter(f"k{i:06d}" for i in range(N))
    for size in (2, 3, 6):
        assert world_run(view, size)[0] == alone
    for stop in range(1, len(alone)):
        head, state = world_run(view, 3, stop=stop)
        rest, _ = world_run(view, 2, state=json.loads(json.dumps(state)))
        assert head + rest == alone


def test_groups_by_metadata_of_a_subset(view: View) -> None:
    ages = view.limit(60)
    loader = ropeway.StreamingLoader(ages, ropeway.Groups(1, by="age"), tail="pad", parts=[])
    for batch in loader:
        assert len({int(key[1:]) % 90 for key in batch["__key__"]}) == 1


def test_what_cannot_be_is_told(view: View) -> None:
    with pytest.raises(UsageError, match="no column 'visit' in this view; there is: age, content, key, split, subject"):
        ropeway.StreamingLoader(view, ropeway.Groups(2, by="visit"))
    with pytest.raises(UsageError, match="at least 1 group"):
        ropeway.StreamingLoader(view, ropeway.Groups(0))


def test_the_same_groups_through_a_service(view: View, tmp_path: Path) -> None:
    with serving(str(tmp_path)) as url:
        remote = ropeway.connect(url).query()
        assert world_run(remote, 2, then="age")[0] == world_run(view, 2, then="age")[0]
