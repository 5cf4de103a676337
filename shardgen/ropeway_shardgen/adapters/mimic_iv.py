"""MIMIC-IV (hosp and icu tables): one sample per stay, with what is known at a prediction time.

The source says once which stays there are and what counts as known (`stays`), and hands it to the parts with each
sample, so that no part can look beyond the prediction time of another. Its file is `hosp/admissions.csv.gz`; all
other tables are found from there. ECG records and chest X-rays of the stay are named by fields (`ecg`, `cxr`), and
read by the adapters of their formats.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import mimic_events, mimic_stays
from ropeway_shardgen.formats.mimic_forms import (
    STATIC,
    events_payload,
    grid_payload,
    observed_payload,
    parsed,
    text_payload,
)
from ropeway_shardgen.formats.mimic_stays import Stays, list_stays


class MimicOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For the source: which stays. For a part: what it looks like."""

    stays: Stays | None = None
    form: Literal["grid", "observed", "events", "text"] = "grid"


class Logs:
    """The event logs of a folder, by definition."""

    def __init__(self, admissions: Path) -> None:
        self._folder = _folder(admissions)
        self._logs: dict[str, mimic_events.EventLog] = {}

    def get(self, definition: str) -> mimic_events.EventLog:
        """The log of the stays that a definition describes."""
        if definition not in self._logs:
            self._logs[definition] = mimic_events.open_log(self._folder, parsed(definition))
        return self._logs[definition]

    def close(self) -> None:
        """Let go of all."""
        self._logs.clear()


_OPENED = Opened(Logs)


def rows(path: Path, options: MimicOptions) -> Iterator[Row]:
    """The stays, with the fields of `list_stays` and `definition` (`stays` as JSON).

    Raises:
        ValueError: the options do not say which stays; or a table cannot be read.
    """
    if options.stays is None:
        raise ValueError("the source's options must say which stays: [source.options.stays]")
    definition = msgspec.json.encode(options.stays).decode()
    for fields in list_stays(_folder(path), options.stays):
        yield Row({**fields, "definition": definition})


def read(path: Path, fields: Fields, options: MimicOptions) -> Payload:
    """A stay in the form that the options name; see `mimic_forms`.

    Raises:
        ValueError: a table cannot be read.
    """
    definition = str(lookup(fields, "definition"))
    log = _OPENED.get(path).get(definition)
    events = log.of(int(lookup(fields, "row") or 0))
    match options.form:
        case "grid":
            return grid_payload(events, definition)
        case "observed":
            return observed_payload(events, definition)
        case "events":
            return events_payload(events)
        case "text":
            return text_payload(events, log, fields)


def companions(path: Path, options: MimicOptions) -> list[Path]:
    """All further tables, for the source."""
    if options.stays is None:
        return []
    folder = _folder(path)
    found = mimic_stays.tables(folder, options.stays) | mimic_events.tables(folder)
    return [table for table in found.values() if table != path]


def locators(options: MimicOptions) -> tuple[str, ...]:
    """A stay is found by its row; the text tells some fields too."""
    return ("row", "definition", *(STATIC if options.form == "text" else ()))


def _folder(admissions: Path) -> Path:
    return admissions.parent.parent


ADAPTER = Adapter(options=MimicOptions, read=read, rows=rows, locators=locators, companions=companions)
