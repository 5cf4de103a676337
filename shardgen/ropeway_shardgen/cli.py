"""The commands `ropeway pack` and `ropeway recipes`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ropeway_shardgen.recipe import Recipe

PANEL = "Stewards: pack and check"


class OnErrorChoice(StrEnum):
    """What a sample that cannot be packed does."""

    RAISE = "raise"
    SKIP = "skip"


def register(app: typer.Typer) -> None:
    """Add the packing commands to the `ropeway` program."""
    app.command("pack", rich_help_panel=PANEL)(pack_command)
    app.command("recipes", rich_help_panel=PANEL)(recipes_command)


def pack_command(  # noqa: PLR0913, PLR0917  one parameter per option
    recipe: Annotated[str, typer.Argument(help="A recipe's id (see `ropeway recipes`), or your own .toml file.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The folder of raw data, as the recipe describes it.")],
    store: Annotated[
        str,
        typer.Option("--store", "-s", metavar="URL", envvar="ROPEWAY_STORE", help="Where to pack to: a path, s3://, …"),
    ] = "",
    shard_size: Annotated[str, typer.Option(metavar="SIZE", help="About how large a shard is, such as 256MiB.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Pack only the first so many samples.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Packing processes; 0: one per core.")] = 0,
    on_error: Annotated[OnErrorChoice, typer.Option(help="Stop at a bad sample, or leave it out and count it.")] = (
        OnErrorChoice.RAISE
    ),
    pseudonym_key: Annotated[
        Path | None, typer.Option(help="File with a secret that keys the pseudonyms of subjects.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what is missing or wrong in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Pack a raw dataset into WebDataset shards with an index and a manifest.

    A pack that was interrupted goes on where it stopped when the same command is run again. Nothing can be seen in the
    store before everything is packed.
    """
    from ropeway_shardgen import recipe as recipes
    from ropeway_shardgen.plan import Settings
    from ropeway_shardgen.sizes import parse_size

    settings = Settings(
        shard_size=parse_size(shard_size) if shard_size else None,
        limit=limit,
        on_error=on_error.value,
        secret=_secret(pseudonym_key),
    )
    found = recipes.load(recipe)
    if check:
        _check(found, root, settings, as_json)
    else:
        _pack(found, root, store, settings, workers or os.cpu_count() or 1, as_json)


def recipes_command(
    recipe: Annotated[str, typer.Argument(help="Tell more about this one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the built-in recipes, or tell where one gets its raw data and what the folder must look like."""
    import msgspec
    from rich.console import Console

    from ropeway_shardgen import recipe as recipes

    chosen = [recipes.load(recipe)] if recipe else recipes.available()
    if as_json:
        told: Any = [_described(one) for one in chosen]
        typer.echo(msgspec.json.format(msgspec.json.encode(told[0] if recipe else told), indent=2))
    elif recipe:
        _show_one(Console(), chosen[0])
    else:
        _show_all(Console(), chosen)


def _pack(recipe: "Recipe", root: Path, store: str, settings: Any, workers: int, as_json: bool) -> None:
    import time

    import msgspec
    from rich.console import Console

    from ropeway.errors import UsageError
    from ropeway.stores import open_store
    from ropeway_shardgen import report
    from ropeway_shardgen.engine import local_engine
    from ropeway_shardgen.pack import pack

    if not store:
        raise UsageError("where to? give --store (a path or a URL), or --check to only inspect the folder")
    target = open_store(store)
    began = time.monotonic()
    with report.Bar(Console(stderr=True, quiet=as_json)) as bar:
        packed = pack(recipe, root, target, settings, engine=local_engine(workers), watch=bar)
    seconds = time.monotonic() - began
    if as_json:
        typer.echo(msgspec.json.encode(report.as_json(packed, target.url, seconds)))
    else:
        report.show(Console(), packed, target.url, seconds)


def _check(recipe: "Recipe", root: Path, settings: Any, as_json: bool) -> None:
    import msgspec
    from rich.console import Console

    from ropeway.errors import SourceError
    from ropeway_shardgen.plan import inspect, make_plan
    from ropeway_shardgen.problems import summary

    problems = inspect(recipe, root, settings)
    if as_json:
        typer.echo(msgspec.json.encode({"dataset": recipe.id, "problems": problems}))
    if problems:
        for problem in [] if as_json else problems[:20]:
            Console().print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
        raise SourceError(summary(problems), dataset=recipe.id)
    if not as_json:
        plan = make_plan(recipe, root, settings)
        Console().print(
            f"[bold green]ready[/] {recipe.id}: {plan.samples:,} samples from {plan.source_files:,} raw files, "
            f"{len(plan.shards)} shards, would be version {plan.version}",
            highlight=False,
            soft_wrap=True,
        )


def _secret(path: Path | None) -> bytes:
    from ropeway.errors import UsageError

    if path is None:
        return b""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"cannot read the pseudonym key {path}: {error.strerror}") from error
    if len(secret) < 16:
        raise UsageError(f"the pseudonym key {path} is shorter than 16 bytes: write a random one into it")
    return secret


def _described(recipe: "Recipe") -> dict[str, Any]:
    card = recipe.card
    return {
        "id": recipe.id,
        "title": card.title,
        "domain": card.domain,
        "modalities": card.modalities,
        "unit": card.unit,
        "licence": card.licence,
        "access": card.access,
        "shareable": card.shareable,
        "tasks": [{"id": t.id, "type": t.type, "classes": t.classes} for t in recipe.manifest_tasks],
        "parts": [{"name": name, "kind": part.kind, "adapter": part.adapter} for name, part in recipe.parts.items()],
        "meta": list(recipe.meta),
        "raw": {"get": recipe.raw.get, "folder": recipe.raw.folder},
        "description": card.description,
        "citation": card.citation,
        "homepage": card.homepage,
    }


def _show_all(console: Any, recipes: "list[Recipe]") -> None:
    from rich.table import Column, Table

    name = Column("recipe", no_wrap=True, style="bold")
    table = Table(name, "title", "one sample", "tasks", "access", box=None, pad_edge=False)
    for recipe in recipes:
        card = recipe.card
        table.add_row(recipe.id, card.title, card.unit, ", ".join(recipe.tasks) or "-", card.access)
    console.print(table)
    console.print(
        "\n`ropeway recipes ID` tells where to get the raw data; your own recipe is a .toml file", highlight=False
    )


def _show_one(console: Any, recipe: "Recipe") -> None:
    card = recipe.card
    parts = ", ".join(f"{name} ({part.kind})" for name, part in recipe.parts.items())
    lines = [
        f"{recipe.id}: {card.title}",
        f"{card.domain}; one sample is one {card.unit}; licence {card.licence}; access {card.access}",
        *(["", card.description.strip()] if card.description else []),
        *("", "Where to get it:", *_indented(recipe.raw.get)),
        *("", "What the folder looks like:", *_indented(recipe.raw.folder)),
        *("", f"Parts: {parts}"),
        *(f"Task {t.id} ({t.type}): {', '.join(t.classes) or t.units}" for t in recipe.manifest_tasks),
        *("", f"Pack it: ropeway pack {recipe.id} --root RAW --store URL"),
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=not console.is_terminal)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.strip().splitlines()]
