"""`ropeway simulate`: what an order would do to a job, before GPU hours are spent on it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.chosen import chosen_view
from ropeway.cli.output import size, stdout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ropeway.order import Shuffled
    from ropeway.shuffle import ShuffledEpoch
    from ropeway.simulate import Mixing, RankReads, Readiness
    from ropeway.steps import Batching
    from ropeway.view import View


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.STREAM)(simulate)


@dataclass(frozen=True, kw_only=True)
class _Simulated:
    """What was simulated, and what came out.

    Attributes:
        what: in words.
        bytes: of all samples.
        mixed: how mixed the batches are; None without a task of classes.
        ranks: what ranks would read; empty for a dataset that is made up.
    """

    what: str
    bytes: int
    epoch: "ShuffledEpoch"
    ready: "Readiness"
    mixed: "Mixing | None" = None
    ranks: "list[RankReads]" = field(default_factory=list)


def simulate(  # noqa: PLR0913, PLR0917 - one argument per option
    view: options.ViewIfAny = None,
    store: options.StoreIfAny = None,
    task: options.Task = None,
    split: options.Split = None,
    where: options.Where = None,
    dataset: options.Datasets = None,
    world: Annotated[int, typer.Option(metavar="N", min=1, help="Ranks of the job.")] = 8,
    global_batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Samples per step over all ranks.")] = 256,
    lanes: Annotated[int, typer.Option(metavar="N", help="Lanes of the order; best a multiple of --world.")] = 192,
    window: Annotated[int, typer.Option(metavar="N", help="Blocks shuffled together in a lane.")] = 1,
    block_bytes: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Size of a block; by default as fits the view.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the shuffle.")] = 0,
    samples: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=1, max=1e11, help="In place of a view: a dataset of so many samples, sorted by label."
        ),
    ] = None,
    sample_bytes: Annotated[int, typer.Option(metavar="BYTES", min=1, help="With --samples: size of each.")] = 25_600,
    classes: Annotated[int, typer.Option(metavar="N", min=1, help="With --samples: classes of the labels.")] = 10,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the figures into this PNG file.")] = None,
    json: options.Json = False,
) -> None:
    """Work out shuffle quality, bytes read per rank, memory and start-up of a view's order, without reading it."""
    from ropeway import simulate as simulation
    from ropeway.errors import UsageError
    from ropeway.order import Shuffled
    from ropeway.steps import Batching
    from ropeway.world import World

    order = Shuffled(lanes=lanes, window=window, block_bytes=block_bytes)
    batching = Batching(global_batch_size, World(0, world), "drop")
    query = {"task": task, "split": split, "where": where, "datasets": dataset}
    if samples is not None:
        if view or any(query.values()):
            raise UsageError("--samples makes a dataset up: leave out the view and the options of a query")
        done = _made_up(int(samples), sample_bytes, classes, order, batching, seed)
    elif store is None:
        raise UsageError("simulate needs --store (and a view or a query), or --samples without a store")
    else:
        from ropeway.catalog import connect

        done = _of_view(chosen_view(connect(store), view, query, beside=["task"]), task, order, batching, seed)
    if plot is not None:
        _draw(plot, done.mixed, done.ranks, done.what)
    figures = simulation.summary(done.mixed, done.ranks, done.ready)
    if json:
        output.print_json({
            "lanes": order.lanes, "window": order.window, "block_bytes": order.size_for(done.bytes), "world": world,
            "steps": batching.count(done.epoch.samples), **figures,
        })  # fmt: skip
    else:
        _tell(done, order, batching)


def _tell(done: _Simulated, order: "Shuffled", batching: "Batching") -> None:
    from ropeway import simulate as simulation

    for name, text in _rows(done, order, batching):
        stdout.print(f"[bold]{name:8}[/] {text}")
    stdout.print(simulation.why(order, done.bytes))
    for sentence in simulation.advice(order, batching.world.size, done.mixed, done.ranks):
        stdout.print(sentence)


def _made_up(
    samples: int, sample_bytes: int, classes: int, order: "Shuffled", batching: "Batching", seed: int
) -> _Simulated:
    from ropeway import simulate as simulation

    blocks = simulation.even_blocks(samples, sample_bytes, order)
    epoch, ready = simulation.readiness(blocks, order, batching.world.size, seed=seed)
    labels = simulation.SortedLabels(samples, classes)
    mixed = simulation.mixing(epoch, labels, classes, batching.global_batch, seed)
    what = f"{samples:,} samples of {size(sample_bytes)}"
    return _Simulated(what=what, bytes=samples * sample_bytes, epoch=epoch, ready=ready, mixed=mixed)


