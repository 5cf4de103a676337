"""Bits of samples: only what is wanted is read, it is what the whole holds, and statistics say what went unchecked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import contents
import packed
import ropeway
import tiny_store
from ropeway.decode import DECODERS
from ropeway.errors import ChecksumError, UsageError
from ropeway.readings import Reading
from ropeway.shard_bytes import StoreBytes
from ropeway.stores import open_store
from ropeway.view import View

SHAPE = (40, 32, 32)
WHOLE = 40 * 32 * 32 * 2
N = 60


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"
    packed.publish(open_store(url), samples=N, per_shard=25, shape=SHAPE, lacks=[7])
    return url


@pytest.fixture
def view(url: str) -> View:
    return ropeway.connect(url).query()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the ranges read from shards."""
    sizes: list[int] = []
    genuine = StoreBytes.read

    def counted(self: StoreBytes, shard: int, start: int, stop: int) -> memoryview:
        sizes.append(stop - start)
        return genuine(self, shard, start, stop)

    monkeypatch.setattr(StoreBytes, "read", counted)
    return sizes


def whole(view: View) -> dict[str, torch.Tensor]:
    loader = ropeway.StreamingLoader(view, 10, parts=["x"])
    return {key: x for batch in loader for key, x in zip(batch["__key__"], batch["x"], strict=True)}


