"""How mixed batches are: the entropy of their labels, where samples lie sorted by label, over a uniform shuffle's."""

from collections.abc import Iterator

import numpy as np

from benchmarks.places import Unable
from benchmarks.workloads import Ints, Workload
from ropeway.shuffle import Stretch
from ropeway.simulate import mixing


class Delivered:
    """Labels in the order in which a system gave them, as an order of rows that have those labels."""

    def __init__(self, given: Ints, population: Ints) -> None:
        self._rows = np.searchsorted(population, given)

    @property
    def samples(self) -> int:
        return len(self._rows)

    def stretches(self, start: int, rank: int, world_size: int) -> Iterator[Stretch]:
        places = np.arange(len(self._rows))[start:]
        yield Stretch(places, self._rows[start:], np.zeros(len(places), np.int64))


def shuffle_quality(work: Workload, given: Ints) -> float:
    """1 is as good as a uniform shuffle.

    Args:
        work: the workload.
        given: labels of the samples in the order they came, (n,); those after a first epoch don't count.

    Raises:
        Unable: there are labels that no sample has.
    """
    population = np.sort(work.labels(work.label, work.delivered()))
    if not np.isin(given, population).all():
        raise Unable("it gave labels that no sample has")
    given = given[: len(population)]
    return mixing(Delivered(given, population), population, work.classes, min(work.batch, len(given)), seed=1).ratio
