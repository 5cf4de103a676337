"""Withdraws, compacts and erases in children, each killed (SIGKILL) at another step, and says what it left.

    python killed_steward.py FOLDER

Each line of the answer is JSON: the step, and the keys, problems and digests of the store after the kill; then the
digests after the same command was run again. The last line is that of the child which was not killed.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lifecycles
import tiny_store
from ropeway.errors import RopewayError
from ropeway.lifecycle import Named, compact, erase, planned, withdraw
from ropeway.stores import LocalStore
from ropeway.verify import verify

GONE = ["s1", "s20", "s21", "s22", "s23"]
"""Of one shard a part, of another one all."""

CHANGES = ("put", "create", "swap", "delete", "writing")


def life(store: LocalStore) -> None:
    withdraw(store, lifecycles.DATASET, Named(GONE))
    compact(store, lifecycles.DATASET)
    erase(store, lifecycles.DATASET, planned(store, lifecycles.DATASET))


def deadly(store: LocalStore, steps: int) -> LocalStore:
    """A store that kills its process at the step after so many changes."""
    done = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            nonlocal done
            if done == steps:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return change(*arguments)

        return run

    for name in CHANGES:
        setattr(store, name, counted(getattr(store, name)))
    return store


def in_child(work: Callable[[], object]) -> bool:
    """Whether work in a forked child ended; an error of its own is no kill."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}, status
    return status == 0


def told(folder: Path, step: int) -> str:
    """What is there, as a child sees it: this process starts no threads, so that it may fork."""
    reading, writing = os.pipe()

    def look() -> None:
        store = LocalStore(folder)
        manifest = lifecycles.current(store)
        found: dict[str, Any] = {"step": step, "keys": sorted(lifecycles.indexed(store))}
        found["problems"] = verify(store, manifest).problems
        again = LocalStore(folder)
        life(again)
        found["problems"] += verify(again, lifecycles.current(again)).problems
        found["after"] = lifecycles.digests(again)
        found["traces"] = lifecycles.traces(again, set(GONE))
        os.write(writing, json.dumps(found).encode())

    assert in_child(look), "the same command again was killed"
    os.close(writing)
    with os.fdopen(reading) as answer:
        return answer.read()


def main(folder: Path) -> None:
    for step in range(1000):
        store = LocalStore(folder / str(step))
        tiny_store.build(store, lifecycles.DATASET, lifecycles.SAMPLES, per_shard=24)
        ended = in_child(lambda store=store, step=step: life(deadly(store, step)))  # type: ignore[misc]
        sys.stdout.write(told(store.root, step) + "\n")
        shutil.rmtree(store.root)
        if ended:
            return


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except RopewayError as error:
        sys.exit(str(error))
