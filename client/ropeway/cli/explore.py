"""`ropeway ls`, `show` and `query`: what there is."""

from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.output import size, stdout
from ropeway.cli.view import print_view

if TYPE_CHECKING:
    from rich.table import Table

    from ropeway.catalog import Stats
    from ropeway.manifest import Manifest, Part


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=options.EXPLORE)(ls)
    app.command(rich_help_panel=options.EXPLORE)(show)
    app.command(rich_help_panel=options.EXPLORE)(query)


def ls(store: options.Store, json: options.Json = False) -> None:
    """List the datasets of a store."""
    from ropeway.catalog import connect

    datasets = connect(store).datasets()
    if json:
        output.print_json(datasets)
        return
    table = output.table("dataset", "version", "domain", "parts", "tasks", "samples>", "size>", "shards>", "licence")
    for dataset in datasets:
        table.add_row(
            dataset.id, dataset.version, dataset.domain, ", ".join(dataset.parts), ", ".join(dataset.tasks),
            f"{dataset.samples:,}", size(dataset.bytes), f"{dataset.shards:,}", dataset.licence,
        )  # fmt: skip
    stdout.print(table if datasets else f"no datasets in {store}: pack one with `ropeway pack`")


def show(dataset: options.Dataset, store: options.Store, json: options.Json = False) -> None:
    """Show one dataset: what its samples hold, its tasks, splits and where it came from."""
    from ropeway.catalog import connect

    manifest = connect(store).manifest(dataset)
    if json:
        output.print_json(manifest)
        return
    stdout.print(f"[bold]{manifest.card.title}[/]  ({manifest.dataset}, version {manifest.version})")
    for name, value in _facts(manifest):
        if value:
            stdout.print(f"  {name:8} {value}")
    for table in (_parts(manifest), _splits(manifest), *([_tasks(manifest)] if manifest.tasks else [])):
        stdout.print()
        stdout.print(table)
    for reason, count in manifest.provenance.skipped.items():
        stdout.print(f"left out: {count:,} samples, {reason}")


def _facts(manifest: "Manifest") -> list[tuple[str, str]]:
    from ropeway.manifest import NO_SHA256

    card, made = manifest.card, manifest.provenance
    unread = sum(shard.samples for shard in manifest.shards if shard.sha256 == NO_SHA256)
    return [
        ("domain", f"{card.domain} ({', '.join(card.modalities)})"),
        ("licence", f"{card.licence}; access {card.access}{'' if card.shareable else '; not to be passed on'}"),
        ("unit", f"one sample is one {card.unit}"),
        ("source", f"{made.source_files:,} files, {size(made.source_bytes)}, recipe {made.recipe}"),
        ("unread", f"{unread:,} samples have no checksum: adopted by headers alone" if unread else ""),
        ("without", _withdrawn(manifest)),
        ("leaks", made.leaks and f"subjects are in several splits, as released: {made.leaks}"),
        ("", card.description),
    ]


def _withdrawn(manifest: "Manifest") -> str:
    if not manifest.withdrawn_subjects:
        return ""
    held = sum(shard.withdrawn for shard in manifest.shards)
    where = f"; {held:,} samples lie in shards until `ropeway compact`" if held else ""
    return f"{manifest.withdrawn_subjects:,} subjects who were withdrawn{where}"


def _parts(manifest: "Manifest") -> "Table":
    table = output.table("part", "kind", "format", "dtype", "shape", "units", "windows", "samples>")
    for part in manifest.parts:
        dimensions = "varies" if part.shape is None else " × ".join("?" if d is None else str(d) for d in part.shape)
        table.add_row(part.name, part.kind, part.format or "several", part.dtype or "", dimensions, _unit(part),
                      ", ".join(part.windows), f"{part.samples:,}")  # fmt: skip
    return table


def _splits(manifest: "Manifest") -> "Table":
    studies = any(split.studies for split in manifest.splits)
    table = output.table("split", "samples>", *(["studies>"] if studies else []), "subjects>", "size>", "shards>")
    for split in manifest.splits:
        counts = (split.samples, *([split.studies] if studies else []), split.subjects)
        table.add_row(split.name, *(f"{count:,}" for count in counts), size(split.bytes), f"{split.shards:,}")
    return table


def _tasks(manifest: "Manifest") -> "Table":
    table = output.table("task", "type", "classes")
    for task in manifest.tasks:
        target = f"the part {task.target}" if task.target else ""
        table.add_row(task.id, task.type, ", ".join(task.classes) or task.units or target)
    return table


def _unit(part: "Part") -> str:
    return f"{part.units} {f'at {part.sampling_rate:g} Hz' if part.sampling_rate else ''}".strip()


def query(  # noqa: PLR0913, PLR0917 - one argument per option
    store: options.Store,
    task: options.Task = None,
    split: options.Split = None,
    where: options.Where = None,
    dataset: options.Datasets = None,
    domain: options.Domain = None,
    modality: options.Modality = None,
    part: options.Parts = None,
    distinct: options.Distinct = False,
    by: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Count by this column instead (may be repeated).")
    ] = None,
    json: options.Json = False,
) -> None:
    """Ask for samples: how many there are, of which classes, and the id of the view that holds them."""
    from ropeway.catalog import connect
    from ropeway.errors import UsageError

    catalog = connect(store)
    if by:
        if distinct or domain or modality or part:
            raise UsageError(
                "--distinct, --domain, --modality and --part choose samples for a view, and --by only counts: leave "
                "them out, or say --where \"domain = 'ECG' and has('ecg')\""
            )
        rows = catalog.stats(by, task=task, split=split, where=where, datasets=dataset)
        if json:
            output.print_json(rows)
        else:
            stdout.print(_counts(by, rows))
        return
    view = catalog.query(task=task, split=split, where=where, datasets=dataset, domain=domain, modality=modality,
                         parts=part or (), distinct=distinct)  # fmt: skip
    if json:
        output.print_json(view.info)
    else:
        print_view(view, task)


def _counts(by: list[str], rows: "Stats") -> "Table":
    counts = output.table(*by, "samples>", "size>", "subjects>")
    for row in rows:
        counts.add_row(*("" if row[name] is None else str(row[name]) for name in by), f"{row['samples']:,}",
                       size(float(row["bytes"] or 0)), f"{row['subjects']:,}")  # fmt: skip
    return counts
