"""A Dask cluster over hosts, and packs on it, each a process that can be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hosts import Host
from ropeway.stores import LocalStore

PORT = 8786  # every namespace has all its ports to itself
DASK = [sys.executable, "-m", "dask"]
QUIET = {**os.environ, "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false"}


def scheduler(host: Host) -> list[str]:
    return host.command(*DASK, "scheduler", "--host", host.address, "--port", str(PORT), "--no-dashboard")


def worker(host: Host, at: Host) -> list[str]:
    quick = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--death-timeout", "20"]
    return host.command(*DASK, "worker", address(at), "--host", host.address, "--name", host.address, *quick)


def address(at: Host) -> str:
    return f"tcp://{at.address}:{PORT}"


@contextmanager
def processes(folder: Path, commands: Sequence[Sequence[str]]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes of a cluster, killed at the end."""
    with ExitStack() as stack:
        started = []
        for number, command in enumerate(commands):
            log = stack.enter_context((folder / f"dask-{number}.log").open("a"))
            process = subprocess.Popen(command, stdout=log, stderr=log, env=QUIET, cwd=folder)
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(process)
        yield started


class Pack:
    """`ropeway pack --engine dask` in a process of its own."""

    def __init__(self, host: Host, at: Host, raw: Path, store: LocalStore) -> None:
        words = ["pack", "tiny.toml", "--root", str(raw), "--store", str(store.root), "--shard-size", "20kB", "--json"]
        words += ["--engine", "dask", "--scheduler", address(at)]
        command = host.command(sys.executable, "-m", "ropeway.cli", *words)
        self.store = store
        self.process = subprocess.Popen(
            command, cwd=raw.parent, env=QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def answer(self) -> dict[str, Any]:
        """The summary of a pack that succeeds."""
        out, err = self.process.communicate(timeout=150)
        assert self.process.returncode == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    def failure(self) -> str:
        """What one that fails says."""
        out, err = self.process.communicate(timeout=150)
        assert self.process.returncode == 1, out + err
        return err

    def wait_for(self, shards: int) -> None:
        """Until so many shards are finished."""
        self._until(lambda: len(finished(self.store)) >= shards)

    def kill(self) -> dict[str, str]:
        """Kill the packer the hard way; the shards that were finished then."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        return finished(self.store)

    def _until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 150
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate())
            assert time.monotonic() < until
            time.sleep(0.005)


def finished(store: LocalStore) -> dict[str, str]:
    """Path → tag of the shards that have a sidecar."""
    stats = {stat.path: stat.tag for stat in store.objects()}
    sidecars = [
        path.removesuffix(".parquet").replace(".packing/", "") for path in stats if path.endswith(".tar.parquet")
    ]
    return {path: stats[path] for path in sidecars if path in stats}


def tags(store: LocalStore) -> dict[str, str]:
    return {stat.path: stat.tag for stat in store.objects()}
