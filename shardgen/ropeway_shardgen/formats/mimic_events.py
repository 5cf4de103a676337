"""The measurements of MIMIC-IV's stays that are known at the prediction time, sorted by stay, on disk.

Laboratory and bedside events are hundreds of millions of rows in an order of no use here. They are scanned once, by
DuckDB in bounded memory, and those that count are written by stay and time: then a stay is one slice of a mapped file.

An event counts if it happened in the stay's window (`charttime`) and was on record before the prediction time
(`storetime`, where it is given). Laboratory events without an admission belong to the stay that they fall into: the
documentation of `labevents` says that some are missed (https://mimic.mit.edu/docs/iv/modules/hosp/labevents/).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ropeway_shardgen.formats.mimic_stays import Stays, create
from ropeway_shardgen.formats.mimic_stays import tables as stay_tables
from ropeway_shardgen.formats.mimic_tables import MEMORY, database, table
from ropeway_shardgen.formats.workplace import shared
from ropeway_shardgen.reading import unhurried

EVENT = np.dtype([("seconds", "<i4"), ("item", "<u4"), ("value", "<f8"), ("unit", "<u2")])
"""Seconds since time zero; `itemid`; the number; position in the log's units."""

_BATCH = 1 << 16
_COLUMNS = {
    "subject_id": "BIGINT", "hadm_id": "BIGINT", "charttime": "TIMESTAMP", "storetime": "TIMESTAMP",
    "itemid": "INTEGER", "valuenum": "DOUBLE", "valueuom": "VARCHAR",
}  # fmt: skip

Events = npt.NDArray[Any]


def tables(folder: Path) -> dict[str, Path]:
    """The tables that events are made from."""
    hosp, icu = ("d_labitems", "labevents"), ("d_items", "chartevents")
    return {name: folder / f"hosp/{name}.csv.gz" for name in hosp} | {
        name: folder / f"icu/{name}.csv.gz" for name in icu
    }


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events of all stays, by stay and time, then item, then time of record, then value."""

    events: Events
    offsets: npt.NDArray[np.int64]
    units: tuple[str, ...]
    labels: dict[int, str]
    """`itemid` → its label in d_labitems (with the fluid) or d_items."""

    def of(self, row: int) -> Events:
        """The events of a stay."""
        return self.events[self.offsets[row] : self.offsets[row + 1]]


def open_log(folder: Path, stays: Stays) -> EventLog:
    """The log of a folder's stays; made at the first call, in a private folder that goes when packing ends.

    Raises:
        ValueError: a table cannot be read or lacks a column.
    """
    inputs = [*stay_tables(folder, stays).values(), *tables(folder).values()]
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in inputs]
    told = msgspec.json.encode([stays, states, EVENT.descr])
    name = f"mimic-iv-{hashlib.sha256(told).hexdigest()[:16]}"
    with unhurried():  # it may take an hour
        place = shared(name, lambda empty: write_log(empty, folder, stays))
    return read_log(place)


def read_log(place: Path) -> EventLog:
    """A log that `write_log` wrote."""
    size = (place / "events").stat().st_size
    words = json.loads((place / "words.json").read_text("utf-8"))
    return EventLog(
        events=np.memmap(place / "events", EVENT, "r") if size else np.empty(0, EVENT),
        offsets=np.load(place / "offsets.npy", allow_pickle=False),
        units=tuple(words["units"]),
        labels={int(item): label for item, label in words["labels"].items()},
    )


def write_log(place: Path, folder: Path, stays: Stays, memory: str = MEMORY) -> None:
    """Write a log into an empty folder, in bounded memory.

    Raises:
        ValueError: as `open_log`; or a feature's item is in no dictionary.
    """
    with database(place / "spill", memory) as connection:
        create(connection, folder, stays)
        paths = tables(folder)
        labels = dict(connection.execute(_LABELS.format(**_dictionaries(paths))).fetchall())
        _check_items(stays, labels)
        count = connection.execute("SELECT count(*) FROM stays").fetchall()[0][0]
        query = _EVENTS.format(labs=table(paths["labevents"], _COLUMNS), chart=table(paths["chartevents"], _COLUMNS))
        batches = connection.sql(query).to_arrow_reader(_BATCH)
        lengths = np.zeros(count + 1, np.int64)
        units: dict[str, int] = {}
        with (place / "events").open("wb") as file:
            for rows, events in _encoded(batches, units):
                file.write(events.tobytes())
                lengths += np.bincount(rows + 1, minlength=count + 1)
    np.save(place / "offsets.npy", lengths.cumsum())
    (place / "words.json").write_text(json.dumps({"units": list(units), "labels": labels}), "utf-8")


_EVENTS = """
WITH events AS (SELECT * FROM {labs} UNION ALL SELECT * FROM {chart})
SELECT row, CAST(epoch(charttime - zero) AS INTEGER) AS seconds, itemid AS item, valuenum AS value,
    coalesce(trim(valueuom), '') AS unit
FROM events JOIN stays USING (subject_id)
WHERE isfinite(valuenum) AND (events.hadm_id IS NULL OR events.hadm_id = stays.hadm_id)
    AND charttime >= since AND charttime < until AND (storetime IS NULL OR storetime < until)
ORDER BY row, seconds, item, storetime NULLS FIRST, value, unit
"""

_LABELS = """
SELECT itemid, coalesce(label, 'item ' || itemid) || coalesce(' (' || fluid || ')', '') FROM {labs}
UNION ALL SELECT itemid, coalesce(label, 'item ' || itemid) FROM {items}
"""


def _check_items(stays: Stays, labels: Mapping[int, str]) -> None:
    for name, feature in stays.features.items():
        for item in feature.items:
            if item not in labels:
                raise ValueError(f"feature {name!r}: item {item} is neither in d_labitems nor in d_items")


def _dictionaries(paths: dict[str, Path]) -> dict[str, str]:
    columns = {"itemid": "INTEGER", "label": "VARCHAR"}
    return {
        "labs": table(paths["d_labitems"], columns | {"fluid": "VARCHAR"}),
        "items": table(paths["d_items"], columns),
    }


def _encoded(batches: pa.RecordBatchReader, units: dict[str, int]) -> Iterator[tuple[npt.NDArray[np.int64], Events]]:
    """Rows and events of each batch. `units` grows as units are met, so its order is that of the sorted events."""
    for batch in batches:
        events = np.empty(batch.num_rows, EVENT)
        for name in ("seconds", "item", "value"):
            events[name] = batch.column(name).to_numpy()
        words = batch.column("unit").dictionary_encode()
        codes = [units.setdefault(word, len(units)) for word in words.dictionary.to_pylist()]
        events["unit"] = np.array(codes, np.uint16)[words.indices.to_numpy()]
        yield batch.column("row").to_numpy(), events
