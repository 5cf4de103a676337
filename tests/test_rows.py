"""npy parts are moved, not decoded, and still nothing wrong slips through."""

import hashlib
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import google_crc32c
import numpy as np
import pytest
import torch

import ropeway
from packed import npy
from ropeway import buffers, index, tar
from ropeway import manifest as m
from ropeway.buffers import GATHERED
from ropeway.checksum import crc32c
from ropeway.decoders.arrays import npy_layout
from ropeway.errors import FormatError
from ropeway.rows import WORTH
from ropeway.stores import open_store
from ropeway.view import View

SHAPE = (4, 6)


def published(url: str, contents: Sequence[bytes | None], shape: tuple[int | None, ...], dtype: str = "<i2") -> View:
    """A view of one shard whose sample i has these bytes as its part `x`, and a part `note` in any case."""
    blocks, rows, at = list[bytes](), list[index.Row](), 0
    for number, content in enumerate(contents):
        parts = [("note", "txt", f"{number}".encode()), *([] if content is None else [("x", "npy", content)])]
        block, where = tar.encode_sample(f"k{number:04d}", parts, at)
        at += len(block)
        blocks.append(block)
        rows.append(
            index.Row(key=f"k{number:04d}", shard="0123456789ab/train-000000.tar", span=where.span, split="train",
                      crc32c=google_crc32c.value(block), subject=None, parts=where.parts)
        )  # fmt: skip
    shard = b"".join(blocks) + tar.END
    table = index.encode([index.table(rows, index.schema(["note", "x"], [], {}))])
    sha = hashlib.sha256(shard).hexdigest(), hashlib.sha256(table).hexdigest()
    have, path = len(rows), "0123456789ab/index/00000.parquet"
    manifest = m.Manifest(
        format=m.FORMAT, dataset="d", version="0123456789ab", tasks=(),
        card=m.Card(title="d", domain="ECG", modalities=("ecg",), licence="CC0", access="open", unit="window"),
        parts=(m.Part(name="note", kind="text", format="txt", samples=have),
               m.Part(name="x", kind="signal", format="npy", dtype=dtype, shape=shape)),
        splits=(m.Split(name="train", samples=have, subjects=0, bytes=len(shard), shards=1),),
        shards=(m.Shard(path=rows[0].shard, split="train", bytes=len(shard), samples=have, sha256=sha[0]),),
        index=(m.IndexFile(path=path, rows=have, bytes=len(table), sha256=sha[1]),),
        provenance=m.Provenance(recipe="d", parameters={}, software="0", source="0" * 64, source_files=1,
                                source_bytes=1),
    )  # fmt: skip
    store = open_store(url)
    for name, content in ((rows[0].shard, shard), (path, table), ("0123456789ab/manifest.json", m.dumps(manifest))):
        store.put(f"d/{name}", content)
    store.put("d/latest.json", m.dumps(m.Latest(version="0123456789ab", history=("0123456789ab",))))
    return ropeway.connect(url).query()


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"