def _of_view(view: "View", task: str | None, order: "Shuffled", batching: "Batching", seed: int) -> _Simulated:
    from ropeway import simulate as simulation
    from ropeway.wanted import MEMORY

    batch, world, table = batching.global_batch, batching.world.size, view.table()
    epoch, ready = simulation.readiness(simulation.blocks_of(table, order), order, world, seed=seed)
    mixed: Mixing | None = None
    for labelled in view.info.tasks[:1] if task is None else [view.task(task)]:
        if labelled.type in ("binary", "multiclass"):
            mixed = simulation.mixing(epoch, table.labels[labelled.id], len(labelled.classes), batch, seed)
    ranks = simulation.reads(table, order, batch, world, seed=seed, memory=MEMORY)
    what = f"view {view.id}, {view.samples:,} samples, {size(view.bytes)}"
    return _Simulated(what=what, bytes=view.bytes, epoch=epoch, ready=ready, mixed=mixed, ranks=ranks)


def _rows(done: _Simulated, order: "Shuffled", batching: "Batching") -> Iterator[tuple[str, str]]:
    """The figures for people: their names, and what there is to say."""
    from ropeway import simulate as simulation

    figures, ready = simulation.summary(done.mixed, done.ranks, done.ready), done.ready
    block = order.size_for(done.bytes)
    steps = batching.count(done.epoch.samples)
    left = done.epoch.samples - steps * batching.global_batch
    open_bytes = size(order.lanes * order.window * block / batching.world.size)
    yield "what", done.what
    yield "order", f"{order.lanes} lanes × {order.window} blocks of {size(block)}; {ready.blocks:,} blocks"
    of_order = f"{size(ready.bytes)} for the order"
    yield "memory", f"{open_bytes} of open blocks per rank (none if shards are local); {of_order}"
    yield "ready", f"in {ready.seconds:.2f} s at the middle of an epoch"
    yield "steps", f"{steps:,} of {batching.global_batch} samples; {left} left over"
    if done.mixed is not None:
        uniform = f"uniform shuffle {figures['entropy_uniform']:.4f}"
        yield "mixing", f"label entropy {figures['entropy']:.4f} per batch, {uniform}: {done.mixed.ratio:.4f} of it"
    if done.ranks:
        requests = f"{figures['requests_per_rank']:,.0f} requests to {figures['shards_per_rank']:,.0f} shards"
        read = f"{size(figures['read_per_rank'])} per rank in {requests}"
        yield "reads", f"{read}; {figures['amplification']:.3f} bytes for each delivered"


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
    if mixed is None:
        left.set_axis_off()
    else:
        _draw_mixing(left, mixed)
    if ranks:
        _draw_reads(right, ranks)
    else:
        right.set_axis_off()
    try:
        figure.savefig(file, dpi=130)
    except (OSError, ValueError) as error:  # of a folder that isn't there, or a name that says no format of pictures
        raise UsageError(f"the figures can't be drawn: {error}", url=file.absolute().as_uri()) from error


def _draw_mixing(axes: "Axes", mixed: "Mixing") -> None:
    low = min(mixed.ours.min(), mixed.uniform.min())
    bins = max(5, min(40, len(mixed.ours) // 5))
    extent = (low, max(mixed.ours.max(), mixed.uniform.max()) + 1e-9)
    axes.hist(mixed.uniform, bins=bins, range=extent, color="0.75", label="uniform shuffle")
    axes.hist(mixed.ours, bins=bins, range=extent, histtype="step", color="C0", linewidth=1.8, label="this order")
    axes.set(xlabel="label entropy of a global batch (nats)", ylabel="batches",
             title=f"mixing: {mixed.ratio:.4f} of uniform")  # fmt: skip
    axes.legend(frameon=False)


def _draw_reads(axes: "Axes", ranks: "list[RankReads]") -> None:
    names = [str(rank.rank) for rank in ranks]
    axes.bar(names, [rank.read / 1e6 for rank in ranks], color="0.75", label="read")
    axes.bar(names, [rank.delivered / 1e6 for rank in ranks], width=0.5, color="C0", label="delivered")
    axes.set(xlabel="rank", ylabel="MB in an epoch", title="bytes per rank")
    axes.margins(y=0.3)
    axes.legend(frameon=False, ncols=2, loc="upper center")
