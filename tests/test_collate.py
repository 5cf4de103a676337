"""Values of different shapes in one batch."""

import numpy as np
import pytest
import torch

from ropeway.collate import Nested, Padded
from ropeway.device import to_tensors
from ropeway.errors import UsageError
from ropeway.manifest import Part

PART = Part(name="ct", kind="volume", format="npy", dtype="<i2", shape=(None, 4))
UNKNOWN = Part(name="ct", kind="volume", format="npy")


def test_padding_keeps_values_and_says_sizes() -> None:
    short, long = np.ones((2, 4), "<i2"), np.full((5, 3), 2, ">i2")
    padded = Padded(value=-1)([short, None, long], PART)
    assert padded.values.shape == (3, 5, 4)
    assert padded.values.dtype == np.int16
    assert (padded.values[0, :2] == 1).all()
    assert (padded.values[0, 2:] == -1).all()
    assert (padded.values[1] == -1).all()
    assert (padded.values[2, :, :3] == 2).all()
    assert padded.sizes.tolist() == [[2, 4], [0, 0], [5, 3]]
    assert Padded(multiple=8)([short, long], PART).values.shape == (2, 8, 8)


def test_a_batch_without_the_part_is_empty_where_the_manifest_tells_its_shape() -> None:
    assert Padded()([None, None], PART).values.shape == (2, 0, 4)
    with pytest.raises(UsageError, match=r"no sample of a batch has part 'ct'.*query\(parts=\['ct'\]\)"):
        Padded()([None], UNKNOWN)


def test_what_cannot_be_put_together_says_why() -> None:
    with pytest.raises(UsageError, match="'ct' can't be padded: it holds float64 of 1 dimensions, int16 of 2"):
        Padded()([np.ones((2, 4), np.int16), np.ones(3)], PART)
    with pytest.raises(UsageError, match="'ct' decodes to str, only arrays"):
        Padded()(["text"], PART)
    with pytest.raises(UsageError, match="more than the first axis differs"):
        Nested()([np.ones((2, 4)), np.ones((2, 5))], PART)


def test_nested_tensors_hold_each_array() -> None:
    arrays = [np.ones((2, 4), np.int16), None, np.full((3, 4), 7, np.int16)]
    nested = to_tensors({"ct": Nested()(arrays, PART)})["ct"]
    assert nested.is_nested
    assert [tuple(one.shape) for one in nested.unbind()] == [(2, 4), (0, 4), (3, 4)]
    assert torch.equal(nested.unbind()[2], torch.full((3, 4), 7, dtype=torch.int16))
