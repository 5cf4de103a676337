"""Tables beside a video that say something of its frames: one row per frame, or one every so many frames."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

from ropeway_shardgen.adapters.adapter import Options


class FrameTable(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a table lies and which of its columns are words. Frames are counted from 0."""

    file: str
    """Path from the video's folder; `{stem}` stands for the video's name without its ending."""
    column: str = ""
    """The column whose words are taken."""
    flags: tuple[str, ...] = ()
    """Or columns of 0 and 1: a column's name is its word."""
    frame: str = "Frame"
    delimiter: str = "\t"

    def path(self, video: Path) -> Path:
        """The table of a video."""
        return Path(os.path.normpath(Path(video.parent, self.file.replace("{stem}", video.stem))))


def words(video: Path, table: FrameTable, frames: int) -> Callable[[range], list[str]]:
    """A function that gives the words of a span of frames, each once, in the order of the span.

    Raises:
        FileNotFoundError: the table is missing.
        ValueError: it lacks a column, or says something else than frames and words; the message names the row.
    """
    path = table.path(video)
    said: dict[int, tuple[str, ...]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter=table.delimiter)
        wanted = {table.frame, *table.flags, *([table.column] if table.column else [])}
        lacking = sorted(wanted - set(rows.fieldnames or ()))
        if lacking:
            raise ValueError(f"{path.name} has no column {lacking[0]!r}")
        for number, row in enumerate(rows, 1):
            frame = (row[table.frame] or "").strip()
            if not frame.isdecimal():
                raise ValueError(f"{path.name}, row {number}: {frame!r} is not a frame")
            said[int(frame)] = _row(table, row, f"{path.name}, row {number}")
    if not said or min(said) >= frames:
        raise ValueError(f"{path.name} says nothing of the {frames} frames of {video.name}")
    marked = sorted(said)

    def of(span: range) -> list[str]:
        return list(dict.fromkeys(word for frame in marked if frame in span for word in said[frame]))

    return of


def _row(table: FrameTable, row: dict[str, str | None], place: str) -> tuple[str, ...]:
    if table.column:
        word = (row[table.column] or "").strip()
        if not word:
            raise ValueError(f"{place}: no {table.column}")
        return (word,)
    values = {name: (row[name] or "").strip() for name in table.flags}
    odd = next((name for name, value in values.items() if value not in ("0", "1")), None)
    if odd is not None:
        raise ValueError(f"{place}: {odd} is {values[odd]!r}, neither 0 nor 1")
    return tuple(name for name, value in values.items() if value == "1")
