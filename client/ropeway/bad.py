"""What happens when a sample's bytes are damaged or do not decode. The order never changes for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ropeway.errors import FormatError, UsageError
from ropeway.hashing import fold, keyed

_STAND_INS = 3  # the purpose of this module's keys, beside those of the order
_TRIES = 16


@dataclass(frozen=True, slots=True)
class Substitute:
    """Put another sample of the view in a bad one's place: the same one on every rank and in every run.

    Attributes:
        limit: so many different bad samples are tolerated by each process; one more raises.
    """

    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise UsageError(f"substitute(limit=…) tolerates at least 1 bad sample, not {self.limit}")


OnBad: TypeAlias = Literal["raise"] | Substitute


def substitute(*, limit: int) -> Substitute:
    """The policy `on_bad=substitute(limit=…)`; see `Substitute`."""
    return Substitute(limit)


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample that was replaced, and why."""

    dataset: str
    shard: str
    key: str
    offset: int
    reason: str


def stand_ins(row: int, samples: int) -> Iterator[int]:
    """The rows that stand in for a bad one, in the order they are tried: a function of the row and the view's size."""
    for attempt in range(_TRIES):
        hashed = keyed(np.array([row]), fold(_STAND_INS, attempt))
        yield int(hashed[0] % np.uint64(samples))


class BadSamples:
    """The bad samples that one loader met in this process."""

    def __init__(self, policy: OnBad) -> None:
        if policy != "raise" and not isinstance(policy, Substitute):
            raise UsageError(f"on_bad is 'raise' or ropeway.substitute(limit=…), not {policy!r}")
        self._limit = policy.limit if isinstance(policy, Substitute) else 0
        self._found: dict[tuple[str, str], BadSample] = {}

    @property
    def tolerates(self) -> bool:
        """Whether bad samples are replaced."""
        return self._limit > 0

    def meet(self, error: FormatError) -> None:
        """Note a bad sample, or raise its error when no more are tolerated."""
        found = BadSample(
            error.dataset or "", error.shard or "", error.key or "", error.offset or 0, str(error.args[0])
        )
        self._found.setdefault((found.dataset, found.key), found)
        if len(self._found) > self._limit:
            if self._limit:
                error.add_note(f"one more than the {self._limit} bad samples that substitute(limit=…) tolerates")
            raise error

    def report(self) -> tuple[BadSample, ...]:
        """All that were replaced so far."""
        return tuple(self._found.values())
