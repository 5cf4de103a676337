"""Runs the bench: writes each workload for each system, then measures in rounds in which systems take turns."""

import logging
import os
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ceilings, machine, processes, servers
from benchmarks.places import Unable
from benchmarks.quality import shuffle_quality
from benchmarks.results import Ceiling, Measured, Reads, Results, Resume, Waiting
from benchmarks.servers import OURS_ONLY, Sources
from benchmarks.systems import ENTRIES
from benchmarks.workloads import WORKLOADS, Workload

log = logging.getLogger("benchmarks")

_REPEATS = 3
"""Of what is measured beside speed."""

BEST_OF = {"s3-20ms": "s3"}
"""Source → the one whose best numbers of workers it takes over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run does.

    Attributes:
        plan: workload → source it is streamed from → rounds. The first round tries all numbers of workers, unless a
            source before it has shown which is best (`BEST_OF`); the others repeat the best.
        systems: names of those measured.
        samples: of each workload.
        seconds: of steady state in each measurement, at least.
        workers: numbers of worker processes that are tried.
        resumes: workload on which resuming is measured; None: on none.
        waits: workloads on which data-wait is measured.
        pythons: environment → interpreter.
        scratch: an empty folder for everything.
    """

    plan: Mapping[str, Mapping[str, int]]
    systems: Sequence[str]
    samples: Mapping[str, int]
    seconds: float
    workers: Sequence[int]
    resumes: str | None
    waits: Sequence[str]
    pythons: Mapping[str, str]
    scratch: Path


@dataclass(frozen=True, slots=True)
class Written:
    """A dataset in a system's format: its folder, its URL where it was uploaded, or why it is not there."""

    folder: Path
    url: str | None = None
    missing: str = ""


@dataclass(slots=True)
class Tries:
    """What was measured of a system with each number of workers."""

    missing: str = ""
    runs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def best(self) -> int:
        return max(self.runs, key=lambda workers: _median(self.runs[workers], "samples_per_second"))


