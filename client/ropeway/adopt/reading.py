"""Reads many foreign shards: in this process, or in several where there is enough to read.

Read through, it is processors that an adoption takes, more than a disk: headers are read by Python, one shard at a time
and process. Skimmed, it is mostly requests, which are waited for: each process has several shards under way.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection

from ropeway.adopt import kept
from ropeway.adopt.kept import Kept
from ropeway.adopt.places import Place
from ropeway.adopt.rules import Rules
from ropeway.adopt.scan import Broken, Scanned, scan, skim
from ropeway.errors import RopewayError
from ropeway.samples import ShardRef
from ropeway.shard_bytes import StoreBytes
from ropeway.stored import Advance
from ropeway.stores import Store

PER_PROCESS = 64 << 20
"""Bytes that are worth a process: starting one takes about half a second, reading them as long."""

SHARE = 16
"""Shards that a process is given at a time, at most."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How shards are read.

    Attributes:
        name: as it is kept in the manifest.
        scan: reads one.
        at_once: shards under way in a process.
    """

    name: str
    scan: Callable[[StoreBytes, int, Place, Rules, Advance], Scanned]
    at_once: int


THROUGH = Manner("through", scan, 1)
"""Every byte is read, and has a checksum."""

HEADERS = Manner("headers", skim, 16)
"""Headers alone are read, and the members that labels and metadata are in: no sample has a checksum."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all shards of an adoption have in common. Picklable.

    Attributes:
        store: where scans are kept, in `folder`.
        rules: what to look for.
        manner: how they are read.
    """

    store: Store
    folder: str
    rules: Rules
    manner: Manner


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one shard.

    Attributes:
        found: its scan, or what is wrong with it.
        read: bytes; 0 for a scan that an earlier adoption had kept. Of a broken shard all of it, whatever was read.
    """

    found: Kept | Broken
    read: int


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of several shards, by their numbers, and how many range requests it took."""

    shards: Mapping[int, Outcome]
    requests: int


def _read_one(job: Job, reader: StoreBytes, at: int, number: int, place: Place, advance: Advance) -> Outcome:
    """A shard's scan: the kept one, or one made and kept now. It is number `at` of the reader's."""
    path = f"{job.folder}/{number:06d}.parquet"
    there = kept.read(job.store, path, place)
    if there is not None:
        advance(place.bytes)
        return Outcome(there, 0)
    try:
        scanned = job.manner.scan(reader, at, place, job.rules, advance)
    except Broken as error:
        error.shard = place.url
        return Outcome(error, place.bytes)
    made = kept.kept(place, scanned, job.rules.values)
    kept.write(job.store, path, made)
    return Outcome(made, scanned.read)


def read_all(job: Job, places: Sequence[Place], processes: int, advance: Advance) -> Outcomes:
    """All shards.

    Args:
        processes: at most; fewer where there is less to read than `PER_PROCESS` each.
        advance: told bytes, in this process.

    Raises:
        RopewayError: a store can't be read or written, or a process died.
    """
    wanted = min(processes, len(places), sum(place.bytes for place in places) // PER_PROCESS)
    numbered = list(enumerate(places))
    if wanted <= 1:
        return _read_some(job, numbered, advance)
    share = min(SHARE, -(-len(places) // wanted))
    pool = ProcessPoolExecutor(wanted, multiprocessing.get_context("spawn"), _watch_parent)
    try:
        shares = [numbered[first : first + share] for first in range(0, len(places), share)]
        found, requests = dict[int, Outcome](), 0
        for future in as_completed([pool.submit(_read_some, job, some, _silent) for some in shares]):
            some = future.result()
            found |= some.shards
            requests += some.requests
            advance(sum(places[number].bytes for number in some.shards))
        return Outcomes(found, requests)
    except BrokenProcessPool as error:
        raise RopewayError(
            "a reading process died; was the machine out of memory? Run the same command to go on"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_some(job: Job, numbered: Sequence[tuple[int, Place]], advance: Advance) -> Outcomes:
    """Some shards with their numbers, as many under way as the manner says, by one reader: to make one takes longer
    than a few requests."""
    reader = StoreBytes(job.store, [ShardRef("", "", place.url, place.bytes, "") for _, place in numbered])

    def read(at: int) -> Outcome:
        return _read_one(job, reader, at, *numbered[at], advance)

    if job.manner.at_once == 1:
        found = [read(at) for at in range(len(numbered))]
    else:
        with ThreadPoolExecutor(job.manner.at_once) as pool:
            found = list(pool.map(read, range(len(numbered))))
    by_number = {number: outcome for (number, _), outcome in zip(numbered, found, strict=True)}
    return Outcomes(by_number, reader.counters.requests)


def _silent(_: int) -> None:
    """Processes tell of whole shards, by their outcome."""


def _watch_parent() -> None:
    """A worker whose parent was killed would wait for its next shard for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
