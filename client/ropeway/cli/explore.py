"""`ropeway ls`, `show` and `query`: what there is."""

from typing import Annotated

import typer

from ropeway.cli import output
from ropeway.cli.output import EXPLORE, Datasets, Json, Parts, Split, Store, Task, Where, size, stdout


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=EXPLORE)(ls)
    app.command(rich_help_panel=EXPLORE)(show)
    app.command(rich_help_panel=EXPLORE)(query)


def ls(store: Store, json: Json = False) -> None:
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


def show(dataset: Annotated[str, typer.Argument(help="A dataset's id.")], store: Store, json: Json = False) -> None:
    """Show one dataset: what its samples hold, its tasks, splits and where it came from."""
    from ropeway.catalog import connect

    manifest = connect(store).manifest(dataset)
    if json:
        output.print_json(manifest)
        return
    card, made = manifest.card, manifest.provenance
    stdout.print(f"[bold]{card.title}[/]  ({manifest.dataset}, version {manifest.version})")
    for name, value in (
        ("domain", f"{card.domain} ({', '.join(card.modalities)})"),
        ("licence", f"{card.licence}; access {card.access}"),
        ("unit", f"one sample is one {card.unit}"),
        ("source", f"{made.source_files:,} files, {size(made.source_bytes)}, recipe {made.recipe}"),
        ("", card.description),
    ):  # fmt: skip
        if value:
            stdout.print(f"  {name:8} {value}")
    parts = output.table("part", "kind", "format", "dtype", "shape", "units", "samples>")
    for part in manifest.parts:
        dimensions = "varies" if part.shape is None else " × ".join("?" if d is None else str(d) for d in part.shape)
        parts.add_row(part.name, part.kind, part.format or "several", part.dtype or "", dimensions, _unit(part),
                      f"{part.samples:,}")  # fmt: skip
    splits = output.table("split", "samples>", "subjects>", "size>", "shards>")
    for split in manifest.splits:
        splits.add_row(split.name, f"{split.samples:,}", f"{split.subjects:,}", size(split.bytes), f"{split.shards:,}")
    tasks = output.table("task", "type", "classes")
    for task in manifest.tasks:
        tasks.add_row(task.id, task.type, ", ".join(task.classes) or task.units)
    for table in (parts, splits, tasks):
        stdout.print()
        stdout.print(table)
    for reason, count in manifest.provenance.skipped.items():
        stdout.print(f"left out: {count:,} samples, {reason}")


def _unit(part: object) -> str:
    rate = getattr(part, "sampling_rate", None)
    return f"{getattr(part, 'units', '')} {f'at {rate:g} Hz' if rate else ''}".strip()


def query(
    store: Store,
    task: Task = None,
    split: Split = None,
    where: Where = None,
    dataset: Datasets = None,
    part: Parts = None,
    by: Annotated[list[str] | None, typer.Option(help="Count by this column instead (may be repeated).")] = None,
    json: Json = False,
) -> None:
    """Ask for samples: how many there are, of which classes, and the id of the view that holds them."""
    from ropeway.catalog import connect

    catalog = connect(store)
    if by:
        rows = catalog.stats(by, task=task, split=split, where=where, datasets=dataset)
        if json:
            output.print_json(rows)
            return
        counts = output.table(*by, "samples>", "size>", "subjects>")
        for row in rows:
            counts.add_row(*("" if row[name] is None else str(row[name]) for name in by), f"{row['samples']:,}",
                           size(float(row["bytes"] or 0)), f"{row['subjects']:,}")  # fmt: skip
        stdout.print(counts)
        return
    view = catalog.query(task=task, split=split, where=where, datasets=dataset, parts=part or ())
    if json:
        output.print_json(view.info)
        return
    stdout.print(f"view [bold]{view.id}[/]: {view.samples:,} samples, {size(view.bytes)}")
    for name, version in view.datasets.items():
        stdout.print(f"  from {name}@{version}")
    for name in [task] if task else view.info.label_counts:
        if name in view.info.label_counts:
            counts = output.table(name, "samples>")
            for label, count in view.label_counts(name).items():
                counts.add_row(label, f"{count:,}")
            stdout.print()
            stdout.print(counts)
