"""`ropeway stream`: the loader alone, to see what a machine and a store can deliver."""

from typing import Annotated

import typer

from ropeway.cli import output
from ropeway.cli.output import STREAM, Datasets, Json, Parts, Split, Store, Task, Where, size, stderr, stdout


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=STREAM)(stream)


def stream(  # noqa: PLR0913, PLR0917 - one argument per option
    store: Store,
    view: Annotated[str | None, typer.Argument(help="A view's id, as `ropeway query` printed it.")] = None,
    task: Task = None,
    split: Split = None,
    where: Where = None,
    dataset: Datasets = None,
    part: Parts = None,
    batch_size: Annotated[int, typer.Option(help="Samples per step.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the shuffle.")] = 0,
    epochs: Annotated[int, typer.Option(help="How many epochs.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    json: Json = False,
) -> None:
    """Stream a view as training would, without a model, and say how fast it came."""
    from ropeway import StreamingLoader
    from ropeway.catalog import connect

    catalog = connect(store)
    chosen = (
        catalog.view(view)
        if view
        else catalog.query(task=task, split=split, where=where, datasets=dataset, parts=part or ())
    )
    loader = StreamingLoader(chosen, batch_size, seed=seed, tail="pad", parts=part or None)
    total = min(len(loader) * epochs, steps or len(loader) * epochs)
    done = 0
    with output.byte_progress() as progress:
        bar = progress.add_task(f"view {chosen.id}", total=None)
        for _ in range(epochs):
            for _batch in loader:
                done += 1
                stats = loader.stats()
                progress.update(
                    bar, completed=stats.bytes, total=stats.bytes * total // done,
                    description=f"view {chosen.id}  step {done:,}/{total:,}  {stats.samples_per_second:,.0f} samples/s",
                )  # fmt: skip
                if done == total:
                    break
            if done == total:
                break
    stats = loader.stats()
    if json:
        output.print_json({
            "view": chosen.id, "samples": stats.samples, "batches": stats.batches, "bytes": stats.bytes,
            "seconds": stats.elapsed, "samples_per_second": stats.samples_per_second, "data_wait": stats.data_wait,
        })  # fmt: skip
        return
    rate = stats.bytes / stats.elapsed if stats.elapsed else 0.0
    stdout.print(
        f"{stats.samples:,} samples in {stats.batches:,} batches, {size(stats.bytes)} in {stats.elapsed:.2f} s: "
        f"{stats.samples_per_second:,.0f} samples/s, {size(rate)}/s"
    )
    stderr.print(f"view {chosen.id} of {', '.join(chosen.datasets)}; seed {seed}")
