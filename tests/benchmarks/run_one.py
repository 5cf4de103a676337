"""One measurement in a process of its own: `python -m benchmarks.run_one …` prints a JSON object on its last line."""

import argparse
import hashlib
import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import ceilings, inside, systems
from benchmarks.batches import Batch
from benchmarks.places import Place, Unable
from benchmarks.workloads import WORKLOADS, Ints, Workload

LIMIT = 3
"""An epoch is left after so many times the seconds asked for."""

COLD = 15
"""Seconds after which a cold epoch is left: long enough for what systems read ahead of their first batch."""

RESUME_AT = 0.9
"""Of an epoch."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured.

    Attributes:
        seconds: the steady state is watched at least so long, over several epochs if need be.
        once: one epoch only, however short: the one that fills a cold cache.
        labels: where the labels of the batches go, or what `advance` saves and `resume` loads.
    """

    system: str
    work: Workload
    place: Place
    workers: int
    seconds: float
    once: bool
    labels: Path

    def open(self) -> systems.Stream:
        return systems.find(self.system).open_stream(self.work, self.place, self.workers)


def write(asked: Asked) -> dict[str, Any]:
    """Write the workload in the system's format."""
    systems.find(asked.system).write(asked.work, asked.place.folder)
    return {}


def stream(asked: Asked) -> dict[str, Any]:
    """Samples per second, and how long the first batch and the first epoch took from nothing.

    The steady state is from an epoch's first batch to its last, after a first epoch that is told apart: the machine's
    limits have a turn that is not counted, too. Where one epoch only is wanted, since it fills a cold cache, all counts
    from nothing to the last batch: systems that download much before their first batch pay for it.
    """
    _import(asked.system)
    began, cpu = perf_counter(), _cpu()
    opened = asked.open()
    most = COLD if asked.once else LIMIT * asked.seconds
    clock = _Clock(asked.seconds, most, whole=asked.once or asked.work.keep is not None, skip=not asked.once)
    first_epoch = 0.0
    labels = list[Ints]()
    while not clock.enough:
        clock.epoch()
        for batch in opened.epoch():
            if not labels:
                first = perf_counter() - began
                asked.work.check(batch)
            clock.batch(len(batch["label"]))
            labels.append(np.array(batch["label"], np.int64))
            if clock.over:
                break
        clock.end_epoch()
        first_epoch = first_epoch or clock.samples / (clock.last - began)
        if asked.once:
            break
    del opened
    np.save(asked.labels, np.concatenate(labels))
    loop = clock.counted / clock.seconds
    return {
        "samples_per_second": first_epoch if asked.once else loop,
        "loop_per_second": loop,
        "first_batch_seconds": first,
        "first_epoch_per_second": first_epoch,
        "samples": clock.samples,
        "cpu_seconds": _cpu() - cpu,
    }


def advance(asked: Asked) -> dict[str, Any]:
    """Go to 90 % of an epoch and save the state, with a digest of the batch that comes next."""
    opened = asked.open()
    if opened.state is None:
        raise Unable("it has no state to save")
    batches = iter(opened.epoch())
    for _ in range(int(RESUME_AT * len(asked.work.delivered()) / asked.work.batch)):
        next(batches)
    saved = opened.state()
    asked.labels.write_bytes(_digest(next(batches), asked.work).encode() + saved)
    return {"state_bytes": len(saved)}


def resume(asked: Asked) -> dict[str, Any]:
    """Seconds from nothing to the first batch after a saved state, and whether it is the batch that was due."""
    content = asked.labels.read_bytes()
    _import(asked.system)
    began = perf_counter()
    opened = asked.open()
    assert opened.restore is not None
    opened.restore(content[64:])
    batch = next(iter(opened.epoch()))
    return {
        "seconds": perf_counter() - began,
        "exact": _digest(batch, asked.work).encode() == content[:64],
    }


def limits(asked: Asked) -> dict[str, Any]:
    """Samples per second of each of the machine's limits that mean something here."""
    names = ceilings.of(asked.work, remote=asked.place.url is not None)
    return {"rates": {name: ceilings.CEILINGS[name](asked.work, asked.place, asked.seconds) for name in names}}


ACTIONS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "write": write, "stream": stream, "advance": advance, "resume": resume, "ceilings": limits,
    "wait": lambda asked: inside.data_wait(asked.work, asked.place),
    "reads": lambda asked: inside.reads(asked.work, asked.place),
}  # fmt: skip


class _Clock:
    """Adds up the time of epochs: from the first batch to the last; or `whole`, where they have but a few batches.
    `skip`: whether the first epoch is left out."""

    def __init__(self, wanted: float, most: float, *, whole: bool, skip: bool) -> None:
        self._wanted, self._most, self._whole, self._skip = wanted, most, whole, skip
        self.seconds, self.counted, self.samples = 0.0, 0, 0
        self._began = perf_counter()
        self._since: float | None = None
        self.last = 0.0
        self._waiting = 0

    def epoch(self) -> None:
        self._since = perf_counter() if self._whole else None
        self._waiting = 0

    def batch(self, samples: int) -> None:
        self.samples += samples
        self.last = perf_counter()
        if self._since is None:
            self._since = self.last
        else:
            self._waiting += samples

    def end_epoch(self) -> None:
        if self._since is None or not self._waiting:
            raise Unable("an epoch of one batch has no steady state")
        if self._skip:
            self._skip = False
            return
        self.seconds += self.last - self._since
        self.counted += self._waiting

    @property
    def over(self) -> bool:
        """Whether the epoch under way has gone on for long enough."""
        return self._since is not None and self.seconds + self.last - self._since > self._most

    @property
    def enough(self) -> bool:
        """Whether no other epoch is needed: it has been long enough, or epochs are spent on what is not counted."""
        return bool(self.counted) and (self.seconds >= self._wanted or perf_counter() - self._began > 2 * self._most)


def _import(system: str) -> None:
    """Import what a system would at its first use, so that no figure depends on it."""
    systems.find(system)
    for library in ("boto3.s3.inject", "simplejpeg", "pandas"):  # pyarrow and duckdb look for the last
        if find_spec(library.partition(".")[0]):
            import_module(library)


def _cpu() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _digest(batch: Batch, work: Workload) -> str:
    first = np.ascontiguousarray(batch[work.parts[0].name])
    return hashlib.sha256(np.array(batch["label"], np.int64).tobytes() + first.tobytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--system", required=True)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    given = parser.parse_args()
    work = WORKLOADS[given.workload].resized(given.samples)
    place = Place(given.folder, given.url, given.cache)
    asked = Asked(given.system, work, place, given.workers, given.seconds, given.once, given.labels)
    try:
        found = ACTIONS[given.action](asked)
    except Unable as reason:
        found = {"missing": str(reason)}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
