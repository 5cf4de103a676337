"""The disk cache: right bytes whatever happens to it, within its limit, and each byte fetched once."""

import itertools
import json
import logging
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from cache_job import KEY, LIMIT, SIZE, Source, content, fetch_and_hang, hammer, over, shard
from ropeway.cache import Counters, DiskCache, maintenance, reading, usage
from ropeway.cache.entry import ENTRY, HEADER, PAGES, WHOLE, Content, Entry, runs
from ropeway.cache.seals import PAGE, Checked
from ropeway.cache.usage import SMALL
from ropeway.errors import NotFound, UsageError
from ropeway.samples import ShardRef
from ropeway.shard_bytes import StoreBytes
from ropeway.stores import open_store

parametrize_key = pytest.mark.parametrize("key", [None, KEY], ids=["clear", "encrypted"])


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "shards").glob("*/*"))


def held(folder: Path) -> int:
    """Bytes on disk of everything but folders."""
    total = 0
    for inside, _, names in os.walk(folder):  # unlike rglob, it leaves out folders that vanish meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(inside, name).stat().st_blocks * 512
    return total


# What is read


spans = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda ends: (min(ends), max(ends)))
short = st.tuples(st.integers(0, SIZE), st.integers(0, 3 * PAGE)).map(lambda s: (s[0], min(SIZE, s[0] + s[1])))


