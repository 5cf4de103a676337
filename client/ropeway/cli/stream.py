"""`ropeway stream`: the loader alone, to see what a machine and a store can deliver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.chosen import streamed_view
from ropeway.cli.output import size, stderr, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from ropeway.delivery import Batch
    from ropeway.loader import StreamingLoader
    from ropeway.meter import Stats

_REFRESH = 0.25
"""Seconds between two looks at the figures."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.STREAM)(stream)


def stream(  # noqa: PLR0913, PLR0917 - one argument per option
    store: options.Store,
    view: options.ViewIfAny = None,
    task: options.Task = None,
    split: options.Split = None,
    where: options.Where = None,
    dataset: options.Datasets = None,
    part: options.Parts = None,
    batch_size: options.BatchSize = 256,
    seed: Annotated[int, typer.Option(help="Seed of the shuffle.")] = 0,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="How often to go through the view.")] = 1,
    steps: Annotated[int | None, typer.Option(metavar="N", min=1, help="Stop after so many steps.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Where tensors go, such as cuda; the host by default.")
    ] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Decode threads; by default one per core.")] = None,
    memory: options.Memory = 2048,
    requests: Annotated[
        int | None, typer.Option(metavar="N", help="Range requests at once; by default as the view needs.")
    ] = None,
    cache: options.Cache = None,
    cache_limit: options.CacheLimit = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65535, help="Meanwhile, serve figures to Prometheus on this port."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Stream a view as training would, without a model, and say how fast it came and what bounds it.

    Give a view, or ask for one by --task, --split, --where, --dataset and --part; neither: all samples.
    """
    from ropeway import StreamingLoader
    from ropeway.exposition import exposed

    disk = options.disk_cache(cache, cache_limit)
    query = {"task": task, "split": split, "where": where, "datasets": dataset, "parts": part or ()}
    chosen = streamed_view(store, view, query, disk)
    loader = StreamingLoader(
        chosen, batch_size, seed=seed, tail="pad", parts=part or None, device=device, threads=threads,
        memory=memory << 20, requests=requests, cache=disk,
    )  # fmt: skip
    total = min(len(loader) * epochs, steps or len(loader) * epochs)
    scraped = nullcontext(0) if metrics_port is None else exposed(loader.stats, metrics_port, view=chosen.id)
    with scraped, _live(f"view {chosen.id}", total) as look:
        for _ in _batches(loader, total):
            look(loader.stats())
    stats = loader.stats()
    padding = stats.batches * batch_size - stats.samples
    if json:
        output.print_json({"view": chosen.id, "padding": padding, **_summary(stats)})
        return
    _tell(stats, padding)
    stderr.print(f"view {chosen.id} of {', '.join(chosen.datasets)}; seed {seed}", soft_wrap=True)


def _tell(stats: "Stats", padding: int) -> None:
    stdout.print(_figures(stats))
    repeats = f", and {padding:,} repeats that fill last batches" if padding else ""
    stdout.print(f"{stats.samples:,} samples in {stats.batches:,} batches{repeats}, {size(stats.bytes)}")
    rate = size(stats.bytes / stats.elapsed if stats.elapsed else 0.0)
    stdout.print(f"{stats.samples_per_second:,.0f} samples/s, {rate}/s, over {stats.elapsed:.2f} s")
    stdout.print(f"bound by {stats.verdict}")


def _summary(stats: "Stats") -> dict[str, object]:
    return {
        "samples": stats.samples, "batches": stats.batches, "bytes": stats.bytes, "seconds": stats.elapsed,
        "samples_per_second": stats.samples_per_second, "data_wait": stats.data_wait, "stages": stats.stages,
        "store": asdict(stats.traffic), "cache": None if stats.cache is None else asdict(stats.cache),
        "unchecked": stats.unchecked, "bad": stats.bad, "verdict": stats.verdict,
    }  # fmt: skip


def _batches(loader: "StreamingLoader", total: int) -> "Iterator[Batch]":
    """So many batches, over as many epochs as it takes."""
    while total > 0:
        for batch in loader:
            yield batch
            total -= 1
            if total == 0:
                return


@contextmanager
def _live(title: str, total: int) -> "Iterator[Callable[[Stats], None]]":
    """A table of figures that is renewed as batches come, on stderr; silent where stderr is no terminal."""
    from rich.live import Live

    shown = 0.0

    def look(stats: "Stats") -> None:
        nonlocal shown
        if stderr.is_terminal and monotonic() - shown >= _REFRESH:
            shown = monotonic()
            live.update(_figures(stats, f"{title}  step {stats.batches:,}/{total:,}"), refresh=True)

    with Live(console=stderr, transient=True, auto_refresh=False) as live:
        yield look


def _figures(stats: "Stats", title: str | None = None) -> "Table":
    """One row per stage of making batches, and what was asked of stores."""
    made = output.table("stage", "seconds>", "share>", "", title=title)
    whole = sum(stats.stages.values()) or 1.0
    notes = {
        "fetch": f"{size(stats.bytes)} of samples, {stats.samples_per_second:,.0f} samples/s",
        "decode": f"{stats.bad:,} bad samples replaced" if stats.bad else "",
    }
    traffic = stats.traffic
    if traffic.requests:
        notes["fetch"] += (
            f"; {traffic.requests:,} requests for {size(traffic.bytes)}, {traffic.retries:,} retries, "
            f"{traffic.hedges:,} hedges"
        )
    if stats.cache is not None:
        notes["fetch"] += f"; {stats.cache.hits:,} reads from the disk cache, {stats.cache.misses:,} not"
    for stage, seconds in stats.stages.items():
        made.add_row(stage, f"{seconds:.2f}", f"{seconds / whole:.0%}", notes.get(stage, ""))
    made.add_row("waited for", f"{stats.wait:.2f}", f"{stats.data_wait:.0%}", "of the loop's own time")
    return made
