"""Reads many foreign shards through: in this process, or in several where there is enough to read.

Headers are read by Python, one shard at a time and process: it is processors that an adoption takes, more than a disk.
"""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection

from ropeway.adopt import kept
from ropeway.adopt.kept import Kept
from ropeway.adopt.places import Place
from ropeway.adopt.rules import Rules
from ropeway.adopt.scan import Broken, scan
from ropeway.errors import RopewayError
from ropeway.stored import Advance
from ropeway.stores import Store

PER_PROCESS = 64 << 20
"""Bytes that are worth a process: starting one takes about half a second, reading them as long."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all shards of an adoption have in common. Picklable.

    Attributes:
        store: where scans are kept, in `folder`.
        rules: what to look for.
    """

    store: Store
    folder: str
    rules: Rules


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one shard.

    Attributes:
        found: its scan, or what is wrong with it.
        read: bytes; 0 for a scan that an earlier adoption had kept.
        requests: range requests.
    """

    found: Kept | Broken
    read: int
    requests: int


def read_one(job: Job, number: int, place: Place, advance: Advance) -> Outcome:
    """A shard's scan: the kept one, or one made and kept now."""
    path = f"{job.folder}/{number:06d}.parquet"
    there = kept.read(job.store, path, place)
    if there is not None:
        advance(place.bytes)
        return Outcome(there, 0, 0)
    try:
        scanned = scan(job.store, place, job.rules, advance)
    except Broken as error:
        error.shard = place.url
        return Outcome(error, place.bytes, 0)
    made = kept.kept(place, scanned, job.rules.values)
    kept.write(job.store, path, made)
    return Outcome(made, place.bytes, scanned.requests)


def read_all(job: Job, places: Sequence[Place], processes: int, advance: Advance) -> list[Outcome]:
    """All shards, in their order.

    Args:
        processes: at most; fewer where there is less to read than `PER_PROCESS` each.
        advance: told bytes, in this process.

    Raises:
        RopewayError: a store can't be read or written, or a process died.
    """
    wanted = min(processes, len(places), sum(place.bytes for place in places) // PER_PROCESS)
    if wanted <= 1:
        return [read_one(job, number, place, advance) for number, place in enumerate(places)]
    pool = ProcessPoolExecutor(wanted, multiprocessing.get_context("spawn"), _watch_parent)
    try:
        numbers = {pool.submit(read_one, job, number, place, _silent): number for number, place in enumerate(places)}
        found: dict[int, Outcome] = {}
        for future in as_completed(numbers):
            number = numbers[future]
            found[number] = future.result()
            advance(places[number].bytes)
        return [found[number] for number in range(len(places))]
    except BrokenProcessPool as error:
        raise RopewayError(
            "a reading process died; was the machine out of memory? Run the same command to go on"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