@parametrize_key
@settings(max_examples=20)
@given(asked=st.lists(spans | short, max_size=8))
def test_the_bytes_are_the_sources_and_each_is_fetched_once(
    tmp_path_factory: pytest.TempPathFactory, key: bytes | None, asked: list[tuple[int, int]]
) -> None:
    source = Source()
    cached = over(DiskCache(tmp_path_factory.mktemp("cache"), LIMIT, key), source)
    needed, fetched = np.zeros(SIZE, np.int64), np.zeros(SIZE, np.int64)
    for start, stop in asked:
        assert cached.read(0, start, stop) == content(0, start, stop)
        if start < stop:
            needed[start // PAGE * PAGE : -(-stop // PAGE) * PAGE] = 1
    for _, start, stop in source.reads:
        fetched[start:stop] += 1
    np.testing.assert_array_equal(fetched, needed)  # whole pages, and no more


@parametrize_key
def test_one_request_for_what_is_missing_side_by_side(tmp_path: Path, key: bytes | None) -> None:
    source = Source()
    cached = over(DiskCache(tmp_path, LIMIT, key), source)
    cached.read(0, ENTRY + 5 * PAGE, ENTRY + 6 * PAGE)
    cached.read(0, 100, SIZE - 5)
    assert source.reads[1:] == [(0, 0, ENTRY + 5 * PAGE), (0, ENTRY + 6 * PAGE, SIZE)]
    assert cached.read(0, 0, SIZE) == content(0, 0, SIZE)
    assert len(source.reads) == 3


@parametrize_key
def test_counters_tell_hits_from_misses(tmp_path: Path, key: bytes | None) -> None:
    cache = DiskCache(tmp_path, LIMIT, key)
    cached = over(cache)
    assert cache.counters() == Counters()
    cached.read(0, 0, PAGE)
    cached.read(0, 10, PAGE - 10)
    cached.read(0, 0, 2 * PAGE)
    assert cache.counters() == Counters(hits=1, misses=2, disk_bytes=2 * PAGE, fetched_bytes=2 * PAGE)


def test_local_shards_pass_through(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    store.put("d/a.tar", b"local" * 1000)
    ref = ShardRef("d", "v", "d/a.tar", 5000, "ab" * 32)
    cache = DiskCache(tmp_path / "cache", LIMIT)
    cached = cache.over(StoreBytes(store, [ref]), [ref])
    assert bytes(cached.read(0, 5, 10)) == b"local"
    assert bytes(cached.map(0) or b"") == b"local" * 1000
    assert (cache.counters(), entries(tmp_path / "cache")) == (Counters(), [])


def test_shards_of_an_object_store_are_kept(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}")
    store.put("d/a.tar", content(0, 0, SIZE))
    ref = replace(shard(), path="d/a.tar")
    cached = DiskCache(tmp_path, LIMIT).over(StoreBytes(store, [ref]), [ref])
    assert cached.read(0, 1000, ENTRY + 1000) == content(0, 1000, ENTRY + 1000)
    store.delete("d/a.tar")
    assert cached.read(0, 1000, ENTRY + 1000) == content(0, 1000, ENTRY + 1000)
    assert cached.map(0) is None
    with pytest.raises(NotFound):  # what isn't there is asked of the source
        cached.read(0, 2 * ENTRY, SIZE)


class Failing(Source):
    def read(self, shard: int, start: int, stop: int) -> memoryview:
        self.reads.append((shard, start, stop))
        raise NotFound("no such object")


@pytest.mark.parametrize(("start", "stop"), [(5, 5), (0, SIZE + 1), (-1, 5), (6, 5)])
def test_what_lies_outside_the_shard_is_the_sources_to_refuse(tmp_path: Path, start: int, stop: int) -> None:
    source = Failing()
    with pytest.raises(NotFound):
        over(DiskCache(tmp_path, LIMIT), source).read(0, start, stop)
    assert source.reads == [(0, start, stop)]


def test_what_the_source_raises_is_raised_and_nothing_stays_locked(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, LIMIT)
    with pytest.raises(NotFound):
        over(cache, Failing()).read(0, 0, 10)
    source = Source()
    for _ in range(2):
        over(cache, source).read(0, 0, 10)
    assert len(source.reads) == 1


def test_entries_are_found_by_content(tmp_path: Path) -> None:
    cache, source = DiskCache(tmp_path, LIMIT), Source()
    there, elsewhere = shard(), replace(shard(), dataset="other", version="v2", path="other/v2/x.tar")
    unknown = replace(shard(), sha256="0" * 64, path="https://host/a.tar?signature=1")
    for refs, fetches in (
        (there, 1),
        (elsewhere, 1),
        (shard(1), 2),
        (unknown, 3),
        (replace(unknown, path="https://host/a.tar?signature=2"), 3),
        (replace(unknown, path="https://host/b.tar"), 4),
        (replace(unknown, version="v2"), 5),
        (replace(unknown, bytes=SIZE - 1), 6),
        (replace(unknown, sha256=""), 6),
    ):
        over(cache, source, refs).read(0, 0, 100)
        assert len(source.reads) == fetches, refs


def test_pickled_it_is_the_same_cache_with_counters_of_its_own(tmp_path: Path) -> None:
    cached = over(DiskCache(tmp_path, LIMIT, KEY))
    cached.read(0, 0, 100)
    copy = pickle.loads(pickle.dumps(cached))
    assert copy.read(0, 0, 100) == content(0, 0, 100)
    assert copy._cache.counters() == Counters(hits=1, disk_bytes=PAGE)
    assert KEY.hex() not in repr(copy._cache)
    assert str(KEY) not in repr(copy._cache)


# Threads and processes


def test_threads_share_it(tmp_path: Path) -> None:
    cache, source = DiskCache(tmp_path, LIMIT), Source()
    cached = over(cache, source)
    wrong: list[int] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        starts = random.integers(0, SIZE - 2 * PAGE, 40).tolist()
        wrong.extend(s for s in starts if cached.read(0, s, s + 2 * PAGE) != content(0, s, s + 2 * PAGE))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.counters().hits + cache.counters().misses == 8 * 40
    fetched = np.zeros(SIZE, np.int64)
    for _, start, stop in source.reads:
        fetched[start:stop] += 1
    assert fetched.max() == 1


class Held(Source):
    """A source that is asked, and then waits until it may answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = threading.Event(), threading.Event()

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        self.asked.set()
        assert self.go.wait(30)
        return super().read(shard, start, stop)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[DiskCache, Held]]:
    """A cache for which another thread is fetching page 0, and its source."""
    cache, source = DiskCache(tmp_path, LIMIT), Held()
    thread = threading.Thread(target=over(cache, source).read, args=(0, 0, 10))
    thread.start()
    assert source.asked.wait(30)
    yield cache, source
    source.go.set()
    thread.join()


def test_a_page_that_another_is_fetching_is_waited_for(
    slow: tuple[DiskCache, Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, source = slow
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        source.go.set()
        threading.Event().wait(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    assert over(cache, source).read(0, 5, 20) == content(0, 5, 20)
    assert waits
    assert source.reads == [(0, 0, PAGE)]


def test_another_page_of_the_same_entry_is_not_waited_for(
    slow: tuple[DiskCache, Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waits"))
    cache, _ = slow
    other = Source()
    for _ in range(2):
        over(cache, other).read(0, 2 * PAGE, 3 * PAGE)
    assert other.reads == [(0, 2 * PAGE, 3 * PAGE)]


def test_a_slow_peer_is_not_waited_for_long(slow: tuple[DiskCache, Held], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.05)
    cache, source = slow
    other = Source()
    assert over(cache, other).read(0, 0, 2 * PAGE) == content(0, 0, 2 * PAGE)
    assert not source.reads  # it is still waiting
    assert sorted(other.reads) == [(0, 0, PAGE), (0, PAGE, 2 * PAGE)]


def test_a_peer_that_is_stopped_under_the_lock_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(usage, "LOCK_SECONDS", 0.05)
    cache, source = DiskCache(tmp_path, LIMIT), Source()
    over(cache, source).read(0, 0, 10)
    with usage.lock(tmp_path):
        assert over(cache, source).read(0, PAGE, 2 * PAGE) == content(0, PAGE, 2 * PAGE)
        assert over(cache, source).read(0, 0, 10) == content(0, 0, 10)
    assert cache.counters() == Counters(hits=1, misses=2, problems=1, disk_bytes=PAGE, fetched_bytes=2 * PAGE)
    assert "another process holds its lock" in caplog.text


def test_a_child_forked_in_the_middle_holds_nothing_on(tmp_path: Path) -> None:
    """As when a DataLoader starts its workers while another thread reads."""
    script = f"""
        import os, signal, sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from cache_job import LIMIT, Source, over
        from ropeway.cache import Counters, DiskCache, maintenance

        class Forking(Source):
            def read(self, shard, start, stop):
                global child
                child = os.fork()
                if child == 0:
                    signal.pause()
                return super().read(shard, start, stop)

        folder = Path({str(tmp_path)!r})
        cache = DiskCache(folder, LIMIT)
        over(cache, Forking()).read(0, 0, 10)
        cleared = maintenance.clear(folder)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert (cleared.entries, cleared.in_use) == (1, 0), cleared
        child = os.fork()
        if child == 0:
            os._exit(cache.counters() != Counters())
        assert os.waitpid(child, 0)[1] == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["cache_job"])


@parametrize_key
def test_processes_that_are_killed_leave_a_sound_cache_within_its_limit(tmp_path: Path, key: bytes | None) -> None:
    limit = 8 << 20  # of 34 MB
    random = np.random.default_rng(0)
    running = []

    def start(seed: int) -> None:
        mine, theirs = processes.Pipe(duplex=False)
        process = processes.Process(target=hammer, args=(tmp_path, limit, key, seed, theirs), daemon=True)
        process.start()
        theirs.close()
        running.append((process, mine))

    try:
        for seed in range(3):
            start(seed)
        for round_ in range(8):
            for _, pipe in running:
                assert pipe.recv()
            for _ in range(int(random.integers(8))):  # not always at the same place
                assert running[-1][1].recv()
                assert held(tmp_path) <= limit
            process, pipe = running.pop(0)
            process.kill()
            process.join()
            pipe.close()
            start(100 + round_)
    finally:
        for process, pipe in running:
            process.kill()
            process.join()
            pipe.close()
    info = maintenance.info(tmp_path)
    assert info.entries > 0
    assert held(tmp_path) <= limit
    cache, source = DiskCache(tmp_path, limit, key), Source()
    for number in range(4):
        cached = over(cache, source, *(shard(n) for n in range(4)))
        for first in range(0, SIZE, ENTRY):
            stop = min(SIZE, first + ENTRY)
            assert cached.read(number, first, stop) == content(number, first, stop)
    counters = cache.counters()
    assert counters.corrupt == 0
    assert counters.problems == 0
    assert counters.disk_bytes > 0
    assert held(tmp_path) <= limit


def test_what_a_killed_process_was_fetching_is_fetched_and_kept_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=fetch_and_hang, args=(tmp_path, theirs))
    process.start()
    theirs.close()
    assert mine.recv() == 0
    process.kill()
    process.join()
    mine.close()
    assert maintenance.info(tmp_path).unfinished == PAGE
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waits"))
    source = Source()
    for _ in range(2):
        over(DiskCache(tmp_path, LIMIT), source).read(0, 0, PAGE)
    assert source.reads == [(0, 0, PAGE)]
    assert maintenance.info(tmp_path).unfinished == 0


