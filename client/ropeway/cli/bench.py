"""`ropeway bench`: what a machine and a store can deliver for a view, what bounds it, and with which settings."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropeway.cli import options, output
from ropeway.cli.chosen import streamed_view
from ropeway.cli.output import size, stderr, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from ropeway.bench import Outcome, Settings
    from ropeway.bench.runs import Run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.STREAM)(bench)


def bench(  # noqa: PLR0913, PLR0917 - one argument per option
    store: options.Store,
    view: options.ViewIfAny = None,
    task: options.Task = None,
    split: options.Split = None,
    where: options.Where = None,
    dataset: options.Datasets = None,
    part: options.Parts = None,
    batch_size: options.BatchSize = 256,
    seconds: Annotated[float, typer.Option(metavar="S", min=0.01, help="How long each measurement takes.")] = 2.0,
    memory: options.Memory = 2048,
    cache: options.Cache = None,
    cache_limit: options.CacheLimit = None,
    json: options.Json = False,
) -> None:
    """Measure what this machine and the store can deliver for a view, and find the settings that get it.

    Runs the loader with a few settings, and beside it what bounds every loader: reading the same bytes and nothing
    else, copying them, decoding them. Choose the view as for `ropeway stream`.
    """
    from ropeway.bench import Settings
    from ropeway.bench import bench as measured

    disk = options.disk_cache(cache, cache_limit)
    query = {"task": task, "split": split, "where": where, "datasets": dataset, "parts": part or ()}
    base = Settings(batch_size=batch_size, parts=tuple(part) if part else None, memory=memory << 20, cache=disk)
    with stderr.status("looking for the view") as status:
        chosen = streamed_view(store, view, query, disk)
        outcome = measured(chosen, base, seconds=seconds, told=lambda what: status.update(f"measuring: {what}"))
    if json:
        output.print_json(_summary(outcome))
        return
    stdout.print(_figures(outcome))
    stdout.print(outcome.verdict, markup=False, soft_wrap=True)
    stdout.print(outcome.python, markup=False, soft_wrap=True)
    stderr.print(
        f"view {chosen.id} of {', '.join(chosen.datasets)}: {chosen.samples:,} samples, {size(chosen.bytes)}",
        soft_wrap=True,
    )


def _summary(outcome: "Outcome") -> dict[str, Any]:
    return {
        "view": outcome.view.id,
        "samples": outcome.view.samples,
        "remote": outcome.remote,
        "limits": outcome.limits,
        "runs": [_told(name, run, outcome) for name, run in outcome.named],
        "bound_by": outcome.bound_by,
        "verdict": outcome.verdict,
        "defaults_are_fine": outcome.fine,
        "best": _settings(outcome.best),
        "python": outcome.python,
    }


def _told(name: str, run: "Run", outcome: "Outcome") -> dict[str, Any]:
    return {
        "name": name,
        "settings": _settings(run.settings),
        "samples_per_second": run.samples_per_second,
        "bytes_per_second": run.bytes_per_second,
        "first_batch": run.first_batch,
        "of_tightest_limit": outcome.share(run),
        "memory": run.memory,
        "stages": run.stats.stages,
    }


def _settings(settings: "Settings") -> dict[str, Any]:
    """A loader's arguments; null stands for its own default."""
    return {
        "batch_size": settings.batch_size,
        "parts": settings.parts,
        "threads": settings.threads,
        "requests": settings.requests,
        "memory": settings.memory,
        "cache": None if settings.cache is None else str(settings.cache.path),
    }


def _figures(outcome: "Outcome") -> "Table":
    """One row per limit and per run."""
    made = output.table("", "samples/s>", "MB/s>", "first batch>", "of the tightest limit>", "peak memory>")
    for limit in outcome.limits:
        made.add_row(f"{limit.name} alone", *_rates(limit.samples_per_second, limit.bytes_per_second), "", "", "")
    for name, run in outcome.named:
        share = outcome.share(run)
        made.add_row(
            name,
            *_rates(run.samples_per_second, run.bytes_per_second),
            f"{run.first_batch:.2f} s",
            "" if share is None else f"{share:.2f}",
            "" if run.memory is None else size(run.memory),
        )
    return made


def _rates(samples: float, count: float) -> tuple[str, str]:
    return f"{samples:,.0f}", f"{count / 1e6:,.0f}"
