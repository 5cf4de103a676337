"""How the command line writes: tables and numbers for people on stdout, JSON for programs, progress on stderr."""

import sys
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 500)  # a pipe is as wide as its text
stderr = Console(stderr=True, highlight=False)

Store = Annotated[
    str,
    typer.Option(
        "--store", "-s", envvar="ROPEWAY_STORE", metavar="URL", show_default=False,
        help="Where the datasets are: a path, s3://bucket/prefix, or an index service http://host:8080.",
    ),
]  # fmt: skip
OwnStore = Annotated[
    str,
    typer.Option(
        "--store", "-s", envvar="ROPEWAY_STORE", metavar="URL", show_default=False,
        help="The store itself, not a service: a path, s3://bucket/prefix, gs:// or az://.",
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Task = Annotated[str | None, typer.Option(help="Only samples labelled for this task.")]
Split = Annotated[str | None, typer.Option(help="Only samples of this split: train, valid or test.")]
Where = Annotated[str | None, typer.Option(help="A filter, such as \"age >= 60 and label in ('MI', 'STTC')\".")]
Datasets = Annotated[list[str] | None, typer.Option("--dataset", help="Only these datasets (may be repeated).")]
Domain = Annotated[str | None, typer.Option(help="Only datasets of this domain, such as ECG.")]
Modality = Annotated[str | None, typer.Option(help="Only datasets with this modality, such as image.")]
Distinct = Annotated[bool, typer.Option("--distinct", help="Of samples with equal content only the first.")]
Parts = Annotated[list[str] | None, typer.Option("--part", help="Only samples with this part (may be repeated).")]

EXPLORE, STREAM, STEWARD, OPERATE = (
    "Analysts: see what there is",
    "Researchers: train",
    "Stewards: pack and check",
    "Operators: serve and watch",
)
"""Headings of the help, by user."""


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
