"""Files beside EDF recordings that say what happens in them: events, and a word per epoch."""

import csv
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

_LARGEST = 64 << 20
"""Bytes of a side file. They hold a line per event or epoch."""


class Event(NamedTuple):
    """Something marked on one channel, between two times (s)."""

    channel: str
    start: float
    stop: float
    code: str


def events(path: Path) -> list[Event]:
    """The events of a .rec file of the TUH EEG Events corpus: lines of `channel,start,stop,code`.

    Source: the corpus's AAREADME.txt (https://isip.piconepress.com/projects/nedc/html/tuh_eeg/).

    Raises:
        ValueError: it is no such file.
    """
    found = []
    for number, cells in enumerate(csv.reader(_lines(path)), 1):
        try:
            channel, start, stop, code = (cell.strip() for cell in cells)
            event = Event(channel, float(start), float(stop), code)
        except ValueError:
            raise ValueError(f"line {number} of {path.name} is not channel,start,stop,code") from None
        if not 0 <= event.start <= event.stop < float("inf"):
            raise ValueError(f"line {number} of {path.name}: an event from {start} to {stop} s")
        found.append(event)
    return found


def epochs(path: Path) -> list[str]:
    """The word of each epoch: the lines of a text file, or the sleep stages of a Compumedics Profusion .xml.

    Raises:
        ValueError: it is no such file.
    """
    if path.suffix.lower() != ".xml":
        return [line.strip() for line in _lines(path) if line.strip()]
    text = "\n".join(_lines(path))
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path.name} declares entities, which are not read")
    try:
        stages = ElementTree.fromstring(text).find("SleepStages")
    except ElementTree.ParseError as error:
        raise ValueError(f"{path.name} is not XML: {error}") from error
    if stages is None:
        raise ValueError(f"{path.name} has no SleepStages")
    return [(stage.text or "").strip() for stage in stages]


def _lines(path: Path) -> list[str]:
    if not path.exists():
        raise ValueError(f"there is no {path.name} beside the recording")
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path.name} is larger than {_LARGEST} bytes")
    return path.read_text("utf-8-sig").splitlines()
