"""What is wrong with single raw samples: collected while planning, told at once or counted."""

import re
from collections import Counter
from typing import Literal, TypeAlias

from ropeway.errors import SourceError

OnError: TypeAlias = Literal["raise", "skip"]
"""What a bad sample does: end the pack with nothing published, or be left out and counted."""

_TOLD = 3


class SampleError(SourceError):
    """One sample cannot be packed. `reason` is one of a few fixed words and never holds patient data."""

    def __init__(self, problem: str, *, reason: str = "bad value", dataset: str | None = None,
                 key: str | None = None) -> None:  # fmt: skip
        super().__init__(problem, dataset=dataset, key=key)
        self.reason = reason


class Problems:
    """The bad samples of a plan.

    Attributes:
        found: all of them, where they are fatal (`raise`).
        skipped: how many were left out, by reason (`skip`).
    """

    def __init__(self, dataset: str, on_error: OnError) -> None:
        self.dataset, self.on_error = dataset, on_error
        self.found: list[str] = []
        self.skipped: Counter[str] = Counter()

    def add(self, error: SampleError) -> None:
        """Take note of a bad sample."""
        if self.on_error == "skip":
            self.skipped[error.reason] += 1
        else:
            self.found.append(str(error))

    def add_fatal(self, problem: str) -> None:
        """Take note of what no policy may skip: something wrong between samples."""
        self.found.append(problem)

    def raise_found(self) -> None:
        """Raise SourceError with the first few problems and their number, if there are any."""
        if self.found:
            raise SourceError(summary(self.found), dataset=self.dataset)


def summary(found: list[str]) -> str:
    """One line: the first few problems, and how many there are."""
    told = "; ".join(found[:_TOLD])
    rest = len(found) - _TOLD
    return f"{len(found)} problems, such as: {told} (and {rest} more)" if rest > 0 else told


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its name."""
    words = re.sub(r"\s+", " ", str(error).strip().partition("\n")[0])
    return words or type(error).__name__
