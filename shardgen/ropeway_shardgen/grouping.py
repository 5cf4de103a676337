"""Several rows of a table that belong to one sample, made into one row of fields."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ropeway.index import Value
from ropeway_shardgen.fields import Fields, Merged, text
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.rules import Collect


def as_one(rows: Sequence[Fields], collect: Mapping[str, Collect]) -> Fields:
    """The fields of rows that are one sample.

    Columns named in `collect` are made into one value; others keep theirs if all rows agree, and may not be used if
    they do not.

    Raises:
        SampleError: a collected column is missing, or its values are not of the kind its rule needs.
    """
    if len(rows) == 1 and not collect:
        return rows[0]
    values: dict[str, Value] = {}
    differing = set[str]()
    for name in dict.fromkeys(name for row in rows for name in row):
        own = [row.get(name) for row in rows]
        if name in collect:
            values[name] = _collected(name, collect[name], own)
        elif all(value == own[0] for value in own):
            values[name] = own[0]
        else:
            differing.add(name)
    if lacking := [name for name in collect if name not in values]:
        raise SampleError(f"there is no column {lacking[0]!r} to collect", reason="missing field")
    return Merged(values, frozenset(differing), len(rows))


def _collected(name: str, how: Collect, values: list[Value]) -> Value:
    given: list[Value] = [value for value in values if value is not None]
    if not given or how == "count":
        return len(given) if how == "count" else None
    if how in _NUMERIC:
        return _number(name, _NUMERIC[how], given)
    match how:
        case "first":
            return given[0]
        case "same":
            return _same(name, given)
        case "mode":
            return _mode(name, given)
        case _:
            return ";".join(dict.fromkeys(text(value) or "" for value in given))


_NUMERIC: dict[str, Callable[[list[float]], float]] = {
    "max": max,
    "min": min,
    "sum": sum,
    "mean": statistics.fmean,
}


def _same(name: str, values: list[Value]) -> Value:
    if len(set(values)) > 1:
        raise SampleError(f"column {name!r} differs between the rows of one sample", reason="rows that differ")
    return values[0]


def _mode(name: str, values: list[Value]) -> Value:
    ranked = Counter(values).most_common(2)
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        raise SampleError(f"column {name!r}: {ranked[0][0]!r} and {ranked[1][0]!r} are there equally often")
    return ranked[0][0]


def _number(name: str, function: Callable[[list[float]], float], values: list[Value]) -> Value:
    try:
        numbers = [float(text(value) or "") for value in values]
    except ValueError:
        raise SampleError(f"column {name!r} has a value that is not a number") from None
    found = function(numbers)
    return int(found) if found.is_integer() else found
