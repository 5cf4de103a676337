"""What a check finds, and what a job needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["good", "unknown", "slow", "bad"]
"""From best to worst: `slow` works and could be better, `bad` does not work."""

_ORDER: tuple[Verdict, ...] = ("good", "unknown", "slow", "bad")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome.

    Attributes:
        name: of what was looked at.
        verdict: how it is.
        found: what was seen. Never a secret.
        advice: what to change; empty where nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a job on this host asks for.

    Attributes:
        view: id of the view that it streams; None: the largest dataset's train split.
        rate: samples per second that it takes, over all its ranks on this host; None: as many as come.
    """

    view: str | None = None
    rate: float | None = None


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst of the verdicts."""
    seen = {finding.verdict for finding in findings}
    for verdict in reversed(_ORDER):
        if verdict in seen:
            return verdict
    return "good"
