"""Plans are small: a sample is stowed in a few hundred bytes, and comes out as it went in."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway_shardgen.plan import Settings, make_plan
from ropeway_shardgen.planned import PlannedSample, outline, stow, unstow
from ropeway_shardgen.problems import SampleError
from shardgen_raw import recipe, write_raw

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | TEXT
LABELS: st.SearchStrategy[Any] = (
    st.none() | st.integers(-1000, 1000) | st.floats(allow_nan=False) | st.lists(st.integers(-99, 99))
)
SAMPLES = st.builds(
    PlannedSample,
    key=TEXT,
    split=st.sampled_from(["train", "valid", "test"]),
    subject=st.none() | TEXT,
    files=st.dictionaries(TEXT, st.binary(max_size=20).map(lambda name: name.decode("utf-8", "surrogateescape"))),
    fields=st.dictionaries(TEXT, VALUES),
    labels=st.dictionaries(TEXT, LABELS),
    meta=st.dictionaries(TEXT, VALUES),
    size=st.integers(0, 1 << 50),
)


@given(SAMPLES)
def test_what_is_stowed_comes_out_as_it_was(sample: PlannedSample) -> None:
    """Types too: 1, 1.0 and True are three values. File names need not be UTF-8."""
    stowed = stow(sample)
    assert repr(unstow(stowed)) == repr(sample)
    assert stow(unstow(stowed)) == stowed
    sketch = outline(stowed)
    assert (sketch.key, sketch.split, sketch.subject, sketch.size) == (
        sample.key,
        sample.split,
        sample.subject,
        sample.size,
    )


@pytest.mark.parametrize("value", ["M\udcfcller", 1 << 64])
def test_what_no_column_could_hold_is_told_with_the_key(value: str | int) -> None:
    sample = PlannedSample("k7", "train", None, {}, {}, {}, {"name": value}, 0)
    with pytest.raises(SampleError, match=r"a value cannot be stored: .*key k7"):
        stow(sample)


def test_a_planned_sample_takes_little_and_a_task_only_its_own(tmp_path: Path) -> None:
    """Two million samples are planned in about a gigabyte; as Python objects each took 1.5 KB."""
    plan = make_plan(recipe(), write_raw(tmp_path / "raw", samples=300, side=1), Settings(shard_size=20_000))
    assert sum(sys.getsizeof(sample) for shard in plan.shards for sample in shard.stowed) / plan.samples < 250
    assert sum(len(pickle.dumps(shard)) for shard in plan.shards) / plan.samples < 250
