"""Mixing views by weight: which source stands where is arithmetic, as the order is; it adds nothing to the state."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.errors import UsageError
from ropeway.hashing import fold, keyed
from ropeway.samples import Ints
from ropeway.view import View

Batches: TypeAlias = Literal["per-source", "mixed"]

_MIX = 4  # the purpose of this module's keys, beside those of the order
_ROUNDS = (1 << 12, 1 << 20)
"""Least and most turns of a round: shares are exact to one turn in each round."""


@dataclass(frozen=True)
class Mix:
    """Views and how often each has its turn. Made by `mix`.

    Attributes:
        sources: views by name; a name is the view's dataset ids, joined by `+`, or what `mix` was told.
        weights: shares by name; they add up to 1.
        batches: "per-source": every global batch is of one source, the same on all ranks; a turn is a step.
            "mixed": every global batch has samples of all sources, in a sub-batch each; a turn is a sample.
    """

    sources: Mapping[str, View]
    weights: Mapping[str, float]
    batches: Batches

    @cached_property
    def id(self) -> str:
        """16 hex digits over the views, their turns and the way they are batched."""
        parts = [
            (name, view.id, int(turns)) for (name, view), turns in zip(self.sources.items(), self.turns, strict=True)
        ]
        return hashlib.sha256(repr(("mix", 1, parts, self.batches)).encode()).hexdigest()[:16]

    @property
    def samples(self) -> int:
        """Samples of an epoch of the mix: as many as its views have together, whatever their shares."""
        return sum(view.samples for view in self.sources.values())

    @cached_property
    def turns(self) -> Ints:
        """Turns of each source in a round: (sources,), adding up to the round's length."""
        shares = np.array(list(self.weights.values()))
        length = _ROUNDS[0]
        while shares.min() * length < 8 and length < _ROUNDS[1]:
            length *= 2
        turns: Ints = np.floor(shares * length).astype(np.int64)
        rest = np.argsort(turns - shares * length, kind="stable")[: length - int(turns.sum())]
        turns[rest] += 1
        if not turns.all():
            name = list(self.weights)[int(np.argmin(turns))]
            raise UsageError(f"the weight of {name!r} is under a millionth of all: leave it out or give it more")
        return turns

    def taken(self, seed: int, turn: int) -> Ints:
        """Turns that each source has had before a turn: (sources,). Closed over whole rounds, one round worked out."""
        whole, rest = divmod(turn, int(self.turns.sum()))
        pattern = round_of(tuple(self.turns.tolist()), seed, whole)[:rest]
        return whole * self.turns + np.bincount(pattern, minlength=len(self.turns))

    def source_at(self, seed: int, turn: int) -> int:
        """Number of the source whose turn it is."""
        whole, rest = divmod(turn, int(self.turns.sum()))
        return int(round_of(tuple(self.turns.tolist()), seed, whole)[rest])


@lru_cache(maxsize=8)
def round_of(turns: tuple[int, ...], seed: int, number: int) -> npt.NDArray[np.int64]:
    """One round: source numbers, each as often as it has turns, spread evenly with a jitter keyed by (seed, round).

    A source's j-th of m turns falls at a keyed place within the j-th m-th of the round; ties go to the lower source.
    """
    places, sources = [], []
    for source, count in enumerate(turns):
        jitter = keyed(np.arange(count), fold(seed, number, source, _MIX)) >> np.uint64(11)
        places.append((np.arange(count) + jitter.astype(np.float64) * 2.0**-53) / count)
        sources.append(np.full(count, source))
    return np.concatenate(sources)[np.argsort(np.concatenate(places), kind="stable")]


def mix(weights: Mapping[View, float], *, batches: Batches = "per-source", names: Sequence[str] | None = None) -> Mix:
    """A mix of views, to be given to `StreamingLoader` in a view's place.

    Args:
        weights: view → weight, in samples; only their ratios matter.
        batches: "per-source" (every step, all ranks draw from the same source) or "mixed" (a sub-batch of each).
        names: of the sources in batches; by default their dataset ids.

    Raises:
        UsageError: no view, a weight that is not positive, or two sources of one name.
    """
    if not weights:
        raise UsageError("a mix needs at least one view")
    if batches not in ("per-source", "mixed"):
        raise UsageError(f"batches is 'per-source' or 'mixed', not {batches!r}")
    for view, weight in weights.items():
        if not (np.isfinite(weight) and weight > 0):
            raise UsageError(f"a weight is a positive number, not {weight}: {view!r}")
    named = list(names) if names is not None else ["+".join(view.datasets) for view in weights]
    if len(named) != len(weights) or len(set(named)) != len(named):
        raise UsageError(f"{len(weights)} views need as many different names; give names=[…] (there are: {named})")
    total = float(sum(weights.values()))
    shares = {name: float(weight) / total for name, weight in zip(named, weights.values(), strict=True)}
    return Mix(dict(zip(named, weights, strict=True)), shares, batches)


def temperature(views: Sequence[View], alpha: float) -> dict[View, float]:
    """Weights from sizes: samplesᵅ. 1 draws in proportion to size, 0 from all alike; 0.3 to 0.7 is usual.

    Source: Conneau et al. 2020 (XLM-R), section 3.1, where 1/alpha is called the temperature.
    """
    return {view: float(view.samples) ** alpha for view in views}
