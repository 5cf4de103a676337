"""`ropeway export`: what other programs want to read a dataset's shards, beside the shards."""

from typing import Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.output import stdout


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.STEWARD)(export)


def export(
    dataset: options.Dataset,
    store: options.OwnStore,
    energon: Annotated[bool, typer.Option("--energon", help="For Megatron-Energon: .nv-meta and .tar.idx.")] = False,
    dali: Annotated[bool, typer.Option("--dali", help="For NVIDIA DALI's webdataset reader: .idx.")] = False,
    wids: Annotated[bool, typer.Option("--wids", help="For wids: a JSON list of shards per split.")] = False,
    json: options.Json = False,
) -> None:
    """Write the indexes that other readers of WebDataset shards want, into the dataset's folder of the store.

    Shards are as they were; plain readers (webdataset, HF datasets, tar) need no export.
    """
    from ropeway.catalog import StoreCatalog
    from ropeway.errors import UsageError
    from ropeway.export import WRITERS
    from ropeway.stores import open_store

    wanted = [name for name, asked in (("energon", energon), ("dali", dali), ("wids", wids)) if asked]
    if not wanted:
        raise UsageError(f"say for which program: {', '.join(f'--{name}' for name in WRITERS)}")
    there = open_store(store)
    manifest = StoreCatalog(there).manifest(dataset)
    written = {name: WRITERS[name](there, manifest) for name in wanted}
    if json:
        output.print_json({"dataset": dataset, "version": manifest.version, "written": written})
        return
    for name, paths in written.items():
        stdout.print(f"{name}: {len(paths):,} files in {there.url}/{dataset}", markup=False, soft_wrap=True)
