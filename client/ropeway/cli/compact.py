"""`ropeway compact`: what was withdrawn leaves the shards, and the store."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.audited import Database, audited
from ropeway.cli.output import size, stderr, stdout

if TYPE_CHECKING:
    from ropeway.lifecycle import Compacted, Erasure
    from ropeway.lifecycle.versions import Announce
    from ropeway.stores import Store


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.STEWARD)(compact)


def compact(
    dataset: options.Dataset,
    store: options.OwnStore,
    erase: Annotated[
        bool, typer.Option("--erase", help="Also remove the versions and shards that still hold withdrawn samples.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --erase: do not ask first.")] = False,
    database: Database = None,
    json: options.Json = False,
) -> None:
    """Rewrite the shards that hold withdrawn samples without them; the other shards stay.

    A version of these becomes the current one. With --erase the versions before a withdrawal are removed for good: jobs
    that stream them fail. Beyond its reach are caches of nodes, copies, and what a bucket with versioning keeps. A run
    that was stopped is ended by the same command.
    """
    from ropeway.errors import UsageError
    from ropeway.stores import open_store

    if yes and not erase:
        raise UsageError("--yes answers what --erase asks: give both")
    if erase and not yes and (json or not stderr.is_terminal):
        raise UsageError("--erase removes versions for good, and there is nobody to ask here: add --yes")
    there = open_store(store)
    with audited(database) as telling:
        done = _compacted(there, dataset, telling("compacted"))
        if not json:
            _tell(done, erase)
        gone = _erased(there, dataset, yes, telling("versions erased")) if erase else None
    if json:
        output.print_json({**asdict(done), "erased": None if gone is None else _figures(gone)})
    elif gone is not None:
        _tell_erased(gone)


def _compacted(store: "Store", dataset: str, announce: "Announce") -> "Compacted":
    from ropeway.lifecycle import compact as begin

    with output.byte_progress() as progress:
        bar = progress.add_task(dataset, total=None)
        return begin(store, dataset, listed=lambda total: progress.update(bar, total=total, completed=0),
                     advance=partial(progress.advance, bar), announce=announce)  # fmt: skip


def _erased(store: "Store", dataset: str, yes: bool, announce: "Announce") -> "Erasure | None":
    """What was removed; None where nothing was to be, or nobody wanted it."""
    from ropeway.lifecycle import erase as begin
    from ropeway.lifecycle import planned

    plan = planned(store, dataset)
    if plan.objects and not yes:
        typer.confirm(f"Remove {len(plan.objects):,} objects ({size(plan.bytes)}) of versions before the withdrawal "
                      f"from {store.url}/{dataset} for good?", abort=True, err=True)  # fmt: skip
    if plan.objects:
        with output.byte_progress() as progress:
            bar = progress.add_task("erasing", total=plan.bytes)
            begin(store, dataset, plan, advance=partial(progress.advance, bar), announce=announce)
    return plan


def _figures(gone: "Erasure") -> dict[str, object]:
    return {"versions": gone.versions, "objects": len(gone.objects), "bytes": gone.bytes, "unfinished": gone.unfinished}


def _tell(done: "Compacted", erase: bool) -> None:
    if not done.shards:
        stdout.print(f"[bold]{done.dataset}[/]@{done.version}: no shard of it holds a withdrawn sample")
        return
    stdout.print(f"[bold]{done.dataset}[/]: {done.shards:,} shards written anew without {done.samples:,} samples, "
                 f"{size(done.before)} → {size(done.after)}; version {done.version} is the current one")  # fmt: skip
    if not erase:
        stdout.print("  the versions before it still hold them: --erase removes those")


def _tell_erased(gone: "Erasure") -> None:
    if gone.objects:
        stdout.print(f"erased {len(gone.objects):,} objects ({size(gone.bytes)}) of {len(gone.versions):,} versions")
    else:
        stdout.print("nothing to erase: no version holds a withdrawn subject")
    for version in gone.unfinished:
        stdout.print(f"  version {version} was begun and never published, and was left alone; it may hold anybody: "
                     "finish it, or remove its folder")  # fmt: skip
