"""Counts for those who may not read the samples: without small cells, moved by chance and rounded.

A cell of fewer than 11 subjects or samples is never told, as the US Centers for Medicare & Medicaid Services do (CMS
cell size suppression policy: no cell from 1 to 10). Leaving out and rounding alone can be undone by subtracting
answers: whoever adds people to a filter one by one sees where a rounded count steps up, and then knows it exactly. So
each count is moved first, by the cell key method of the Australian Bureau of Statistics (Fraser and Wooton, "A proposed
method for confidentialising tabular output to protect against differencing", UNECE work session on statistical data
confidentiality, 2005). Every sample and every subject has a secret random number, and the sum of them over a cell says
how far its count is moved. The same people give the same answer however and how often they are asked for, in every
replica and version; others, be it by one, an independent one. Totals are moved on their own, as their parts are, and
need not be the sum of them.

What remains: that two answers differ tells that two sets do, and the average of a thousand overlapping answers comes
near the truth (Asghar and Kaafar, "Averaging attacks on bounded noise-based disclosure control algorithms", PoPETs
2020). The audit has every question: give `count` to people, not to the world.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from ropeway.catalog import Stats, StoreCatalog
from ropeway.counting import Draw, Drawn
from ropeway.described import DatasetInfo, describe
from ropeway.indexed import Indexed
from ropeway.manifest import Manifest
from ropeway.query import Query, Scalar

SMALL = 11
"""Fewest subjects, and samples, of a cell that is told."""

REACH = 5
"""How far a count is moved at most, up or down, each step as likely."""

STEP = 10
"""What counts are rounded to multiples of after that."""

_BYTES = 3
"""Of a random number: see `Drawn`."""

Row = dict[str, Scalar | None]


class Suppression:
    """Counts the samples of a catalog with a secret. Safe to use from threads."""

    def __init__(self, catalog: StoreCatalog, secret: bytes) -> None:
        self._catalog, self._secret = catalog, secret
        self._drawn: dict[str, tuple[str, Drawn]] = {}  # by dataset, of the version that was counted last

    def count(self, by: Sequence[str], asked: Query, manifests: Sequence[Manifest], guarded: Collection[str]) -> Stats:
        """What `StoreCatalog.count` says, with the cells of the `guarded` datasets perturbed and without small ones.

        Returns:
            Rows with most samples first. `bytes` is None where a guarded dataset is in the sum.
        """
        if not guarded:
            return self._catalog.count(by, asked, manifests)
        rows = self._catalog.count(list(dict.fromkeys([*by, "dataset"])), asked, manifests, self._draw(guarded))
        totals: dict[tuple[Scalar | None, ...], Row] = {}
        for row in rows:
            told = self._told(row) if row["dataset"] in guarded else row
            if told is not None:
                group = tuple(row[name] for name in by)
                totals[group] = _sum(totals[group], told) if group in totals else told
        found = [{name: row[name] for name in (*by, "samples", "bytes", "subjects")} for row in totals.values()]
        return sorted(found, key=lambda row: (-_number(row["samples"]), [str(row[name]) for name in by]))

    def described(self, manifests: Sequence[Manifest]) -> list[DatasetInfo]:
        """One line about each dataset, all of them guarded; what is too small is 0."""
        ids = tuple(manifest.dataset for manifest in manifests)
        if not ids:
            return []
        asked = Query(datasets=ids)
        totals = {row["dataset"]: row for row in self.count(["dataset"], asked, manifests, ids)}
        splits = self.count(["dataset", "split"], asked, manifests, ids)
        samples = {(row["dataset"], row["split"]): _number(row["samples"]) for row in splits}
        return [_line(describe(manifest), totals.get(manifest.dataset, {}), samples) for manifest in manifests]

    def _draw(self, guarded: Collection[str]) -> Draw:
        def drawn(indexed: Indexed) -> Drawn | None:
            dataset, version = indexed.manifest.dataset, indexed.manifest.version
            if dataset not in guarded:
                return None
            known, numbers = self._drawn.get(dataset, ("", None))
            if numbers is None or known != version:
                keys, order = indexed.rows.column("key").to_pylist(), indexed.by_subject
                samples = self._numbers("sample", dataset, keys)[order.rows(None)]
                numbers = Drawn(samples, self._numbers("subject", dataset, order.names.to_pylist()))
                self._drawn[dataset] = version, numbers
            return numbers

        return drawn

    def _numbers(self, what: str, dataset: str, names: Iterable[Scalar]) -> npt.NDArray[np.float64]:
        """A random number for each name, the same in every version of the dataset."""
        begun = blake2b(f"{dataset}\0".encode(), key=self._secret, person=what.encode(), digest_size=_BYTES)
        content = bytearray()
        for name in names:
            one = begun.copy()
            one.update(str(name).encode())
            content += one.digest()
        return np.frombuffer(content, np.uint8).reshape(-1, _BYTES) @ (256.0 ** np.arange(_BYTES))

    def _told(self, row: Row) -> Row | None:
        """A row as it may be told; None where it is too small, which depends on what it is moved by."""
        samples = _number(row["samples"]) + self._moved("sample", row)
        subjects = _number(row["subjects"])
        if subjects:
            subjects += self._moved("subject", row)
        people = subjects or samples  # a dataset without subjects: each sample may be a person
        if min(samples, people) < SMALL + REACH:
            return None
        samples = _round(samples)
        return {**row, "samples": samples, "subjects": min(samples, _round(subjects)), "bytes": None}

    def _moved(self, what: str, row: Row) -> int:
        """By how much the count of these samples or subjects is moved."""
        cell = f"{row['dataset']}\0{row[f'drawn_{what}s']}"
        number = blake2b(cell.encode(), key=self._secret, person=f"{what} cell".encode(), digest_size=8).digest()
        return int.from_bytes(number, "big") % (2 * REACH + 1) - REACH


def _line(info: DatasetInfo, total: Row, samples: dict[tuple[Scalar | None, Scalar | None], int]) -> DatasetInfo:
    return replace(
        info, samples=_number(total.get("samples")), subjects=_number(total.get("subjects")), bytes=0, shards=0,
        splits={name: samples.get((info.id, name), 0) for name in info.splits},
    )  # fmt: skip


def _sum(one: Row, other: Row) -> Row:
    size = None if one["bytes"] is None or other["bytes"] is None else _number(one["bytes"]) + _number(other["bytes"])
    return {
        **one,
        "samples": _number(one["samples"]) + _number(other["samples"]),
        "subjects": _number(one["subjects"]) + _number(other["subjects"]),
        "bytes": size,
    }


def _number(value: Scalar | None) -> int:
    return int(value or 0)


def _round(count: int) -> int:
    return (count + STEP // 2) // STEP * STEP