def values(view: View, batch_size: int = 7, **options: Any) -> dict[str, Any]:
    """Each sample's part `x`, over two epochs that agree."""
    loader = ropeway.StreamingLoader(view, batch_size, tail="pad", **options)
    first, second = ({key: x for b in loader for key, x in zip(b["__key__"], b["x"], strict=True)} for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    return first


def test_contents_of_other_writers_are_decoded_beside_those_that_are_moved(url: str) -> None:
    arrays = [np.full(SHAPE, number, np.int16) for number in range(40)]
    contents: list[bytes | None] = [npy(array) for array in arrays]
    wide = npy(arrays[3])
    contents[3] = wide[:10].replace(b"v\x00", b"\xb6\x00") + wide[10:127] + b" " * 64 + wide[127:]  # a longer header
    contents[4] = npy(np.asfortranarray(arrays[4]))
    contents[5] = npy(arrays[5].astype(">i2"))
    contents[6] = None
    found = values(published(url, contents, SHAPE))
    for number in range(40):
        assert torch.equal(found[f"k{number:04d}"], torch.from_numpy(arrays[number]) * (number != 6))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (npy(np.zeros((6, 4), np.int16)), r"int16 of shape \(6, 4\) where int16 of shape \(4, 6\) is due"),
        (npy(np.zeros(SHAPE, np.float16)), r"float16 of shape \(4, 6\) where int16"),
        (npy(np.zeros((4, 7), np.int16)), r"shape \(4, 7\)"),
        (b"\x93NUMPX" + npy(np.zeros(SHAPE, np.int16))[7:], "not an npy file"),
        (npy(np.zeros(SHAPE, np.int16))[:-1], "does not decode"),
        (b"", "does not decode"),
    ],
    ids=["turned", "other dtype", "longer", "no npy", "cut short", "empty"],
)
def test_an_array_that_is_not_what_the_manifest_says_is_named(url: str, wrong: bytes, problem: str) -> None:
    contents: list[bytes | None] = [npy(np.zeros(SHAPE, np.int16)) for _ in range(20)]
    contents[11] = wrong
    view = published(url, contents, SHAPE)
    with pytest.raises(FormatError, match=f"{problem}.*key k0011"):
        list(ropeway.StreamingLoader(view, 5))
    found = values(view, on_bad=ropeway.substitute(limit=1))
    assert len(found) == 19


