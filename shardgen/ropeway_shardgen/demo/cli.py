"""`ropeway demo`: the main job from end to end."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli.options import STREAM

if TYPE_CHECKING:
    from ropeway_shardgen.demo.run import Outcome


class Backing(StrEnum):
    """What the demo stores on."""

    DIRECTORY = "directory"
    S3 = "s3"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=STREAM)(demo)


def demo(
    store: Annotated[
        Backing, typer.Option(help="A directory, or a real S3 server that the demo starts on loopback.")
    ] = Backing.DIRECTORY,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Leave the store and all logs in this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the summary.")] = False,
) -> None:
    """Pack real clinical files, serve and query them, train on two processes, kill, resume on three, prove it."""
    from time import perf_counter

    from ropeway.cli.output import print_json, stderr, stdout

    try:
        from ropeway_shardgen.demo.run import Demo
    except ModuleNotFoundError as error:
        from ropeway.errors import UsageError

        raise UsageError(f"the demo needs {error.name}: pip install 'ropeway[demo]'") from error

    began = perf_counter()

    def say(text: str) -> None:
        stderr.print(f"[dim]{perf_counter() - began:5.1f} s[/]  {text}", soft_wrap=True)

    with _folder(keep) as folder, _store(store, folder) as url:
        outcome = Demo(folder, url, say).run()
    if json:
        print_json(outcome.to_json())
    else:
        stdout.print(summary(outcome), soft_wrap=True)
        if keep is not None and store is Backing.DIRECTORY:
            stdout.print(_next_commands(url), soft_wrap=True)
    if not outcome.verdict.exactly_once:
        raise typer.Exit(1)


def summary(outcome: "Outcome") -> str:
    """The demo's result for people."""
    from ropeway.cli.output import size
    from ropeway_shardgen.demo.run import TASK, WORLDS, told

    manifests = outcome.manifests
    samples = sum(manifest.samples for manifest in manifests)
    total = size(sum(manifest.bytes for manifest in manifests))
    kinds = sorted({part.kind for manifest in manifests for part in manifest.parts})
    shards = sum(len(manifest.shards) for manifest in manifests)
    speed = f"{outcome.samples_per_second:,.0f} samples/s, {outcome.data_wait:.0%} of the time waiting for data"
    rows = (
        ("packed", f"{len(manifests)} datasets, {samples:,} samples, {total}, {shards} shards; {', '.join(kinds)}"),
        ("query", f"view {outcome.view_id}, {outcome.view_samples:,} samples in {outcome.query_seconds * 1000:.0f} ms"),
        ("training", f"{TASK} on {WORLDS[0]} processes, killed, resumed on {WORLDS[1]}; {speed}"),
        ("loss", f"{outcome.loss_first:.3f} → {outcome.loss_last:.3f}"),
        ("accuracy", f"{outcome.accuracy:.1%} on a held-out well; always naming the majority: {outcome.baseline:.1%}"),
        ("delivery", told(outcome.verdict)),
    )  # fmt: skip
    return "\n".join(["", *(f"[bold]{name:9}[/] {text}" for name, text in rows)])


def _next_commands(url: str) -> str:
    path = url.removeprefix("file://")
    commands = (
        f"ropeway ls --store {path}",
        f"ropeway show pbmc68k --store {path}",
        f"ropeway query --store {path} --task cell-type --by split --by label",
        f"ropeway stream --store {path} --dataset pbmc68k --batch-size 64 --epochs 20",
        f"ropeway verify --store {path}",
        f"ropeway serve --store {path}",
    )
    return "\n".join(["", "The store is yours to explore:", *(f"  {command}" for command in commands)])


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="ropeway-demo-") as scratch:
            yield Path(scratch)
        return
    from ropeway.errors import UsageError

    try:
        keep.mkdir(parents=True, exist_ok=True)
        empty = not any(keep.iterdir())
    except OSError as error:
        raise UsageError(f"--keep {keep} can't be used: {error.strerror}; give a new folder") from error
    if not empty:
        raise UsageError(f"--keep {keep} is not empty: give a new folder")
    yield keep.absolute()


@contextmanager
def _store(backing: Backing, folder: Path) -> Iterator[str]:
    if backing is Backing.DIRECTORY:
        yield str(folder / "store")
        return
    import os

    from ropeway_shardgen.demo.seaweedfs import running

    with running(folder / "s3") as server:
        before = os.environ.copy()
        os.environ.update(server.environment())
        try:
            server.create_bucket("ropeway-demo")
            yield "s3://ropeway-demo/climb"
        finally:
            os.environ.clear()
            os.environ.update(before)