# Its limit


@pytest.mark.parametrize("limit", [0, -1, WHOLE])
def test_a_limit_too_small_says_what_is_enough(tmp_path: Path, limit: int) -> None:
    with pytest.raises(UsageError, match=f"give limit={WHOLE + SMALL} or more"):
        DiskCache(tmp_path, limit)
    cache, source = DiskCache(tmp_path, WHOLE + SMALL), Source()
    for _ in range(2):
        over(cache, source).read(0, 0, ENTRY)
    assert len(source.reads) == 1


class LeastRecentlyUsed(RuleBasedStateMachine):
    """Against a list of entries: what is there, in which order it goes, and how much it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.source = Source()
        self.pages: dict[int, set[int]] = {}
        """Entry → its pages; least recently used first."""
        self.evictions = 0

    @initialize(limit=st.integers(WHOLE + SMALL, 4 * WHOLE))
    def begin(self, limit: int) -> None:
        self.limit = limit
        self.cache = DiskCache(self.folder, limit)
        self.cached = over(self.cache, self.source, *(shard(number, ENTRY) for number in range(8)))

    @rule(number=st.integers(0, 7), count=st.sampled_from([3, 50, PAGES]))
    def read(self, number: int, count: int) -> None:
        there = self.pages.get(number, set())
        missing = set(range(count)) - there
        self.source.reads.clear()
        assert self.cached.read(number, 0, count * PAGE) == content(number, 0, count * PAGE)
        assert sum(stop - start for _, start, stop in self.source.reads) == len(missing) * PAGE
        if len(missing) < count:
            self.pages[number] = self.pages.pop(number)
        if missing:
            self.make_room(HEADER + len(missing) * PAGE)
            self.pages[number] = self.pages.pop(number, set()) | missing

    def make_room(self, size: int) -> None:
        while self.total() + size > self.limit:
            del self.pages[next(iter(self.pages))]
            self.evictions += 1

    def total(self) -> int:
        return SMALL + sum(HEADER + len(pages) * PAGE for pages in self.pages.values())

    @invariant()
    def agrees(self) -> None:
        if self.pages:
            there = {int(path.parent.name, 16) - 1 for path in entries(self.folder)}
            assert there == set(self.pages)
            assert held(self.folder) <= self.limit
            counted = int.from_bytes((self.folder / "usage").read_bytes()[:8], "little")
            assert counted - SMALL == sum(path.stat().st_blocks * 512 for path in entries(self.folder))
            assert self.cache.counters().evictions == self.evictions

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestLeastRecentlyUsed = LeastRecentlyUsed.TestCase
TestLeastRecentlyUsed.settings = settings(max_examples=15, stateful_step_count=25)


def test_what_is_being_read_is_not_evicted(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, WHOLE + SMALL)
    refs = [shard(number) for number in range(3)]
    over(cache, None, *refs).read(0, 0, ENTRY)
    (path,) = entries(tmp_path)
    in_use = Entry.open(str(path), Content.of(refs[0]), 0, Checked())
    assert over(cache, None, *refs).read(1, 0, ENTRY) == content(1, 0, ENTRY)
    assert entries(tmp_path) == [path]
    in_use.close()
    over(cache, None, *refs).read(1, 0, ENTRY)
    assert path not in entries(tmp_path)
    assert len(entries(tmp_path)) == 1
    assert cache.counters().evictions == 1


def test_a_total_left_too_high_by_a_kill_is_put_right(tmp_path: Path) -> None:
    cache, source = DiskCache(tmp_path, 2 * WHOLE), Source()
    (tmp_path / "usage").write_bytes((1 << 40).to_bytes(8, "little") * 2)
    for _ in range(2):
        over(cache, source).read(0, 0, ENTRY)
    (tmp_path / "usage").unlink()
    over(cache, source).read(0, ENTRY, 2 * ENTRY)
    assert len(source.reads) == 2
    assert held(tmp_path) <= 2 * WHOLE


# Damage


@parametrize_key
@given(at=st.integers(0, 1 << 30), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_given_to_anybody(
    tmp_path_factory: pytest.TempPathFactory, key: bytes | None, at: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache, source = DiskCache(folder, LIMIT, key), Source()
    cached = over(cache, source)
    cached.read(0, 0, 5 * PAGE)
    (path,) = entries(folder)
    written = bytearray(path.read_bytes())
    written[at % len(written)] ^= 1 << bit
    path.write_bytes(written)
    for _ in range(2):
        assert cached.read(0, 0, 5 * PAGE) == content(0, 0, 5 * PAGE)
    assert cached.read(0, 0, ENTRY) == content(0, 0, ENTRY)
    assert cache.counters().corrupt <= 1


@parametrize_key
@pytest.mark.parametrize(
    "at", [0, 10, 8 + 32, 300, HEADER - PAGES * 28 + 3, HEADER - PAGES * 28 + 29, HEADER, HEADER + PAGE + 5, -1]
)
def test_damage_is_counted_and_fetched_again_once(tmp_path: Path, key: bytes | None, at: int) -> None:
    cache, source = DiskCache(tmp_path, LIMIT, key), Source()
    cached = over(cache, source)
    cached.read(0, 0, 2 * PAGE)
    (path,) = entries(tmp_path)
    written = bytearray(path.read_bytes())
    written[at] ^= 0x10
    path.write_bytes(written)
    for _ in range(2):
        assert cached.read(0, 0, 2 * PAGE) == content(0, 0, 2 * PAGE)
    assert cache.counters() == Counters(hits=1, misses=2, corrupt=1, disk_bytes=2 * PAGE, fetched_bytes=4 * PAGE)


@parametrize_key
@pytest.mark.parametrize("size", [0, 100, HEADER, HEADER + PAGE, HEADER + 2 * PAGE - 1])
def test_an_entry_cut_short_is_fetched_again(tmp_path: Path, key: bytes | None, size: int) -> None:
    cache, source = DiskCache(tmp_path, LIMIT, key), Source()
    cached = over(cache, source)
    cached.read(0, 0, 2 * PAGE)
    (path,) = entries(tmp_path)
    os.truncate(path, size)
    for _ in range(2):
        assert cached.read(0, 0, 2 * PAGE) == content(0, 0, 2 * PAGE)
    assert len(source.reads) == 2


@parametrize_key
def test_an_entry_in_the_place_of_another_is_not_believed(tmp_path: Path, key: bytes | None) -> None:
    cache = DiskCache(tmp_path, LIMIT, key)
    cached = over(cache)
    cached.read(0, 0, SIZE)
    first, second, _ = entries(tmp_path)
    second.write_bytes(first.read_bytes())
    assert cached.read(0, 0, SIZE) == content(0, 0, SIZE)
    assert cache.counters().corrupt == 1


def test_a_page_of_another_place_has_another_tag(tmp_path: Path) -> None:
    """Somebody who can write but has no key can't swap what is trained on."""
    cache = DiskCache(tmp_path, LIMIT, KEY)
    cached = over(cache)
    cached.read(0, 0, 2 * PAGE)
    (path,) = entries(tmp_path)
    written = path.read_bytes()
    marks = HEADER - PAGES * 28
    swapped = written[:marks] + written[marks + 28 : marks + 56] + written[marks : marks + 28] + written[marks + 56 :]
    swapped = swapped[:HEADER] + swapped[HEADER + PAGE :] + swapped[HEADER : HEADER + PAGE]
    assert len(swapped) == len(written)
    path.write_bytes(swapped)
    assert cached.read(0, 0, 2 * PAGE) == content(0, 0, 2 * PAGE)
    assert cache.counters().corrupt == 1