class Bench:
    """One run of the bench.

    Args:
        settings: what it does.
        sources: the object store, where one is wanted.
    """

    def __init__(self, settings: Settings, sources: Sources | None) -> None:
        self._settings, self._sources = settings, sources
        rounds = max(max(sources.values()) for sources in settings.plan.values())
        self._results = Results(
            machine=machine.describe(settings.pythons),
            settings={"rounds": str(rounds), "seconds": str(settings.seconds)},
            samples=dict(settings.samples),
            measured=[],
            ceilings=[],
            resumes=[],
            reads=[],
            waiting=[],
        )

    def run(self, save: Callable[[Results], None]) -> None:
        """Everything; what there is so far is saved after each dataset."""
        works = [WORKLOADS[name].resized(self._settings.samples[name]) for name in self._settings.plan]
        for _, group in groupby(works, key=lambda work: work.dataset):
            self._dataset(list(group))
            save(self._results)

    def _dataset(self, works: list[Workload]) -> None:
        """Write one dataset, measure the workloads that stream it, remove it."""
        first = works[0]
        size = first.samples * first.sample_bytes * len(self._settings.systems)
        if size > machine.available_memory():
            log.warning("%s takes %.1f GB in all formats, more than the page cache can hold", first.name, size / 1e9)
        written = {system: self._write(system, first, works) for system in self._settings.systems}
        for work in works:
            for source in self._settings.plan[work.name]:
                self._source(work, source, written)
            if work.name == self._settings.resumes and "local" in self._settings.plan[work.name]:
                self._results.resumes.extend(self._resume(system, work, written[system]) for system in written)
            if "ropeway" in written:
                self._inside(work, written["ropeway"])
        for each in written.values():
            shutil.rmtree(each.folder, ignore_errors=True)

    def _write(self, system: str, first: Workload, works: list[Workload]) -> Written:
        folder = self._settings.scratch / "data" / first.dataset / system
        folder.mkdir(parents=True)
        log.info("%s: write for %s", first.dataset, system)
        done = self._call("write", system, first, Written(folder))
        if done.get("missing"):
            return Written(folder, missing=str(done["missing"]))
        remote = any(set(self._settings.plan[work.name]) - {"local"} for work in works)
        if self._sources is None or not remote or system == "files":
            return Written(folder)
        return Written(folder, self._sources.upload(folder, f"{first.dataset}/{system}"))

    def _source(self, work: Workload, source: str, written: Mapping[str, Written]) -> None:
        """All systems and ceilings on a workload from a source, in rounds."""
        tried = {system: Tries(each.missing) for system, each in written.items()}
        if source in OURS_ONLY:
            tried = {system: tries for system, tries in tried.items() if system == "ropeway"}
        limits: dict[str, list[float]] = {}
        for turn in range(self._settings.plan[work.name][source]):
            for system, tries in tried.items():
                if source == "local":
                    _warm(written[system].folder)
                for workers in self._workers(work, source, system, tries, turn):
                    self._try(tries, system, work, written[system], source, workers)
            if "ropeway" in written:
                self._limits(limits, work, written["ropeway"], source)
        self._results.measured.extend(_measured(work, source, system, tries) for system, tries in tried.items())
        for name, rates in limits.items():
            rate = statistics.median(rates)
            self._results.ceilings.append(
                Ceiling(workload=work.name, source=source, name=name, samples_per_second=rate)
            )

    def _workers(self, work: Workload, source: str, system: str, tries: Tries, turn: int) -> Sequence[int]:
        """The numbers of workers to measure in this round."""
        if turn:
            return [tries.best] if tries.runs else []
        if tries.missing:
            return []
        before = self._results.find(system, work.name, BEST_OF.get(source, ""))
        if before is not None:
            return [before.workers]
        return [workers for workers in ENTRIES[system].workers if workers in self._settings.workers]

    def _try(self, tries: Tries, system: str, work: Workload, at: Written, source: str, workers: int) -> None:
        done = self._call("stream", system, work, at, source, workers)
        if not done.get("missing"):
            try:
                done["quality"] = shuffle_quality(work, np.load(self._labels))
            except Unable as wrong:
                done["missing"] = str(wrong)
        if done.get("missing"):
            log.info("%s from %s: %s, %d workers: n/a, %s", work.name, source, system, workers, done["missing"])
            tries.missing = tries.missing or str(done["missing"])
            return
        log.info(
            "%s from %s: %s, %d workers: %.0f samples/s, shuffle %.2f, first batch %.2f s",
            *(work.name, source, system, workers),
            *(done["samples_per_second"], done["quality"], done["first_batch_seconds"]),
        )
        tries.runs.setdefault(workers, []).append(done)

    def _limits(self, limits: dict[str, list[float]], work: Workload, at: Written, source: str) -> None:
        if not ceilings.of(work, remote=source != "local"):
            return
        done = self._call("ceilings", "ropeway", work, at, source)
        if done.get("missing"):
            log.warning("%s from %s: no ceilings: %s", work.name, source, done["missing"])
            return
        for name, rate in done["rates"].items():
            limits.setdefault(name, []).append(rate)

    def _resume(self, system: str, work: Workload, at: Written) -> Resume:
        """With the number of workers that was best locally."""
        log.info("%s: resume %s", work.name, system)
        best = self._results.find(system, work.name)
        missing = at.missing or ("" if best else "it does not stream this")
        seconds, exact = list[float](), True
        if best is not None:
            done = self._call("advance", system, work, at, workers=best.workers)
            missing = str(done.get("missing", ""))
            for _ in range(0 if missing else _REPEATS):
                done = self._call("resume", system, work, at, workers=best.workers)
                missing = missing or str(done.get("missing", ""))
                if not missing:
                    seconds.append(done["seconds"])
                    exact = exact and done["exact"]
        if missing or not seconds:
            return Resume(system=system, workload=work.name, missing=missing)
        return Resume(system=system, workload=work.name, seconds=statistics.median(seconds), exact=exact)

    def _inside(self, work: Workload, at: Written) -> None:
        """What only Ropeway is asked."""
        if work.keep is not None:
            for done in self._asked("reads", work, at, times=1):
                counts = {name: int(done[name]) for name in Reads.__struct_fields__ if name != "workload"}
                self._results.reads.append(Reads(workload=work.name, **counts))
        if work.name in self._settings.waits:
            waits = self._asked("wait", work, at, times=_REPEATS)
            if waits:
                step, wait = _median(waits, "step_seconds"), _median(waits, "data_wait")
                self._results.waiting.append(Waiting(workload=work.name, step_seconds=step, data_wait=wait))

    def _asked(self, action: str, work: Workload, at: Written, *, times: int) -> list[dict[str, Any]]:
        """The answers that came."""
        done = [self._call(action, "ropeway", work, at) for _ in range(times)]
        for one in done:
            if one.get("missing"):
                log.warning("%s: no %s: %s", work.name, action, one["missing"])
        return [one for one in done if not one.get("missing")]

    def _call(
        self, action: str, system: str, work: Workload, at: Written, source: str = "local", workers: int = 0
    ) -> dict[str, Any]:
        """One measurement in a process of its own, with its peak memory; `missing` says why there is none."""
        if source != "local" and at.url is None:
            return {"missing": "reads paths only"}
        cache = self._settings.scratch / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir()
        command = [
            *(self._settings.pythons[ENTRIES[system].environment], "-m", "benchmarks.run_one", action),
            *("--system", system, "--workload", work.name, "--samples", str(work.samples)),
            *("--workers", str(workers), "--seconds", str(self._settings.seconds)),
            *("--folder", str(at.folder), "--cache", str(cache), "--labels", str(self._labels)),
        ]
        if source != "local":
            command += ["--url", str(at.url), "--once"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(cache)}
        if self._sources is not None:
            environment |= self._sources.environments[source]
        return processes.run(command, environment)

    @property
    def _labels(self) -> Path:
        return self._settings.scratch / "labels.npy"


def run(settings: Settings, save: Callable[[Results], None]) -> None:
    """Run the bench, and save what it finds."""
    wanted = {source for sources in settings.plan.values() for source in sources}
    with servers.serving(settings.scratch / "s3", wanted) as sources:
        Bench(settings, sources).run(save)


def _measured(work: Workload, source: str, system: str, tries: Tries) -> Measured:
    if not tries.runs:
        return Measured(workload=work.name, source=source, system=system, missing=tries.missing)
    runs = tries.runs[tries.best]
    rate = _median(runs, "samples_per_second")
    return Measured(
        workload=work.name,
        source=source,
        system=system,
        workers=tries.best,
        tried={str(workers): _median(some, "samples_per_second") for workers, some in tries.runs.items()},
        repeats=[run["samples_per_second"] for run in runs],
        samples_per_second=rate,
        bytes_per_second=rate * work.sample_bytes,
        loop_per_second=_median(runs, "loop_per_second"),
        shuffle_quality=_median(runs, "quality"),
        first_batch_seconds=_median(runs, "first_batch_seconds"),
        first_epoch_per_second=_median(runs, "first_epoch_per_second"),
        cpu_seconds=statistics.median(1000 * run["cpu_seconds"] / run["samples"] for run in runs),
        peak_bytes=int(_median(runs, "peak")),
        peak_anonymous_bytes=int(_median(runs, "peak_anonymous")),
    )


def _median(runs: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(statistics.median(run[name] for run in runs))


def _warm(folder: Path) -> None:
    """Bring a folder's files into the page cache, where they should be anyway."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass
