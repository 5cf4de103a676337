"""NumPy batches without torch: the same stream, the same states, and no torch in the process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import packed
import ropeway
from ropeway import NumpyLoader
from ropeway.errors import UsageError
from ropeway.stores import open_store


@pytest.fixture
def view(tmp_path: Path) -> ropeway.View:
    packed.publish(open_store(tmp_path / "store"), samples=50, lacks=[3])
    return ropeway.connect(str(tmp_path / "store")).query(task="cls")


def test_the_same_batches_as_the_torch_loader(view: ropeway.View) -> None:
    for tail in ("drop", "pad"):
        ours = NumpyLoader(view, 8, seed=5, tail=tail)
        theirs = ropeway.StreamingLoader(view, 8, seed=5, tail=tail)
        assert len(ours) == len(theirs)
        for _ in range(2):
            for mine, other in zip(ours, theirs, strict=True):
                assert mine.keys() == other.keys()
                assert mine["__key__"] == other["__key__"]
                assert mine["note"] == other["note"]
                for name in ("x", "task.cls"):
                    assert isinstance(mine[name], np.ndarray)
                    np.testing.assert_array_equal(mine[name], other[name].numpy())


def test_a_state_goes_on_with_either_loader(view: ropeway.View) -> None:
    whole = [batch["__key__"] for batch in NumpyLoader(view, 8, seed=2)]
    begun = ropeway.StreamingLoader(view, 8, seed=2)
    for _, _ in zip(range(3), begun, strict=False):
        pass
    resumed = NumpyLoader(view, 8)
    resumed.load_state_dict(begun.state_dict())
    assert [batch["__key__"] for batch in resumed] == whole[3:]
    assert resumed.epoch == 1


def test_ranks_share_global_batches(view: ropeway.View) -> None:
    whole = [set(batch["__key__"]) for batch in NumpyLoader(view, global_batch_size=8, seed=1)]
    halves = [NumpyLoader(view, global_batch_size=8, seed=1, rank=rank, world_size=2) for rank in (0, 1)]
    assert [{*one["__key__"], *two["__key__"]} for one, two in zip(*halves, strict=True)] == whole


def test_arrays_are_the_callers(view: ropeway.View) -> None:
    batch = next(iter(NumpyLoader(view, 8)))
    batch["x"] += 1
    assert batch["x"].dtype.isnative


def test_nested_tensors_are_refused(view: ropeway.View) -> None:
    varied = NumpyLoader(view, 8, parts=["x"], decoders={"x": ropeway.Decoder(_row)}, ragged={"x": ropeway.Nested()})
    with pytest.raises(UsageError, match=r"nested tensors are torch's"):
        next(iter(varied))


def _row(content: memoryview) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(content, np.uint8)[: 1 + content[-2] % 5]


def test_torch_is_not_needed(view: ropeway.View, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import ropeway\n"
        f"view = ropeway.connect({str(tmp_path / 'store')!r}).query()\n"
        "print(sum(len(batch['__key__']) for batch in ropeway.NumpyLoader(view, 7, tail='pad')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "56", done.stderr
