"""`ropeway serve` as a process of its own."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Served:
    """A running service: where it answers, and the file of its log."""

    url: str
    log: Path
    process: "subprocess.Popen[str]"


@contextmanager
def served(
    store: str, database: str, log: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """A service that answers, and is ended with the context if it has not been before."""
    command = [sys.executable, "-m", "ropeway.cli", "serve", "--store", store, "--database", database, "--port", "0"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
    assert process.stdout is not None
    try:
        told = process.stdout.readline()
        assert " at http" in told, f"{told}{log.read_text()}"
        yield Served(told.partition(" at ")[2].split()[0], log, process)
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.stdout.close()
