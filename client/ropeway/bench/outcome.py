"""What came of it: how near to which limit, and which settings are best."""

from collections.abc import Sequence
from dataclasses import dataclass

from ropeway.bench.limits import Limit
from ropeway.bench.runs import Run
from ropeway.bench.settings import Settings
from ropeway.view import View

NOISE = 0.05
"""Share by which equal settings differ from one moment to the next."""

NEAR = 0.7
"""Share of a limit from which on it is what bounds."""


def fastest(runs: Sequence[Run]) -> Run:
    """The run that gave most samples per second."""
    return max(runs, key=lambda run: run.samples_per_second)


def better(run: Run, other: Run) -> bool:
    """Whether a run was faster than another by more than noise."""
    return run.samples_per_second >= (1 + NOISE) * other.samples_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that was measured.

    Attributes:
        view: that was streamed.
        remote: whether its shards are read by range.
        limits: that mean something for it.
        first: with the defaults, before anything else was read.
        runs: with the defaults again, then with other settings.
        cached: with a disk cache, while it was filled and when it was; or none.
    """

    view: View
    remote: bool
    limits: Sequence[Limit]
    first: Run
    runs: Sequence[Run]
    cached: Sequence[Run] = ()

    def tightest(self, run: Run) -> Limit | None:
        """The lowest limit of those that hold for a run: what a disk cache has is not read from the store."""
        cached = run.stats.cache is not None and run.stats.cache.hits > 0
        held = [limit for limit in self.limits if not cached or limit.name != "reading"]
        return min(held, key=lambda limit: limit.samples_per_second, default=None)

    def share(self, run: Run) -> float | None:
        """How much of its tightest limit a run reached, 1 for all of it."""
        limit = self.tightest(run)
        return None if limit is None else run.samples_per_second / limit.samples_per_second

    @property
    def fine(self) -> bool:
        """Whether no setting is better than the defaults by more than noise."""
        return not better(self._fastest, self.runs[0])

    @property
    def best(self) -> Settings:
        """The settings to take."""
        return self._taken.settings

    @property
    def python(self) -> str:
        """A line that makes the best loader of `view`."""
        return self.best.python(self.view)

    @property
    def bound_by(self) -> str:
        """A limit's name where the best run is near it, else the stage of the loader that takes longest."""
        limit, share = self.tightest(self._taken), self.share(self._taken)
        if limit is not None and share is not None and share >= NEAR:
            return limit.name
        stages = self._taken.stats.stages
        return max(stages, key=lambda stage: stages[stage])

    @property
    def verdict(self) -> str:
        """What bounds the view here and whether settings help, in a sentence."""
        limit, share = self.tightest(self._taken), self.share(self._taken)
        if limit is not None and share is not None and share >= NEAR:
            return f"bound by {limit.name}: {share:.2f} of what {limit.name} alone reaches; {self._advice}"
        told = f"bound by {self._taken.stats.verdict}"
        if limit is not None:
            told += f"; {share:.2f} of what {limit.name} alone, the tightest limit, reaches"
        return f"{told}; {self._advice}"

    @property
    def named(self) -> list[tuple[str, Run]]:
        """All runs, in order, and what to call them."""
        every = (self.first, *self.runs, *self.cached)
        begun = (self.first, *self.cached[:1])
        return [(f"{run.settings.name}{', first epoch' if run in begun else ''}", run) for run in every]

    @property
    def _fastest(self) -> Run:
        return fastest([*self.runs, *self.cached[1:]])

    @property
    def _taken(self) -> Run:
        return self.runs[0] if self.fine else self._fastest

    @property
    def _advice(self) -> str:
        if self.fine:
            return f"the defaults are fine: no setting is better by {NOISE:.0%}"
        times = self._fastest.samples_per_second / self.runs[0].samples_per_second
        when = "" if self._fastest.settings.cache is None else " from the second epoch on"
        return f"{self._fastest.settings.name} gives {times:.2f} × the defaults{when}"
