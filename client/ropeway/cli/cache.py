"""`ropeway cache info` and `clear`: the disk cache of a node."""

import time
from pathlib import Path
from typing import Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.output import size, stdout

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that DiskCache was given.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    cache = typer.Typer(help="Look at a node's disk cache, or empty it.", no_args_is_help=True)
    cache.command()(info)
    cache.command()(clear)
    app.add_typer(cache, name="cache", rich_help_panel=options.OPERATE)


def info(folder: Directory, json: options.Json = False) -> None:
    """Show what a disk cache holds, and how much space it takes."""
    from ropeway.cache import maintenance

    held = maintenance.info(folder)
    if json:
        output.print_json(held)
        return
    limit = "" if held.limit is None else f" of {size(held.limit)}"
    encrypted = "encrypted" if held.is_encrypted else "not encrypted"
    stdout.print(f"{held.entries:,} entries, {size(held.bytes)}{limit}, {encrypted}")
    if held.oldest is not None and held.newest is not None:
        stdout.print(f"last used between {_moment(held.oldest)} and {_moment(held.newest)}")
    if held.unfinished:
        stdout.print(f"{size(held.unfinished)} set aside for writers that are at work, or were killed")
    if held.damaged:
        stdout.print(f"[bold red]{held.damaged:,} damaged[/]: deleted by the first who comes across them")
    if held.datasets:
        table = output.table("first brought by", "size>")
        for name, count in held.datasets.items():
            table.add_row(name, size(count))
        stdout.print()
        stdout.print(table)


def clear(
    folder: Directory,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Only what was not used for so many days.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Delete what a disk cache holds: its own entries and nothing else, and none that is being read."""
    from ropeway.cache import maintenance

    before = None if older_than is None else time.time() - older_than * 86_400
    cleared = maintenance.clear(folder, before=before)
    if json:
        output.print_json(cleared)
        return
    stdout.print(f"freed {size(cleared.bytes)}: deleted {cleared.entries:,} entries")
    if cleared.in_use:
        stdout.print(f"left {cleared.in_use:,} that are in use")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
