"""`ropeway simulate`: what an order would do to a job, before GPU hours are spent on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import output
from ropeway.cli.output import STREAM, Datasets, Json, Split, Task, Where, size, stdout

if TYPE_CHECKING:
    from ropeway.simulate import Mixing, RankReads


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=STREAM)(simulate)


def simulate(  # noqa: PLR0913, PLR0917 - one argument per option
    view: Annotated[str | None, typer.Argument(help="A view's id, as `ropeway query` printed it.")] = None,
    store: Annotated[str | None, typer.Option("--store", "-s", envvar="ROPEWAY_STORE", metavar="URL")] = None,
    task: Task = None,
    split: Split = None,
    where: Where = None,
    dataset: Datasets = None,
    world: Annotated[int, typer.Option(help="Ranks.", min=1)] = 8,
    global_batch_size: Annotated[int, typer.Option(help="Samples per step over all ranks.", min=1)] = 256,
    lanes: Annotated[int | None, typer.Option(help="Lanes of the order.")] = None,
    window: Annotated[int | None, typer.Option(help="Blocks shuffled together in a lane.")] = None,
    block_bytes: Annotated[int | None, typer.Option(help="Bytes of a block.")] = None,
    seed: Annotated[int, typer.Option(help="Of the shuffle.")] = 0,
    samples: Annotated[float | None, typer.Option(help="Without a store: so many samples, sorted by label.")] = None,
    sample_bytes: Annotated[int, typer.Option(help="Without a store: bytes of each sample.")] = 25_600,
    classes: Annotated[int, typer.Option(help="Without a store: classes of the labels.")] = 10,
    plot: Annotated[Path | None, typer.Option(help="Draw the figures into this PNG file.")] = None,
    json: Json = False,
) -> None:
    """Work out shuffle quality, bytes read per rank, memory and start-up of a view's order, without reading it."""
    from ropeway import simulate as simulation
    from ropeway.errors import UsageError
    from ropeway.order import LANES, WINDOW, Shuffled
    from ropeway.steps import Batching
    from ropeway.wanted import MEMORY
    from ropeway.world import World

    order = Shuffled(
        lanes=LANES if lanes is None else lanes, window=WINDOW if window is None else window, block_bytes=block_bytes
    )
    batching = Batching(global_batch_size, World(0, world), "drop")
    ranks: list[RankReads] = []
    mixed: Mixing | None = None
    if samples is not None:
        count = int(samples)
        blocks = simulation.even_blocks(count, sample_bytes, order)
        epoch, ready = simulation.readiness(blocks, order, world, seed=seed)
        labels = simulation.SortedLabels(count, classes)
        mixed = simulation.mixing(epoch, labels, classes, global_batch_size, seed)
        what, total = f"{count:,} samples of {size(sample_bytes)}", count * sample_bytes
    else:
        if store is None:
            raise UsageError("simulate needs --store (and a view or a query), or --samples without a store")
        from ropeway.catalog import connect

        catalog = connect(store)
        chosen = catalog.view(view) if view else catalog.query(task=task, split=split, where=where, datasets=dataset)
        table = chosen.table()
        epoch, ready = simulation.readiness(simulation.blocks_of(table, order), order, world, seed=seed)
        for labelled in chosen.info.tasks[:1] if task is None else [chosen.task(task)]:
            if labelled.type in ("binary", "multiclass"):
                mixed = simulation.mixing(
                    epoch, table.labels[labelled.id], len(labelled.classes), global_batch_size, seed
                )
        ranks = simulation.reads(table, order, global_batch_size, world, seed=seed, memory=MEMORY)
        what, total = f"view {chosen.id}, {chosen.samples:,} samples, {size(chosen.bytes)}", chosen.bytes
    block = order.size_for(total)
    figures = simulation.summary(mixed, ranks, ready)
    steps = batching.count(epoch.samples)
    if plot is not None:
        _draw(plot, mixed, ranks, what)
    if json:
        setting = {"lanes": order.lanes, "window": order.window, "block_bytes": block, "world": world, "steps": steps}
        output.print_json({**setting, **figures})
        return
    open_bytes = size(order.lanes * order.window * block / world)
    left = epoch.samples - steps * global_batch_size
    rows = [
        ("what", what),
        ("order", f"{order.lanes} lanes × {order.window} blocks of {size(block)}; {ready.blocks:,} blocks"),
        (
            "memory",
            f"{open_bytes} of open blocks per rank (none if shards are local); {size(ready.bytes)} for the order",
        ),
        ("ready", f"in {ready.seconds:.2f} s at the middle of an epoch"),
        ("steps", f"{steps:,} of {global_batch_size} samples; {left} left over"),
    ]
    if mixed is not None:
        uniform = f"uniform shuffle {figures['entropy_uniform']:.4f}"
        rows.append(("mixing", f"label entropy {figures['entropy']:.4f} per batch, {uniform}: {mixed.ratio:.4f} of it"))
    if ranks:
        requests = f"{figures['requests_per_rank']:,.0f} requests to {figures['shards_per_rank']:,.0f} shards"
        read = f"{size(figures['read_per_rank'])} per rank in {requests}"
        rows.append(("reads", f"{read}; {figures['amplification']:.3f} bytes for each delivered"))
    for name, text in rows:
        stdout.print(f"[bold]{name:8}[/] {text}")
    for sentence in [simulation.why(order, total), *simulation.advice(order, world, mixed, ranks)]:
        stdout.print(sentence)


def _draw(file: Path, mixed: "Mixing | None", ranks: "list[RankReads]", title: str) -> None:
    """Two panels: how mixed the batches are, and what each rank reads."""
    from ropeway.errors import UsageError

    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UsageError("drawing needs matplotlib: pip install 'ropeway[plot]'") from error

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    if mixed is not None:
        low = min(mixed.ours.min(), mixed.uniform.min())
        bins = max(5, min(40, len(mixed.ours) // 5))
        extent = (low, max(mixed.ours.max(), mixed.uniform.max()) + 1e-9)
        left.hist(mixed.uniform, bins, extent, color="0.75", label="uniform shuffle")
        left.hist(mixed.ours, bins, extent, histtype="step", color="C0", linewidth=1.8, label="this order")
        left.set(xlabel="label entropy of a global batch (nats)", ylabel="batches",
                 title=f"mixing: {mixed.ratio:.4f} of uniform")  # fmt: skip
        left.legend(frameon=False)
    else:
        left.set_axis_off()
    if ranks:
        names = [str(rank.rank) for rank in ranks]
        right.bar(names, [rank.read / 1e6 for rank in ranks], color="0.75", label="read")
        right.bar(names, [rank.delivered / 1e6 for rank in ranks], width=0.5, color="C0", label="delivered")
        right.set(xlabel="rank", ylabel="MB in an epoch", title="bytes per rank")
        right.margins(y=0.3)
        right.legend(frameon=False, ncols=2, loc="upper center")
    else:
        right.set_axis_off()
    figure.savefig(file, dpi=130)
