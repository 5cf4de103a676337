"""`ropeway view`: views with names."""

from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.chosen import chosen_view
from ropeway.cli.output import size, stdout

if TYPE_CHECKING:
    from ropeway.view import View

Name = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits, '.', '_' and '-'.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Name views, list them, see how they were made.")
    group.command()(save)
    group.command()(ls)
    group.command()(show)
    app.add_typer(group, name="view", rich_help_panel=options.EXPLORE)


def save(  # noqa: PLR0913, PLR0917 - one argument per option
    name: Name,
    store: options.Store,
    of: Annotated[str | None, typer.Option(metavar="VIEW", help="A view's id or name, in place of a query.")] = None,
    task: options.Task = None,
    split: options.Split = None,
    where: options.Where = None,
    dataset: options.Datasets = None,
    domain: options.Domain = None,
    modality: options.Modality = None,
    part: options.Parts = None,
    distinct: options.Distinct = False,
    few_shot: Annotated[int | None, typer.Option(metavar="K", help="Only K samples of each class of --task.")] = None,
    balanced: Annotated[bool, typer.Option("--balanced", help="Repeat the rarer classes of --task.")] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only so many samples.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn at random.")] = 0,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A word to list it by (may be repeated).")
    ] = None,
    json: options.Json = False,
) -> None:
    """Save a view under a name: `ropeway stream NAME` and `catalog.view(NAME)` give the same samples for ever.

    Steps are taken in the order few-shot, balanced, limit.
    """
    from ropeway.catalog import connect

    query = {
        "task": task, "split": split, "where": where, "datasets": dataset, "domain": domain, "modality": modality,
        "parts": part or (), "distinct": distinct,
    }  # fmt: skip
    catalog = connect(store)
    view = chosen_view(catalog, of, query, beside=["task"])
    view = _made(view, task, few_shot, balanced, limit, seed)
    saved = catalog.save(view, name, tags=tag or ())
    if json:
        output.print_json(saved)
        return
    stdout.print(f"saved [bold]{saved.name}[/]: view {saved.view}, {saved.samples:,} samples, {size(saved.bytes)}")


def _made(view: "View", task: str | None, few_shot: int | None, balanced: bool, limit: int | None, seed: int) -> "View":
    from ropeway.errors import UsageError

    if few_shot is not None or balanced:
        if task is None:
            raise UsageError("--few-shot and --balanced go by classes: name their --task")
        view = view if few_shot is None else view.few_shot(task, per_class=few_shot, seed=seed)
        view = view.balanced(task, seed=seed) if balanced else view
    return view if limit is None else view.limit(limit, seed=seed)


def ls(
    store: options.Store,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Only those with this tag (may be repeated).")
    ] = None,
    json: options.Json = False,
) -> None:
    """List the views that have a name."""
    from ropeway.catalog import connect

    found = [saved for saved in connect(store).saved() if set(tag or ()) <= set(saved.tags)]
    if json:
        output.print_json(found)
        return
    table = output.table("name", "view", "samples>", "size>", "datasets", "tags", "saved")
    for saved in found:
        table.add_row(saved.name, saved.view, f"{saved.samples:,}", size(saved.bytes), ", ".join(saved.datasets),
                      ", ".join(saved.tags), f"{saved.created:%Y-%m-%d}")  # fmt: skip
    stdout.print(table if found else "no named views: `ropeway view save` makes one")


def show(view: options.View, store: options.Store, json: options.Json = False) -> None:
    """Show a view: what it holds, and how it is made, in full."""
    from ropeway.catalog import connect

    found = connect(store).view(view)
    if json:
        output.print_json(found.info)
        return
    print_view(found)
    if found.definition is None:
        stdout.print("made of datasets that you may not read")
        return
    stdout.print("\nmade by")
    stdout.print(output.as_json(found.definition), markup=False)


def print_view(view: "View", task: str | None = None) -> None:
    """A view for people: what it holds, and its classes; of one task only if that is given."""
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