def test_slabs_are_bits_of_the_whole_and_little_else_is_read(view: View, read: list[int]) -> None:
    expected = whole(view)
    read.clear()
    loader = ropeway.StreamingLoader(view, 10, parts={"x": ropeway.Slab(3, 7)})
    for batch in loader:
        assert batch["x"].shape == (10, 4, 32, 32)
        for key, x in zip(batch["__key__"], batch["x"], strict=True):
            assert torch.equal(x, expected[key][3:7])
    assert sum(read) <= N * (WHOLE // 10 + 4096)
    stats = loader.stats()
    assert (stats.unchecked, stats.bytes) == (N, sum(read))


@pytest.mark.xdist_group("s3")
def test_bits_of_a_volume_a_signal_and_a_video_come_alone_from_s3(bucket: str) -> None:
    """A NIfTI's slices, an EDF's seconds, an MP4's frames: by a few ranges of each, and as the whole holds them."""
    stored = {
        "ct": ("nii", contents.nifti(contents.gaussian((96, 96, 60)))),
        "eeg": ("edf", contents.edf(contents.numbers(4, 40_000))),
        "echo": ("mp4", contents.video("mp4", frames=100, height=144, width=192, noise=250)),
    }
    store = open_store(f"s3://{bucket}/store")
    tiny_store.build(store, content=[tiny_store.Sample(key=f"k{n}", parts=stored) for n in range(3)])
    view = ropeway.connect(store.url).query()
    ct, eeg, echo = (DECODERS[form].decode(memoryview(content)) for form, content in stored.values())
    bits: dict[str, tuple[Reading, Any]] = {
        "ct": (ropeway.Slab(20, 26, axis=2), ct[:, :, 20:26]),
        "eeg": (ropeway.Window(300, 304), eeg[:, 30_000:30_400]),
        "echo": (ropeway.Clip(50, 4), echo[50:54]),
    }
    for part, (reading, expected) in bits.items():
        loader = ropeway.StreamingLoader(view, 3, parts={part: reading})
        [batch] = loader
        assert np.array_equal(batch[part], np.stack([expected] * 3))
        traffic, whole = loader.stats().traffic, 3 * len(stored[part][1])
        assert 0 < traffic.bytes < whole / 2
        assert traffic.bytes == loader.stats().bytes


def test_only_what_was_given_counts(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10, parts={"x": ropeway.Slab(3, 7)})
    begun = iter(loader)
    next(begun)
    assert loader.stats().unchecked == loader.stats().samples == 10


def test_beside_a_whole_part_the_sample_is_read_and_checked_once(view: View, read: list[int]) -> None:
    expected = whole(view)
    read.clear()
    wanted: dict[str, Reading] = {"x": ropeway.Slab(-4 + 40, 40), "note": ropeway.Whole()}
    loader = ropeway.StreamingLoader(view, 10, parts={"x": wanted["x"]}, tail="pad")
    both = ropeway.StreamingLoader(view, 10, parts=wanted, decoders={}, tail="pad")
    for one, two in zip(loader, both, strict=True):
        assert torch.equal(one["x"], two["x"])
        assert torch.equal(two["x"], torch.stack([expected[key][36:] for key in two["__key__"]]))
        assert two["note"] == [None if key == "k000007" else f"sample {int(key[1:])}" for key in two["__key__"]]


def test_small_parts_of_large_samples_come_alone_and_unchecked(url: str, view: View, read: list[int]) -> None:
    loader = ropeway.StreamingLoader(view, 10, parts=["note"])
    assert sum(note is not None for batch in loader for note in batch["note"]) == N - 1
    assert loader.stats().unchecked == N
    assert sum(read) < N * 100
    store, path = open_store(url), f"d/{packed.VERSION}/train-000000.tar"
    content = bytearray(store.read(path))
    content[600] ^= 1  # in the part that nobody wants
    store.put(path, bytes(content))
    assert sum(len(batch["note"]) for batch in ropeway.StreamingLoader(view, 10, parts=["note"])) == N
    with pytest.raises(ChecksumError, match="k000000"):
        list(ropeway.StreamingLoader(view, 10))


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"x": ropeway.Slab(30, 50)}, "x"),
        ({"note": ropeway.Slab(0, 1)}, "note"),
        ({"y": ropeway.Slab(0, 1)}, "no part 'y' in this view; there is: x, note"),
    ],
)
def test_readings_that_do_not_fit_are_refused_at_once(view: View, parts: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        ropeway.StreamingLoader(view, 10, parts=parts)


def test_padded_parts_say_their_sizes(view: View) -> None:
    own = {"note": lambda content: np.zeros(len(content))}
    loader = ropeway.StreamingLoader(view, 10, decoders=own, ragged={"note": ropeway.Padded()})
    for batch in loader:
        sizes = [0 if key == "k000007" else len(f"sample {int(key[1:])}") for key in batch["__key__"]]
        assert batch["__sizes__"]["note"].tolist() == [[size] for size in sizes]
        assert batch["note"].shape == (10, max(sizes))


def test_nested_parts_are_one_tensor_of_each_size(view: View) -> None:
    own = {"note": lambda content: np.frombuffer(content, np.uint8).copy()}
    loader = ropeway.StreamingLoader(view, 10, parts=["note"], decoders=own, ragged={"note": ropeway.Nested()})
    for batch in loader:
        texts = ["" if key == "k000007" else f"sample {int(key[1:])}" for key in batch["__key__"]]
        assert batch["note"].is_nested
        assert [bytes(one.tolist()).decode() for one in batch["note"].unbind()] == texts


def test_readings_of_what_the_manifest_leaves_open_are_stacked(tmp_path: Path) -> None:
    """A PNG's dtype is nowhere declared, but pictures of one size are one tensor."""
    pictures = [contents.picture(contents.smooth(40 + number, 50), "png") for number in range(8)]
    samples = [tiny_store.Sample(key=f"k{n}", parts={"scan": ("png", picture)}) for n, picture in enumerate(pictures)]
    tiny_store.build(open_store(tmp_path), content=samples)
    view = ropeway.connect(str(tmp_path)).query()
    for batch in ropeway.StreamingLoader(view, 4, parts={"scan": ropeway.Image(32)}):
        assert batch["scan"].shape[:3] == (4, 32, 32)
    assert isinstance(next(iter(ropeway.StreamingLoader(view, 4)))["scan"], list)