@pytest.mark.parametrize("shape", [(WORTH // 2 // 100,), (GATHERED // 2 + 100,), (3, 1, 5), ()])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_of_any_size_are_whole(url: str, shape: tuple[int, ...], threads: int) -> None:
    generator = np.random.default_rng(1)
    arrays = [generator.integers(-999, 999, shape).astype(np.int16) for _ in range(300)]
    found = values(published(url, [npy(array) for array in arrays], shape), 64, threads=threads)
    assert len(found) == 300
    for number, array in enumerate(arrays):
        assert torch.equal(found[f"k{number:04d}"], torch.from_numpy(np.asarray(array)))


def test_batches_are_the_callers_own(url: str) -> None:
    view = published(url, [npy(np.full(SHAPE, n, np.int16)) for n in range(30)], SHAPE)
    kept = list(ropeway.StreamingLoader(view, 5))
    for batch in kept:
        batch["x"] += 1000  # nothing is shared with shards, buffers or other batches
    assert sorted({int(x) - 1000 for batch in kept for x in batch["x"].flatten()}) == list(range(30))
    assert {int(x) for batch in ropeway.StreamingLoader(view, 5) for x in batch["x"].flatten()} == set(range(30))


def test_batches_that_are_let_go_leave_their_memory_to_the_next_ones(tmp_path: Path) -> None:
    view = published(str(tmp_path), [npy(np.full((GATHERED,), n, np.int16)) for n in range(80)], (GATHERED,))
    loader = ropeway.StreamingLoader(view, 4, parts=["x"], memory=1 << 20)  # so that few are made ahead
    kept = [batch for _ in range(2) for batch in loader]
    assert len({batch["x"].data_ptr() for batch in kept}) == 40
    kept.clear()
    places = [batch["x"].data_ptr() for _ in range(4) for batch in loader]
    assert len(places) == 80
    assert len(set(places)) <= 20


def test_what_follows_an_array_in_its_content_is_no_part_of_it(url: str) -> None:
    arrays = [np.full(SHAPE, number, np.int16) for number in range(20)]
    found = values(published(url, [npy(array) + b"\x07\x07" for array in arrays], SHAPE))
    for number, array in enumerate(arrays):
        assert torch.equal(found[f"k{number:04d}"], torch.from_numpy(array))


def test_bytes_of_the_right_number_are_no_array(url: str) -> None:
    view = published(url, [bytes(4 * 6 * 2)] * 20, SHAPE)
    with pytest.raises(FormatError, match="not an npy file"):
        list(ropeway.StreamingLoader(view, 5))


@pytest.mark.parametrize("shape", [(3, 5), (256, 128)])
def test_arrays_of_which_none_is_moved(url: str, shape: tuple[int, ...]) -> None:
    arrays = [np.random.default_rng(number).integers(-9, 9, shape).astype(np.int16) for number in range(20)]
    found = values(published(url, [npy(np.asfortranarray(array)) for array in arrays], shape))
    for number, array in enumerate(arrays):
        assert torch.equal(found[f"k{number:04d}"], torch.from_numpy(array))


def test_a_batch_of_nothing_but_bad_arrays_is_left_to_the_policy(url: str) -> None:
    contents: list[bytes | None] = [npy(np.zeros((200, 100), np.int16)) for _ in range(20)]
    contents[:8] = [b"broken" * 9000] * 8
    view = published(url, contents, (200, 100))
    with pytest.raises(FormatError, match="not an npy file"):
        list(ropeway.StreamingLoader(view, 4, order=ropeway.Sequential()))
    loader = ropeway.StreamingLoader(view, 4, order=ropeway.Sequential(), on_bad=ropeway.substitute(limit=8))
    assert all((batch["x"] == 0).all() for batch in loader)
    assert len(loader.bad) == 8


def test_samples_without_elements_are_samples(url: str) -> None:
    found = values(published(url, [npy(np.zeros((0, 5), np.int16))] * 9, (0, 5)))
    assert {tuple(x.shape) for x in found.values()} == {(0, 5)}


def test_an_empty_shard_file_is_named(tmp_path: Path) -> None:
    view = published(str(tmp_path), [npy(np.zeros(SHAPE, np.int16))] * 9, SHAPE)
    (tmp_path / "d/0123456789ab/train-000000.tar").write_bytes(b"")
    with pytest.raises(FormatError, match=r"shard has 0 bytes, the index has samples up to .*train-000000"):
        list(ropeway.StreamingLoader(view, 5))


def test_what_is_mapped_is_checked_once_and_what_is_fetched_every_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = published(url, [npy(np.full(SHAPE, n, np.int16)) for n in range(40)], SHAPE)
    counted: Counter[str] = Counter()

    def told(name: str, does: Callable[..., Any], count: Callable[..., int]) -> Callable[..., Any]:
        def telling(*given: Any) -> Any:
            counted[name] += count(*given)
            return does(*given)

        return telling

    header = len(npy(np.zeros(SHAPE, np.int16))) - 2 * 4 * 6
    compared = told("headers compared", buffers.gather, lambda found, size: len(found) if size == header else 0)
    monkeypatch.setattr("ropeway.buffers.gather", compared)
    monkeypatch.setattr("ropeway.rows.npy_layout", told("headers parsed", npy_layout, lambda _: 1))
    monkeypatch.setattr("ropeway.checking.crc32c", told("checksums", crc32c, lambda _: 1))
    loader = ropeway.StreamingLoader(view, 5, parts=["x"])
    for epochs in (1, 2, 3):
        assert sorted(int(x[0, 0]) for batch in loader for x in batch["x"]) == list(range(40))
        looks = 40 if url.startswith("/") else 40 * epochs
        assert counted == {"headers parsed": 1, "headers compared": looks, "checksums": looks}


def test_an_epoch_takes_calls_by_batches_and_not_by_samples(tmp_path: Path) -> None:
    """Microseconds add up: a thousand samples a millisecond leave none for a call of each."""
    view = published(str(tmp_path), [npy(np.full((16,), n, np.int16)) for n in range(4096)], (16,))
    loader = ropeway.StreamingLoader(view, 512, parts=["x"], order=ropeway.Sequential())
    assert sum(len(batch["x"]) for batch in loader) == 4096  # checksums are compared, one by one
    calls: Counter[str] = Counter()

    def called(frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "c_call"):
            calls[frame.f_code.co_qualname] += 1

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        count = sum(len(batch["x"]) for batch in loader)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert count == 4096
    assert any("Assembler" in name for name in calls)  # the threads are counted too
    assert calls.total() < 4096
