"""One measurement after the other."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from ropeway.arriving import Arriving
from ropeway.bench import limits, reading
from ropeway.bench.decoding import decoding
from ropeway.bench.limits import Limit
from ropeway.bench.noting import Notes, noted
from ropeway.bench.outcome import Outcome, better, fastest
from ropeway.bench.runs import Run, both, run
from ropeway.bench.settings import Settings, far, near
from ropeway.errors import UsageError
from ropeway.parts import PartReader
from ropeway.view import View
from ropeway.wanted import Wanted


def bench(view: View, base: Settings, *, seconds: float, told: Callable[[str], object]) -> Outcome:
    """Measure what a view can be streamed with.

    Args:
        view: what is streamed.
        base: what is settled; with a disk cache, runs that use it come last.
        seconds: of each measurement, about.
        told: is called with what is measured next.

    Raises:
        UsageError: the view has nothing to be read.
        RopewayError: as the loader does.
    """
    parts = _wanted(view, base)
    without, notes = replace(base, cache=None), Notes()
    told("the first epoch")
    first = run(noted(view, notes), without, seconds, 0)
    remote = bool(notes.ranges)
    found = list(_limits(view, parts, first, notes, seconds, told))
    grid = far(without, notes.most) if remote else near(without)
    trying = _Trying(view, seconds, told)
    tried = trying.twice([trying.run(settings) for settings in grid])
    cached = () if base.cache is None else trying.cached(base)
    return Outcome(view=view, remote=remote, limits=found, first=first, runs=tried, cached=cached)


def _wanted(view: View, base: Settings) -> list[PartReader]:
    """The parts that are read."""
    wanted = Wanted(parts=base.parts)
    wanted.check([view])
    parts = wanted.of(view)
    if not parts:
        raise UsageError(f"view {view.id} has keys and labels only, no part: there is nothing to measure")
    if not len(reading.wanted_spans(Arriving(view).table, parts)[0]):
        names = ", ".join(part.part.name for part in parts)
        raise UsageError(f"no sample of view {view.id} has anything of {names}: there is nothing to measure")
    return parts


def _limits(
    view: View, parts: list[PartReader], first: Run, notes: Notes, seconds: float, told: Callable[[str], object]
) -> Iterator[Limit]:
    """Those that mean something for the view."""
    threads = os.cpu_count() or 1
    told("reading alone")
    if notes.ranges:
        yield reading.by_range(view, notes, first.sample, seconds)
    else:
        yield reading.mapped(view, parts, threads, seconds)
    if first.delivered:
        told("copying alone")
        yield limits.copying(first.delivered, threads, seconds)
    told("decoding alone")
    decoded = decoding(view, [part for part in parts if not part.moved], threads, seconds)
    if decoded is not None:
        yield decoded


class _Trying:
    """Runs loaders, each in an epoch of its own."""

    def __init__(self, view: View, seconds: float, told: Callable[[str], object]) -> None:
        self._view, self._seconds, self._told = view, seconds, told
        self._epoch = 0

    def run(self, settings: Settings, most: int | None = None) -> Run:
        """Some settings in the next epoch, for so many samples at most."""
        self._epoch += 1
        self._told(settings.name)
        return run(self._view, settings, self._seconds, self._epoch, most)

    def twice(self, tried: list[Run]) -> list[Run]:
        """The same runs; where one seems better than the first, both are tried again, since machines vary."""
        best = fastest(tried)
        if not better(best, tried[0]):
            return tried
        again = {id(one): both(one, self.run(one.settings)) for one in (best, tried[0])}
        return [again.get(id(one), one) for one in tried]

    def cached(self, base: Settings) -> tuple[Run, Run]:
        """With a disk cache: an epoch that fills it, and the same samples once more."""
        filling = self.run(base, self._view.samples)
        self._epoch -= 1
        return filling, self.run(base, filling.stats.samples)