def test_bytes_that_proved_damaged_are_forgotten(tmp_path: Path) -> None:
    cache, source = DiskCache(tmp_path, LIMIT), Source()
    cached = over(cache, source)
    cached.read(0, 0, SIZE)
    cached.forget(0, ENTRY + 10, ENTRY + 20)
    cached.read(0, 0, SIZE)
    assert source.reads[1:] == [(0, ENTRY, 2 * ENTRY)]


# Keys


def test_with_a_key_nothing_of_a_sample_is_on_disk(tmp_path: Path) -> None:
    def on_disk(folder: Path) -> bytes:
        return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())

    needle = content(0, PAGE, PAGE + 64)
    for name, key in (("clear", None), ("encrypted", KEY)):
        over(DiskCache(tmp_path / name, LIMIT, key)).read(0, 0, SIZE)
        assert (needle in on_disk(tmp_path / name)) is (key is None)
    assert KEY not in on_disk(tmp_path / "encrypted")


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [(KEY, KEY[::-1], "with another key"), (KEY, KEY[:16], "with another key"), (KEY, None, "encrypted: give its key"),
     (None, KEY, "not encrypted: give no key")],
)  # fmt: skip
def test_another_key_is_refused_until_the_cache_is_cleared(
    tmp_path: Path, first: bytes | None, second: bytes | None, problem: str
) -> None:
    over(DiskCache(tmp_path, LIMIT, first)).read(0, 0, SIZE)
    with pytest.raises(UsageError, match=problem):
        DiskCache(tmp_path, LIMIT, second)
    assert over(DiskCache(tmp_path, LIMIT, first)).read(0, 0, SIZE) == content(0, 0, SIZE)
    maintenance.clear(tmp_path)
    assert over(DiskCache(tmp_path, LIMIT, second)).read(0, 0, SIZE) == content(0, 0, SIZE)


