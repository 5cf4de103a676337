"""The commands `ropeway pack` and `ropeway recipes`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli.options import STEWARD
from ropeway_shardgen.reading import SECONDS
from ropeway_shardgen.recipes_cli import recipes_command

if TYPE_CHECKING:
    from ropeway_shardgen.apart import Apart
    from ropeway_shardgen.request import PackRequest, Request


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
    app.command("pack", rich_help_panel=STEWARD)(pack_command)
    app.command("recipes", rich_help_panel=STEWARD)(recipes_command)


def pack_command(  # noqa: PLR0913, PLR0917  one parameter per option
    context: typer.Context,
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe's id (see `ropeway recipes`), or your own .toml file.")
    ],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The folder of raw data, as the recipe describes it.")],
    store: Annotated[
        str,
        typer.Option("--store", "-s", metavar="URL", envvar="ROPEWAY_STORE", help="Where to pack to: a path, s3://, …"),
    ] = "",
    shard_size: Annotated[
        str,
        typer.Option(metavar="SIZE", help="About how large a shard is, such as 256MiB; as the recipe says by default."),
    ] = "",
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Pack only the first so many samples.")] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Packing processes; 0: one per core.")] = 0,
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
    file_seconds: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, help="Time in which a raw file must be read; else it is a bad one."),
    ] = SECONDS,
    pseudonym_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the secret that keys the pseudonyms of subjects.")
    ] = None,
    keep_raw: Annotated[
        bool, typer.Option("--keep-raw", help="Also keep original files, without identity, as parts named PART_raw.")
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
    from ropeway_shardgen.apart import Apart

    apart = context.with_resource(Apart(None, ["ropeway_shardgen.request"]))
    apart.start()  # it imports meanwhile what this process does

    from ropeway.errors import UsageError
    from ropeway.pseudonym_key import read_key
    from ropeway_shardgen import recipe as recipes
    from ropeway_shardgen.keep_raw import with_originals
    from ropeway_shardgen.plan import Settings
    from ropeway_shardgen.request import Packers, PackRequest, Request
    from ropeway_shardgen.sizes import parse_size
    from ropeway_shardgen.slices import Slice

    settings = Settings(
        shard_size=parse_size(shard_size) if shard_size else None,
        limit=limit,
        on_error=on_error.value,
        secret=read_key(pseudonym_key) if pseudonym_key else b"",
    )
    found = recipes.load(recipe)
    if keep_raw:
        found = with_originals(found, settings.secret)
    if check:
        _check(Request(recipe=found, root=root, settings=settings, seconds=file_seconds), apart, as_json)
        return
    if publish and slice_:
        raise UsageError("--publish packs nothing: leave --slice out")
    request = PackRequest(
        recipe=found,
        root=root,
        settings=settings,
        seconds=file_seconds,
        store=store,
        packers=Packers(
            engine=engine.value, workers=workers or os.cpu_count() or 1, scheduler=scheduler, cluster=cluster
        ),
        own=Slice.parse(slice_) if slice_ else None,
        publish=publish,
        silent=as_json,
    )
    _pack(request, apart, as_json)


def _pack(request: "PackRequest", apart: "Apart", as_json: bool) -> None:
    import time

    import msgspec
    from rich.console import Console

    from ropeway.errors import UsageError
    from ropeway.stores import open_store
    from ropeway_shardgen import report
    from ropeway_shardgen.request import pack

    if not request.store:
        raise UsageError("where to? give --store (a path or a URL), or --check to only inspect the folder")
    url = open_store(request.store).url
    began = time.monotonic()
    done = pack(request, apart)
    seconds = time.monotonic() - began
    if as_json:
        typer.echo(msgspec.json.encode(report.as_json(done, url, seconds)))
    else:
        report.show(Console(), done, url, seconds)


def _check(request: "Request", apart: "Apart", as_json: bool) -> None:
    import msgspec
    from rich.console import Console

    from ropeway.errors import SourceError
    from ropeway_shardgen.problems import summary
    from ropeway_shardgen.request import look

    dataset, found = request.recipe.id, look(request, apart)
    if as_json:
        typer.echo(msgspec.json.encode({"dataset": dataset, "problems": found.problems}))
    if found.problems:
        for problem in [] if as_json else found.problems[:20]:
            Console().print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
        raise SourceError(summary(found.problems), dataset=dataset)
    if not as_json:
        Console().print(
            f"[bold green]ready[/] {dataset}: {found.samples:,} samples from {found.files:,} raw files, "
            f"{found.shards} shards, would be version {found.version}",
            highlight=False,
            soft_wrap=True,
        )
