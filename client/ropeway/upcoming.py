"""Looks through a rank's steps ahead of their use, so that a window's samples are known when it begins."""

from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from ropeway.bursts import Group
from ropeway.samples import Ints

SCANNED = 1 << 15
"""Samples that are sorted by window together."""

Needed: TypeAlias = tuple[Ints, Ints]
"""Rows, and how early each comes up: both int64 (m,)."""


class Upcoming:
    """Groups of steps one by one, each with all samples of the windows that begin in it.

    Args:
        groups: of steps, in order.
        look: samples that are looked ahead.
    """

    def __init__(self, groups: Iterable[Group], look: int) -> None:
        self._groups, self._look = iter(groups), look
        self._scanned: deque[tuple[Group, int]] = deque()
        self._seen = self._passed = 0
        self._windows: dict[int, list[Needed]] = {}
        self._begun: deque[tuple[int, int]] = deque()

    def following(self) -> tuple[Group, list[Needed]] | None:
        """The next group and the samples of its windows; None after the last one."""
        while self._seen - self._passed < self._look and self._scan():
            pass
        if not self._scanned:
            return None
        group, self._passed = self._scanned.popleft()
        needed = list[Needed]()
        while self._begun and self._begun[0][0] < self._passed:
            needed += self._windows.pop(self._begun.popleft()[1])
        return group, needed

    def _scan(self) -> bool:
        """Look some groups further, and note their rows by window, with how early each comes up."""
        rows, windows, first = list[Ints](), list[Ints](), self._seen
        while self._seen - first < SCANNED and (group := next(self._groups, None)) is not None:
            rows.append(group[1])
            windows += [step.windows for step in group[0]]
            self._seen += len(group[1])
            self._scanned.append((group, self._seen))
        if not rows:
            return False
        together = np.concatenate(windows)
        order = np.argsort(together, kind="stable")
        names, firsts = np.unique(together[order], return_index=True)
        mine, turns = np.split(np.concatenate(rows)[order], firsts)[1:], np.split(first + order, firsts)[1:]
        begun = []
        for window, some, when in zip(names.tolist(), mine, turns, strict=True):
            if window not in self._windows:
                begun.append((int(when[0]), window))
            self._windows.setdefault(window, []).append((some, when))
        self._begun.extend(sorted(begun))
        return True
