"""Counts for those who may not read the samples: without small cells, and rounded. Pure.

A cell of fewer than 11 subjects or samples is left out, as the US Centers for Medicare & Medicaid Services do (CMS cell
size suppression policy: no cell from 1 to 10). What remains is rounded down to tens, so that most questions that differ
by one person have the same answer; a bytes count would tell them apart and is not given. It is no proof against
somebody who asks many overlapping questions on purpose: give `count` to people, not to the world.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from ropeway.catalog import DatasetInfo, Stats
from ropeway.query import Scalar

SMALL = 11
"""Fewest subjects, and samples, of a cell that is told."""

STEP = 10
"""What counts are rounded down to multiples of."""

Row = dict[str, Scalar | None]


def guarded(rows: Stats, by: Sequence[str], datasets: Collection[str]) -> Stats:
    """Counts by columns, of counts by these columns and `dataset`; the named datasets' cells are guarded.

    Returns:
        Rows with most samples first. `bytes` is None where a guarded dataset is in the sum.
    """
    totals: dict[tuple[Scalar | None, ...], Row] = {}
    for row in rows:
        told = _guard(row) if row["dataset"] in datasets else row
        if told is not None:
            group = tuple(row[name] for name in by)
            totals[group] = _sum(totals[group], told) if group in totals else told
    found = [{name: row[name] for name in (*by, "samples", "bytes", "subjects")} for row in totals.values()]
    return sorted(found, key=lambda row: (-_number(row["samples"]), [str(row[name]) for name in by]))


def rounded(info: DatasetInfo) -> DatasetInfo:
    """One line about a dataset, with guarded counts; small ones are 0."""
    return replace(
        info,
        samples=_round(info.samples),
        subjects=_round(info.subjects),
        bytes=0,
        shards=0,
        splits={name: _round(samples) for name, samples in info.splits.items()},
    )


def _guard(row: Row) -> Row | None:
    samples, subjects = _number(row["samples"]), _number(row["subjects"])
    people = subjects or samples  # a dataset without subjects: each sample may be a person
    if min(samples, people) < SMALL:
        return None
    return {**row, "samples": _round(samples), "subjects": _round(subjects), "bytes": None}


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
    return 0 if count < SMALL else count - count % STEP
