"""`ropeway adopt`: WebDataset tars that lie anywhere become a dataset, without being copied."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.output import size, stderr, stdout

if TYPE_CHECKING:
    from ropeway.adopt import Adopted
    from ropeway.adopt.rules import Rules
    from ropeway.manifest import SplitName

_OF_SPLIT = re.compile(r"(train|valid|test)=(.+)", re.DOTALL)
_OF_NAME = re.compile(r"([a-z][a-z0-9_-]*)=(.+)", re.DOTALL)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.STEWARD)(adopt)


def adopt(  # noqa: PLR0913, PLR0917 - one argument per option
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new dataset's id.")],
    shards: Annotated[
        list[str],
        typer.Option(
            metavar="PATTERN",
            help="The tars: 'dir/*.tar', 's3://bucket/x-{000..999}.tar', 'https://…'; of another split: 'valid=…' "
            "(may be repeated).",
        ),
    ],
    store: options.OwnStore,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="The split of patterns that name none.")] = "train",
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML: parts, tasks, metadata, card (ropeway.adopt.rules).")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=FROM", help="A task: 'digit=cls', 'finding=json.label' (may be repeated)."),
    ] = None,
    meta: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=FROM", help="Metadata: 'age=json.age' (may be repeated).")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Where keys repeat from shard to shard: '{shard}/{key}'.")
    ] = None,
    headers: Annotated[
        bool, typer.Option("--headers", help="Read headers alone: less traffic, and no checksums to find damage by.")
    ] = False,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave broken shards out, and count them.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that read shards; by default one per core.", show_default=False)
    ] = None,
    json: options.Json = False,
) -> None:
    """Make a dataset of WebDataset tars that stay where they are.

    Each byte is read once, for the checksums, unless --headers says otherwise. An adoption that was stopped goes on
    when the same command is run again. Broken tars are named, with the sample and what is wrong. Exit status 1 when one
    is broken and not skipped.
    """
    from ropeway.adopt import HEADERS, THROUGH, Broken
    from ropeway.adopt import adopt as begin
    from ropeway.stores import open_store

    wanted = _rules(rules, task or [], meta or [], key)
    with output.byte_progress() as progress:
        bar = progress.add_task(name, total=None)
        try:
            done = begin(
                open_store(store), name, _patterns(shards, split), wanted,
                manner=HEADERS if headers else THROUGH, skip_broken=skip_broken, processes=processes,
                listed=lambda total: progress.update(bar, total=total),
                advance=lambda count: progress.advance(bar, count),
            )  # fmt: skip
        except Broken as error:
            for problem in error.problems:
                stderr.print(f"  {problem}", markup=False, soft_wrap=True)
            raise
    if json:
        output.print_json(_figures(done))
    else:
        _tell(done)


def _patterns(shards: Sequence[str], split: str) -> "dict[SplitName, list[str]]":
    from ropeway.errors import UsageError
    from ropeway.manifest import SPLITS

    if split not in SPLITS:
        raise UsageError(f"no split {split!r}; there is: {', '.join(SPLITS)}")
    found: dict[SplitName, list[str]] = {}
    for pattern in shards:
        named = _OF_SPLIT.fullmatch(pattern)
        where, one = named.groups() if named else (split, pattern)
        found.setdefault(next(each for each in SPLITS if each == where), []).append(one)
    return found


def _rules(file: Path | None, tasks: Sequence[str], meta: Sequence[str], key: str | None) -> "Rules":
    """The rules of the file, with those of the options added."""
    import msgspec

    from ropeway.adopt.rules import MetaRules, Rules, TaskRules, load

    base = load(file) if file else Rules()
    return msgspec.structs.replace(
        base,
        key=base.key if key is None else key,
        tasks={**base.tasks, **{name: TaskRules(from_=place) for name, place in _named(tasks).items()}},
        meta={**base.meta, **{name: MetaRules(from_=place) for name, place in _named(meta).items()}},
    )


def _named(options: Sequence[str]) -> dict[str, str]:
    """What options of the form NAME=FROM say."""
    from ropeway.errors import UsageError

    found: dict[str, str] = {}
    for option in options:
        named = _OF_NAME.fullmatch(option)
        if not named:
            raise UsageError(f"not NAME=FROM: {option!r} (such as age=json.age)")
        if named[1] in found:
            raise UsageError(f"{named[1]!r} is given twice: {found[named[1]]!r} and {named[2]!r}")
        found[named[1]] = named[2]
    return found


def _figures(done: "Adopted") -> dict[str, object]:
    manifest = done.manifest
    return {
        "dataset": manifest.dataset, "version": manifest.version, "samples": manifest.samples,
        "shards": len(manifest.shards), "bytes": manifest.bytes, "parts": [part.name for part in manifest.parts],
        "tasks": [task.id for task in manifest.tasks], "read": done.read, "requests": done.requests,
        "seconds": done.seconds, "kept": done.kept, "ignored": done.ignored, "broken": done.broken,
        "withdrawn_subjects": done.withdrawn,
    }  # fmt: skip


def _tell(done: "Adopted") -> None:
    manifest = done.manifest
    stdout.print(f"[bold]{manifest.dataset}[/] version {manifest.version}: {manifest.samples:,} samples in "
                 f"{len(manifest.shards):,} shards, {size(manifest.bytes)}, which stay where they are")  # fmt: skip
    table = output.table("part", "kind", "format", "samples>")
    for part in manifest.parts:
        table.add_row(part.name, part.kind, part.format, f"{part.samples:,}")
    stdout.print(table)
    for task in manifest.tasks:
        stdout.print(f"task {task.id}: {task.type}, {len(task.classes)} classes", markup=False)
    fresh = sum(shard.bytes for shard in manifest.shards) if not done.kept else 0
    per_gb = f", {done.seconds / fresh * 1e9:.1f} s/GB" if done.read and fresh > 1e8 else ""
    over = f" in {done.requests:,} requests" if done.requests else ""
    stdout.print(f"read {size(done.read)}{over} of {size(manifest.bytes)}, {done.seconds:.1f} s{per_gb}")
    if done.kept:
        stdout.print(f"{done.kept:,} shards had been read before")
    if done.ignored:
        stdout.print(f"{done.ignored:,} members belong to no sample")
    if done.withdrawn:
        stdout.print(f"{done.withdrawn:,} withdrawn subjects are not in the current version, which is a later one")
    for shard, problems in done.broken.items():
        stdout.print(f"left out {shard}:", markup=False, soft_wrap=True)
        for problem in problems:
            stdout.print(f"  {problem}", markup=False, soft_wrap=True)
