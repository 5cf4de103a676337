"""What a person sees of a pack: a progress bar while it runs, a short summary when it is done."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ropeway_shardgen.pack import Packed, Watch
from ropeway_shardgen.plan import Plan
from ropeway_shardgen.sizes import format_size
from ropeway_shardgen.slices import Unfinished


class Bar(Watch):
    """A progress bar on stderr: samples, MB/s, time left. Nothing is shown where stderr is no terminal."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} samples"),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task: TaskID | None = None
        self._bytes = 0

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, plan: Plan, samples: int, size: int) -> None:
        self._task = self._progress.add_task(plan.recipe.id, total=samples, speed="")

    def advance(self, samples: int, size: int) -> None:
        if self._task is None:
            return
        self._bytes += size
        task = self._progress.tasks[0]
        speed = f"{format_size(self._bytes / task.elapsed)}/s" if task.elapsed else ""
        self._progress.update(self._task, advance=samples, speed=speed)


def as_json(packed: Packed | Unfinished, store: str, seconds: float) -> dict[str, Any]:
    """The summary as one JSON object. `megabytes_per_second` is of shards written, null where nothing was.

    Of a slice that was not the last: `published` is false, and `missing_shards` says how many others pack.
    """
    if isinstance(packed, Unfinished):
        return {
            "dataset": packed.dataset,
            "version": packed.version,
            "store": store,
            "published": False,
            "shards": packed.packed,
            "resumed_shards": packed.resumed,
            "missing_shards": packed.missing,
            "seconds": round(seconds, 3),
        }
    found = packed.manifest
    return {
        "dataset": found.dataset,
        "version": found.version,
        "store": store,
        "published": True,
        "already_published": packed.already_published,
        "current": packed.current,
        "withdrawn_subjects": packed.withdrawn,
        "samples": found.samples,
        "shards": len(found.shards),
        "bytes": found.bytes,
        "splits": {split.name: split.samples for split in found.splits},
        "skipped": dict(found.provenance.skipped),
        "resumed_shards": packed.resumed,
        "seconds": round(seconds, 3),
        "megabytes_per_second": None if packed.already_published else round(found.bytes / 1e6 / seconds, 1),
    }


def show(console: Console, packed: Packed | Unfinished, store: str, seconds: float) -> None:
    """The summary for people."""
    if isinstance(packed, Unfinished):
        console.print(
            f"[bold green]packed[/] {packed.packed} shards of [bold]{packed.dataset} {packed.version}[/] "
            f"({packed.resumed} were there), {seconds:.1f} s; {packed.missing} shards of other slices are missing: "
            "the slice that ends last publishes",
            highlight=False,
            soft_wrap=True,
        )
        return
    found = packed.manifest
    name = f"{found.dataset} {found.version}"
    if packed.already_published:
        text = f"[bold]{name}[/] is already published in {store}; nothing to do"
        console.print(text, highlight=False, soft_wrap=True)
    else:
        speed = f"{format_size(found.bytes / seconds)}/s"
        console.print(
            f"[bold green]packed[/] [bold]{name}[/]: {found.samples:,} samples in {len(found.shards)} shards, "
            f"{format_size(found.bytes)}, {seconds:.1f} s ({speed}) → {store}",
            highlight=False,
            soft_wrap=True,
        )
    for split in found.splits:
        console.print(f"  {split.name:<6} {split.samples:>10,} samples  {split.subjects:>8,} subjects", highlight=False)
    if packed.resumed:
        console.print(f"  {packed.resumed} shards were there from an earlier, unfinished pack", highlight=False)
    _show_skipped(console, found.provenance.skipped)
    if packed.withdrawn:
        told = f"{packed.withdrawn:,} withdrawn subjects are not in the current version, which is a later one"
        console.print(f"  [yellow]note[/]: {told}", highlight=False, soft_wrap=True)
    elif not packed.current:
        console.print("  [yellow]note[/]: a later version is the current one, and stays it", highlight=False)


def _show_skipped(console: Console, skipped: Mapping[str, int]) -> None:
    if skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
        console.print(f"  [yellow]left out[/]: {sum(skipped.values()):,} samples ({reasons})", highlight=False)
