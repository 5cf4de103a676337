"""The commands `ropeway pack` and `ropeway recipes`."""

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ropeway_shardgen.recipes_cli import recipes_command

if TYPE_CHECKING:
    from ropeway.stores import Store
    from ropeway_shardgen.engine import Engine
    from ropeway_shardgen.pack import Packed, Watch
    from ropeway_shardgen.plan import Plan
    from ropeway_shardgen.recipe import Recipe
    from ropeway_shardgen.slices import Unfinished

    Work: TypeAlias = Callable[[Plan, Store, Watch], Packed | Unfinished]

PANEL = "Stewards: pack and check"


class EngineChoice(StrEnum):
    """Where shards are packed."""

    LOCAL = "local"
    DASK = "dask"


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
    engine: Annotated[EngineChoice, typer.Option(help="Pack on this machine, or on a Dask cluster.")] = (
        EngineChoice.LOCAL
    ),
    scheduler: Annotated[
        str, typer.Option(metavar="URL", help="The Dask scheduler, such as tcp://host:8786; none: one of this machine.")
    ] = "",
    cluster: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Launch a Dask cluster for this pack (Slurm, Kubernetes, SSH…).")
    ] = None,
    slice_: Annotated[
        str, typer.Option("--slice", metavar="I/N", help="Pack only the I-th of N shares; the last one publishes.")
    ] = "",
    publish: Annotated[bool, typer.Option("--publish", help="Pack nothing: publish what slices packed.")] = False,
    on_error: Annotated[OnErrorChoice, typer.Option(help="Stop at a bad sample, or leave it out and count it.")] = (
        OnErrorChoice.RAISE
    ),
    pseudonym_key: Annotated[
        Path | None, typer.Option(help="File with a secret that keys the pseudonyms of subjects.")
    ] = None,
    keep_raw: Annotated[
        bool, typer.Option("--keep-raw", help="Also keep original files, without identity, as parts named <part>_raw.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only say what is missing or wrong in the folder; of each part, one file is read."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Pack a raw dataset into WebDataset shards with an index and a manifest.

    A pack that was interrupted goes on where it stopped when the same command is run again. Nothing can be seen in the
    store before everything is packed.
    """
    from ropeway_shardgen import recipe as recipes
    from ropeway_shardgen.engines import chosen
    from ropeway_shardgen.keep_raw import with_originals
    from ropeway_shardgen.plan import Settings
    from ropeway_shardgen.sizes import parse_size

    settings = Settings(
        shard_size=parse_size(shard_size) if shard_size else None,
        limit=limit,
        on_error=on_error.value,
        secret=_secret(pseudonym_key),
    )
    found = recipes.load(recipe)
    if keep_raw:
        found = with_originals(found, settings.secret)
    if check:
        _check(found, root, settings, as_json)
        return
    packers = chosen(engine.value, workers or os.cpu_count() or 1, scheduler, cluster)
    _pack(found, root, store, settings, _work(settings, packers, slice_, publish), as_json)


def _work(settings: Any, engine: "Engine", own: str, publish: bool) -> "Work":
    """What is to be done with a plan: all of it, a slice of it, or publishing."""
    from ropeway.errors import UsageError
    from ropeway_shardgen.pack import pack_plan
    from ropeway_shardgen.slices import Slice, pack_slice, publish_slices

    if publish:
        if own:
            raise UsageError("--publish packs nothing: leave --slice out")
        return lambda plan, store, _: publish_slices(plan, store)
    if own:
        share = Slice.parse(own)
        return lambda plan, store, watch: pack_slice(plan, store, settings, share, engine=engine, watch=watch)
    return lambda plan, store, watch: pack_plan(plan, store, settings, engine=engine, watch=watch)


def _pack(recipe: "Recipe", root: Path, store: str, settings: Any, work: "Work", as_json: bool) -> None:
    import time

    import msgspec
    from rich.console import Console

    from ropeway.errors import UsageError
    from ropeway.stores import open_store
    from ropeway_shardgen import report
    from ropeway_shardgen.plan import make_plan

    if not store:
        raise UsageError("where to? give --store (a path or a URL), or --check to only inspect the folder")
    target = open_store(store)
    began = time.monotonic()
    with report.Bar(Console(stderr=True, quiet=as_json)) as bar:
        done = work(make_plan(recipe, root, settings), target, bar)
    seconds = time.monotonic() - began
    if as_json:
        typer.echo(msgspec.json.encode(report.as_json(done, target.url, seconds)))
    else:
        report.show(Console(), done, target.url, seconds)


def _check(recipe: "Recipe", root: Path, settings: Any, as_json: bool) -> None:
    import msgspec
    from rich.console import Console

    from ropeway.errors import SourceError
    from ropeway_shardgen.first_files import unreadable
    from ropeway_shardgen.plan import inspect, make_plan
    from ropeway_shardgen.problems import summary

    problems = inspect(recipe, root, settings)
    plan = None if problems else make_plan(recipe, root, settings)
    if plan is not None:
        problems = unreadable(plan)
    if as_json:
        typer.echo(msgspec.json.encode({"dataset": recipe.id, "problems": problems}))
    if problems:
        for problem in [] if as_json else problems[:20]:
            Console().print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
        raise SourceError(summary(problems), dataset=recipe.id)
    if plan is not None and not as_json:
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