@pytest.mark.parametrize("key", [b"", b"short", bytes(33), "0" * 32])
def test_no_key(tmp_path: Path, key: bytes) -> None:
    with pytest.raises(UsageError, match="16, 24 or 32 random bytes"):
        DiskCache(tmp_path, LIMIT, key)


def test_without_cryptography_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(UsageError, match=r"pip install 'ropeway\[encryption\]'"):
        DiskCache(tmp_path, LIMIT, KEY)


# A disk that fails, a folder that won't do


def test_a_folder_that_goes_is_no_reason_to_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    cache, source = DiskCache(folder, LIMIT), Source()
    cached = over(cache, source)
    cached.read(0, 0, SIZE)
    shutil.rmtree(folder)
    for _ in range(3):
        assert cached.read(0, 0, SIZE) == content(0, 0, SIZE)
    assert cache.counters() == Counters(misses=4, problems=1, fetched_bytes=4 * SIZE)  # then it pauses
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    cached.read(0, 0, 10)
    assert cache.counters().problems == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"the cache {folder} fails" in caplog.text
    DiskCache(folder, LIMIT)  # it is there again
    monkeypatch.setattr(time, "monotonic", lambda: 2e9)
    cached.read(0, 0, 10)
    cached.read(0, 0, 10)
    assert cache.counters().hits == 1


