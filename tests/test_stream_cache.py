"""The loader over a disk cache, and over a way that damages what it carries."""

from pathlib import Path
from typing import Any

import pytest
import torch

import packed
import ropeway
from ropeway.cache.disk import CachedBytes
from ropeway.cache.maintenance import info
from ropeway.errors import ChecksumError
from ropeway.shard_bytes import StoreBytes
from ropeway.stores import open_store
from ropeway.view import View

N = 103
MIB = 1 << 20


@pytest.fixture
def view(tmp_path: Path) -> View:
    url = f"memory://{tmp_path.name}"
    packed.publish(open_store(url), samples=N, shape=(64, 64))
    return ropeway.connect(url).query()


@pytest.fixture
def cache(tmp_path: Path) -> ropeway.DiskCache:
    return ropeway.DiskCache(tmp_path / "cache", limit=64 * MIB)


def epoch(view: View, **options: Any) -> tuple[list[str], torch.Tensor, ropeway.StreamingLoader]:
    loader = ropeway.StreamingLoader(view, 10, tail="pad", parts=["x"], **options)
    batches = list(loader)
    return [key for b in batches for key in b["__key__"]], torch.cat([b["x"] for b in batches]), loader


class Way:
    """Flips a bit of the first reads from the source, and counts all of them."""

    def __init__(self, patched: pytest.MonkeyPatch, damaged: int = 0) -> None:
        self.reads, self.damaged = 0, damaged
        genuine = StoreBytes.read

        def read(source: StoreBytes, shard: int, start: int, stop: int) -> memoryview:
            content = genuine(source, shard, start, stop)
            self.reads += 1
            if self.reads <= self.damaged:
                spoilt = bytearray(content)
                spoilt[len(spoilt) // 2] ^= 4
                return memoryview(bytes(spoilt))
            return content

        patched.setattr(StoreBytes, "read", read)


def test_a_second_epoch_and_a_second_job_come_from_the_disk(
    view: View, cache: ropeway.DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = epoch(view)[:2]
    way = Way(monkeypatch)
    for job in range(2):
        keys, x, loader = epoch(view, cache=cache)
        assert keys == expected[0]
        assert torch.equal(x, expected[1])
        list(loader)
        assert way.reads > 0
        if job == 0:
            first = way.reads
    assert way.reads == first
    stats = loader.stats()
    assert stats.cache is not None
    assert stats.cache.hits > 0
    assert stats.flat()["data/cache_hits"] == stats.cache.hits


@pytest.mark.parametrize("cached", [False, True])
def test_what_was_damaged_on_its_way_is_fetched_once_more(
    view: View, cache: ropeway.DiskCache, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    expected = epoch(view)[:2]
    Way(monkeypatch, damaged=1)
    keys, x, loader = epoch(view, cache=cache if cached else None)
    assert keys == expected[0]
    assert torch.equal(x, expected[1])
    assert loader.stats().bad == 0
    if cached:  # and the damage did not stay in the cache
        assert torch.equal(epoch(view, cache=cache)[1], expected[1])


def test_what_is_damaged_at_its_source_stays_an_error(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    Way(monkeypatch, damaged=10_000)
    with pytest.raises(ChecksumError, match="crc32c differs"):
        epoch(view)


def test_local_shards_are_not_cached(tmp_path: Path, cache: ropeway.DiskCache) -> None:
    packed.publish(open_store(tmp_path / "store"), samples=N)
    view = ropeway.connect(str(tmp_path / "store")).query()
    loader = epoch(view, cache=cache)[2]
    assert cache.counters().misses == cache.counters().hits == 0
    assert isinstance(cache.over(view.reader(), view.table().shards), CachedBytes)
    assert loader.stats().samples == N


@pytest.mark.xdist_group("s3")
def test_workers_share_a_cache(cache: ropeway.DiskCache, tmp_path: Path, bucket: str) -> None:
    """Each worker process makes its own reader over the same folder."""
    store = open_store(f"s3://{bucket}/store")
    packed.publish(store, samples=N, shape=(64, 64))
    remote = ropeway.connect(store.url).query()
    expected = epoch(remote)[:2]
    dataset = ropeway.StreamingDataset(remote, 10, tail="pad", parts=["x"], cache=cache)
    for _ in range(2):
        dataset.set_epoch(0)
        batches = list(torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2))
        assert [key for b in batches for key in b["__key__"]] == expected[0]
        assert torch.equal(torch.cat([b["x"] for b in batches]), expected[1])
    assert info(tmp_path / "cache").bytes >= remote.bytes
