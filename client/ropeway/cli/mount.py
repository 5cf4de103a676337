"""`ropeway mount` and `unmount`: datasets as folders and files."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ropeway.cli import options
from ropeway.cli.output import stderr, stdout
from ropeway.errors import UsageError

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder.")]

_LOOK = 0.05
"""Seconds between two looks whether the daemon has mounted."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=options.EXPLORE)(mount)
    app.command(rich_help_panel=options.EXPLORE)(unmount)


def mount(  # noqa: PLR0913, PLR0917 - one argument per option
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A store (path or URL), a dataset in one, an index service, …/v1/views/VIEW of one; "
            "or with --store a dataset's id, or a view's id or name.",
        ),
    ],
    folder: Folder,
    store: options.StoreIfAny = None,
    task: options.Task = None,
    split: options.Split = None,
    where: options.Where = None,
    daemon: Annotated[
        bool, typer.Option("--daemon", help="Return once it is mounted, and go on in the background.")
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the daemon tells errors; else ~/.local/state/ropeway/mount.log."),
    ] = None,
    cache: options.Cache = None,
    cache_limit: options.CacheLimit = None,
    memory: Annotated[int, typer.Option(metavar="MIB", min=64, help="Memory that reading ahead may hold.")] = 512,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="After which a read that gets no answer fails with EIO.")
    ] = 60.0,
) -> None:
    """Mount datasets read-only: samples as files, by split, label and patient, beside the shards and a table.

    Nothing is unpacked: the index says where each file lies in its shard. Only you can see it; Ctrl-C ends it.
    """
    folder = folder.absolute()
    if daemon:
        _daemon(folder, log or _state() / "mount.log")
        return
    if log is not None:
        raise UsageError("without --daemon errors are told here: leave --log out, or add --daemon")
    from ropeway.mount.signals import Ending

    ending = Ending()
    from ropeway.mount.serving import check_folder, serve
    from ropeway.mount.source import Named, open_source
    from ropeway.mount.stretches import Stretches
    from ropeway.mount.tree import Tree
    from ropeway.query import Query

    disk = options.disk_cache(cache, cache_limit)
    check_folder(folder)
    _tell()
    found = open_source(Named.parse(source, store), Query(task=task, split=split, where=where), disk)
    tree = Tree(found, Stretches(memory << 20, deadline), disk, deadline)
    serve(tree, folder, ending, lambda: _told(source, folder))
    os._exit(0)  # threads may be in reads of a dead store for a minute still, and nothing is left to be tidied up


def unmount(folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `ropeway mount` mounted on.")]) -> None:
    """Unmount, also what a killed process left."""
    from ropeway.mount.serving import unmount

    unmount(folder.absolute())


def _tell() -> None:
    """Tell on stderr what goes wrong; of our own words alone, since libraries tell every try."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.getLogger("ropeway").addHandler(handler)


def _told(source: str, folder: Path) -> None:
    told = f"mounted {source} on {folder}: end it with Ctrl-C or `ropeway unmount {folder}`"
    stderr.print(told, markup=False, soft_wrap=True)


def _daemon(folder: Path, log: Path) -> None:
    """Run this command again in a process of its own, and wait until it has mounted.

    Raises:
        typer.Exit: it failed; it has said why.
    """
    from ropeway.mount.serving import check_folder

    check_folder(folder)
    with _opened(log) as file:
        before = file.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "ropeway.cli", *_again(sys.argv[1:])], stdin=subprocess.DEVNULL, stdout=file,
            stderr=file, start_new_session=True,
        )  # fmt: skip
    while not folder.is_mount():
        if process.poll() is not None:
            sys.stderr.write(log.read_bytes()[before:].decode(errors="replace"))
            raise typer.Exit(1)
        time.sleep(_LOOK)
    stdout.print(f"mounted on {folder} by process {process.pid}, which tells errors in {log}", markup=False,
                 soft_wrap=True)  # fmt: skip


def _opened(log: Path) -> BinaryIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise UsageError(f"the log can't be written: {error.strerror}", url=log.absolute().as_uri()) from error


def _again(words: Sequence[str]) -> list[str]:
    """A command line without what makes it a daemon's."""
    again, rest = [], iter(words)
    for word in rest:
        if word == "--log":
            next(rest)
        elif word != "--daemon" and not word.startswith("--log="):
            again.append(word)
    return again


def _state() -> Path:
    """Where programs keep their logs, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "ropeway"