FULL = """
    import resource, sys
    sys.path[:0] = {path!r}
    from pathlib import Path
    from cache_job import LIMIT, SIZE, content, over
    from ropeway.cache import DiskCache, maintenance

    {prepare}
    folder = Path({folder!r})
    cache = DiskCache(folder, LIMIT)
    cached = over(cache)
    for _ in range(2):
        assert cached.read(0, 0, SIZE) == content(0, 0, SIZE)
    counts = cache.counters()
    assert (counts.problems, counts.misses) == (1, 2), counts
    info = maintenance.info(folder)
    print(info.bytes)
"""


def full(folder: Path, prepare: str) -> str:
    return textwrap.dedent(FULL).format(path=sys.path, folder=str(folder), prepare=prepare)


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path) -> None:
    """A real one, of 6 MiB, in a namespace of its own."""
    mounted = f"mount -t tmpfs -o size=6m,mode=700 none {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mounted], capture_output=True, check=False).returncode:
        pytest.skip("this machine doesn't let users mount a small disk")
    command = ["unshare", "-rm", "sh", "-c", f'{mounted} && exec "$0" -c "$1"', sys.executable, full(tmp_path, "")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("No space left on device") == 1
    assert int(done.stdout) > 0


def test_files_that_may_not_grow_are_no_reason_to_stop(tmp_path: Path) -> None:
    prepare = "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    done = subprocess.run([sys.executable, "-c", full(tmp_path, prepare)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("File too large") == 1


NOBODY = 65534


def refused(folder: Path) -> str:
    """What a user who is not root is told about a folder."""
    script = f"""
        import os, sys
        sys.path[:0] = {sys.path!r}
        from ropeway.cache import DiskCache
        from ropeway.errors import UsageError
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid({NOBODY})
            os.setuid({NOBODY})
        try:
            DiskCache({str(folder)!r}, 1 << 30)
        except UsageError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_that_cannot_be_written_is_refused_at_once(public: Path) -> None:
    folder = public / "cache"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    folder.chmod(0o500)
    assert "can't be used as a cache: Permission denied" in refused(folder)


def test_the_folder_of_another_user_is_refused(public: Path) -> None:
    folder = public if os.geteuid() == 0 else Path("/tmp")
    assert "belongs to another user" in refused(folder)


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    for key in (None, KEY):
        with pytest.raises(UsageError, match=f"chmod 700 {tmp_path}"):
            DiskCache(tmp_path, LIMIT, key)


def test_what_it_makes_is_its_owners_alone(tmp_path: Path) -> None:
    over(DiskCache(tmp_path / "cache", LIMIT)).read(0, 0, 10)
    modes = {path.stat().st_mode & 0o077 for path in [tmp_path / "cache", *entries(tmp_path / "cache")]}
    assert modes == {0}


@pytest.mark.parametrize("name", ["thesis.tex", "cache.json/x", "shards.tar"])
def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    with pytest.raises(UsageError, match="not a cache"):
        DiskCache(tmp_path, LIMIT)
    with pytest.raises(UsageError, match="not a cache"):
        maintenance.clear(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="can't be used as a cache: File exists"):
        DiskCache(tmp_path / "file", LIMIT)


def test_another_format_is_refused(tmp_path: Path) -> None:
    DiskCache(tmp_path, LIMIT)
    marker = tmp_path / "cache.json"
    marker.write_bytes(marker.read_bytes().replace(b'"page":32768', b'"page":65536'))
    with pytest.raises(UsageError, match="another version"):
        DiskCache(tmp_path, LIMIT)


# The command line


def ropeway(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ropeway.cli", "cache", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_info_and_clear(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, LIMIT, KEY)
    before = time.time()
    over(cache, None, shard(), replace(shard(1), dataset="cxr")).read(0, 0, SIZE)
    over(cache, None, shard(), replace(shard(1), dataset="cxr")).read(1, 0, 100)
    done = ropeway("info", str(tmp_path), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    info = json.loads(done.stdout)
    assert before - 1 < info.pop("oldest") <= info.pop("newest") < time.time() + 1
    whole, small = sum(path.stat().st_blocks * 512 for path in entries(tmp_path)), HEADER + PAGE
    assert info == {
        "entries": 4, "bytes": whole, "limit": LIMIT, "is_encrypted": True, "unfinished": 0, "damaged": 0,
        "datasets": {"ecg@v1": whole - small, "cxr@v1": small},
    }  # fmt: skip
    assert "4 entries, 8.5 MB of 1.1 GB, encrypted" in ropeway("info", str(tmp_path)).stdout

    old = entries(tmp_path)[0]
    os.utime(old, (0, before - 3 * 86_400))
    shown = ropeway("clear", str(tmp_path), "--older-than", "2").stdout
    assert shown == "freed 4.2 MB: deleted 1 entries\n"
    assert old not in entries(tmp_path)
    assert len(entries(tmp_path)) == 3
    (tmp_path / "shards" / "mine").write_text("not the cache's")
    in_use = Entry.open(str(entries(tmp_path)[-1]), Content.of(shard(1)), 0, Checked())
    done = ropeway("clear", str(tmp_path), "--json")
    assert json.loads(done.stdout) == {"entries": 2, "bytes": whole - small - 4_198_400, "in_use": 1}
    in_use.close()
    assert ropeway("clear", str(tmp_path)).stdout == "freed 36.9 kB: deleted 1 entries\n"
    assert entries(tmp_path) == []
    assert (tmp_path / "shards" / "mine").exists()
    assert ropeway("info", str(tmp_path)).stdout.startswith("0 entries, 0 B of 1.1 GB, not encrypted")


def test_info_tells_damage(tmp_path: Path) -> None:
    over(DiskCache(tmp_path, LIMIT)).read(0, 0, 10)
    entries(tmp_path)[0].write_bytes(b"?" * HEADER)
    assert maintenance.info(tmp_path).damaged == 1


@pytest.mark.parametrize("command", ["info", "clear"])
def test_the_command_line_refuses_what_is_no_cache(tmp_path: Path, command: str) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "thesis.tex"):
        done = ropeway(command, str(folder))
        assert (done.returncode, done.stdout) == (1, "")
        assert "ropeway: not a cache of Ropeway's" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_runs_cover_a_mask(bits: list[bool]) -> None:
    mask = np.array(bits)
    rebuilt = np.zeros_like(mask)
    found = runs(mask)
    for first, last in found:
        assert first < last
        rebuilt[first:last] = True
    np.testing.assert_array_equal(rebuilt, mask)
    assert all(a < b for (_, a), (b, _) in itertools.pairwise(found))  # none could be joined
