"""`ropeway withdraw`: subjects vanish from every later view of a dataset."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.audited import Database, audited
from ropeway.cli.output import size, stdout

if TYPE_CHECKING:
    from ropeway.lifecycle import Withdrawal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.STEWARD)(withdraw)


def withdraw(
    dataset: options.Dataset,
    store: options.OwnStore,
    subject: Annotated[
        list[str] | None,
        typer.Argument(metavar="SUBJECT", help="Pseudonyms, as the index's column `subject` has them."),
    ] = None,
    subjects: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file with them, one a line; - is standard input.")
    ] = None,
    original: Annotated[
        bool, typer.Option("--original", help="They are ids of the raw data, as the recipe's `subject.id` makes them.")
    ] = False,
    pseudonym_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --original: the key that the dataset was packed with.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be withdrawn.")] = False,
    database: Database = None,
    json: options.Json = False,
) -> None:
    """Withdraw subjects: their samples are in no later view, count, mount or export, at once.

    A version without them becomes the current one. Views of versions before are refused, also by their names; a job
    that streams one already is not stopped. The shards stay as they are until `ropeway compact`. Packing the same
    people again does not bring them back.
    """
    from ropeway.errors import UsageError
    from ropeway.lifecycle import Named
    from ropeway.lifecycle import withdraw as begin
    from ropeway.pseudonym_key import read_key
    from ropeway.stores import open_store

    if pseudonym_key is not None and not original:
        raise UsageError("--pseudonym-key is for ids of the raw data: add --original")
    names = [*(subject or ()), *(_listed(subjects) if subjects else ())]
    named = Named(names, original=original, key=read_key(pseudonym_key) if pseudonym_key else b"")
    with audited(database) as telling:
        done = begin(open_store(store), dataset, named, dry_run=dry_run, announce=telling("subjects withdrawn"))
    if json:
        output.print_json({**asdict(done), "dry_run": dry_run})
    else:
        _tell(done, dry_run)


def _listed(source: str) -> Sequence[str]:
    """The lines of a file, or of standard input."""
    from ropeway.errors import UsageError

    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"cannot read the list of subjects {source}: {reason}") from error
    return [line for one in text.splitlines() if (line := one.strip())]


def _tell(done: "Withdrawal", dry_run: bool) -> None:
    if not done.subjects:
        stdout.print(f"nothing to do: all {done.already:,} were withdrawn from {done.dataset} before")
        return
    splits = ", ".join(f"{count:,} {split}" for split, count in done.samples.items())
    what = f"{done.subjects:,} subjects from [bold]{done.dataset}[/]: {sum(done.samples.values()):,} samples ({splits})"
    if dry_run:
        stdout.print(f"would withdraw {what}, and make version {done.version}")
    else:
        stdout.print(f"withdrew {what}; version {done.version} is the current one")
    if done.already:
        stdout.print(f"  {done.already:,} were withdrawn before")
    stdout.print(f"  {done.shards:,} shards ({size(done.bytes)}) hold them until `ropeway compact --erase`")
