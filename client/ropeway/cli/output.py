"""How the command line writes: tables and numbers for people on stdout, JSON for programs, progress on stderr."""

import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 500)  # a pipe is as wide as its text
stderr = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    sys.stdout.write(as_json(value) + "\n")


def as_json(value: Any) -> str:
    """A value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def size(count: float) -> str:
    """Bytes for people: 1.5 MB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table; a column whose name ends in `>` is right-aligned."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left")
    return made


def byte_progress() -> Progress:
    """A progress bar over bytes, on stderr; silent where stderr is no terminal."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        console=stderr, transient=True, disable=not stderr.is_terminal,
    )  # fmt: skip
