"""Views made of views: drawn by seed, disjoint from nothing, repeatable everywhere."""

from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

import packed
import ropeway
from ropeway.errors import UsageError
from ropeway.stores import open_store
from ropeway.view import View


@pytest.fixture
def view(tmp_path: Path) -> View:
    packed.publish(open_store(tmp_path), samples=100)
    return ropeway.connect(str(tmp_path)).query(where="label <> 'c' or age < 20", task="cls")


def delivered(view: View) -> list[str]:
    loader = ropeway.StreamingLoader(view, 4, tail="pad", parts=["x"])
    found = []
    for batch in loader:
        assert [int(key[1:]) for key in batch["__key__"]] == batch["x"][:, 0, 0].tolist()
        found += [key for key, real in zip(batch["__key__"], batch["__mask__"], strict=True) if real]
    return found


def test_a_limit_draws_and_nests(view: View) -> None:
    small, large = view.limit(10), view.limit(25)
    assert (small.samples, large.samples) == (10, 25)
    assert set(delivered(small)) < set(delivered(large))
    assert delivered(view.limit(10, seed=1)) != delivered(small)
    assert view.limit(10).id == small.id != large.id != view.id
    with pytest.raises(UsageError, match="from 1 to the view's"):
        view.limit(1000)


def test_few_shots_have_so_many_of_each_class(view: View) -> None:
    shots = view.few_shot("cls", per_class=5)
    assert shots.label_counts("cls") == {"a": 5, "b": 5, "c": 5}
    assert len(set(delivered(shots))) == 15
    rare = view.few_shot("cls", per_class=20)
    assert rare.label_counts("cls") == {"a": 20, "b": 20, "c": view.label_counts("cls")["c"]}
    assert set(delivered(shots)) < set(delivered(rare))
    with pytest.raises(UsageError, match="no task 'other' in this view; there is: cls"):
        view.few_shot("other", per_class=1)


def test_balanced_views_repeat_the_rare(view: View) -> None:
    even = view.balanced("cls")
    counts = even.label_counts("cls")
    assert len(set(counts.values())) == 1
    assert max(counts.values()) == max(view.label_counts("cls").values())
    times = Counter(delivered(even))
    rare = [times[key] for key in times if int(key[1:]) % 3 == 2]
    assert max(rare) - min(rare) <= 1
    assert min(rare) > 1
    assert set(times) == set(delivered(view))


def test_sources_of_a_mix_may_be_few_shot(view: View) -> None:
    what = ropeway.mix({view: 1, view.few_shot("cls", per_class=2): 1}, names=["all", "few"])
    few = set()
    loader = ropeway.StreamingLoader(what, 6)
    for batch in chain(loader, loader):
        if batch["__source__"] == "few":
            few |= set(batch["__key__"])
    assert len(few) == 6
