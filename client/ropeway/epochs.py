"""Where a loader is: its epoch and position, saved and loaded."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ropeway.ahead import AHEAD
from ropeway.asked import Asked
from ropeway.bad import BadSample, BadSamples
from ropeway.job import plan_job
from ropeway.report import report
from ropeway.stream import Streams


@dataclass(eq=False, repr=False, kw_only=True)
class Epochs(Asked):
    """What loaders of one process have in common: each iteration is an epoch, or the rest of the one a state is in."""

    threads: int | None = None

    def __post_init__(self) -> None:
        threads = os.cpu_count() or 1 if self.threads is None else self.threads
        self._bad = BadSamples(self.on_bad)
        self._streams = Streams(self._wanted(threads), self._bad)
        self._job = plan_job(self, self._streams)
        self._ahead = min(self.memory // 4, AHEAD)
        self._seed, self._epoch, self._position = self.seed, 0, 0
        self._fresh = True

    def __len__(self) -> int:
        """Steps of the epoch under way, from its beginning."""
        return self._job.steps(self._seed, self._epoch)

    def state_dict(self) -> dict[str, int | str]:
        """Where the job is, as JSON under 1 KB; the same on every rank. Only batches given to the caller count."""
        return self._job.state(self._seed, self._epoch, self._position)

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on where the saved job was, in a world of any size; the seed comes along.

        Raises:
            StateError: the state belongs to another view or another order.
        """
        restored = self._job.restore(state)
        self._seed, self._epoch, self._position = restored.seed, restored.epoch, restored.position
        self._fresh = True

    def report(self) -> dict[str, Any]:
        """Exactly what the job was given so far, as JSON, to keep beside its model; see `ropeway.report`."""
        return report(self, self._job, self.state_dict(), self.bad)

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch with the next iteration."""
        self._epoch, self._position, self._fresh = epoch, 0, True

    @property
    def epoch(self) -> int:
        """The epoch under way, or the next one to begin."""
        return self._epoch

    @property
    def bad(self) -> tuple[BadSample, ...]:
        """The samples that were replaced on this rank so far, and why."""
        return self._bad.report()

    def _begun(self) -> tuple[int, int]:
        """The epoch and position of an iteration that begins now."""
        if not self._fresh:  # the last iteration was left in the middle: its epoch is over
            self._epoch, self._position = self._epoch + 1, 0
        self._fresh = False
        return self._epoch, self._position
