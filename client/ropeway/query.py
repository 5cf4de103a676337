"""What a person asks for: which samples, of which datasets."""

from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool

_SHOWN = 200
"""Characters of a person's text that a message repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to select. Every given condition must hold; `task` also leaves out samples not labelled for it."""

    task: str | None = None
    split: str | None = None
    where: str | None = None
    datasets: tuple[str, ...] | None = None
    domain: str | None = None
    modality: str | None = None
    parts: tuple[str, ...] = ()
    """Parts that a sample must have."""
    distinct: bool = False
    """Of samples with equal content only the first, by dataset and then key."""


def short(text: str) -> str:
    """Text of the user's on one line of a message."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
