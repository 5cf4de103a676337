"""Whether the workers of a cluster can pack: they need the same software, the raw folder, and the same store."""

import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ropeway.errors import NotFound, StoreError, UsageError
from ropeway.publishing import software
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.clusters import DaskClient
from ropeway_shardgen.planned import PlannedShard
from ropeway_shardgen.shard import Job


class Sight(NamedTuple):
    """What every worker must see as the driver does; of plain types, for workers with other software to read."""

    software: str
    python: str
    root: str
    file: str
    size: int


def check_workers(client: DaskClient, job: Job, shard: PlannedShard) -> None:
    """Ask the scheduler, which reads tasks too, and each worker that is there now, before anything is packed.

    Raises:
        UsageError: one of them has other software, or a worker does not see the raw folder or the store.
    """
    _check_scheduler(client)
    sample = next(iter(shard.samples))
    file = next((path for path in sample.files.values() if path), "")
    size = (job.root / file).stat().st_size
    sight = Sight(software(), _python(), str(job.root), file, size)
    with _marked(job) as (path, mark):
        answers = client.run(look, sight, job.store, path, mark, on_error="return")
    blind = {worker: answer for worker, answer in sorted(answers.items()) if answer is not None}
    for worker, answer in blind.items():
        # What the worker could not even read comes as an error, or as the text of one.
        lacks = "ModuleNotFoundError" in repr(answer)
        problem = f"it lacks what packing needs: install {software()} there ({answer})" if lacks else str(answer)
        raise UsageError(f"{len(blind)} of {len(answers)} Dask workers cannot pack; {worker}: {problem}")


def _check_scheduler(client: DaskClient) -> None:
    try:
        there = client.run_on_scheduler(software)
    except ImportError as error:
        there = f"not what packing needs ({error})"
    if there != software():
        raise UsageError(f"the Dask scheduler's host has {there}, the driver {software()}: install the same there")


@contextmanager
def _marked(job: Job) -> Iterator[tuple[str, bytes]]:
    """A small object in the store, for as long as workers are to look whether they see the same store."""
    mark = secrets.token_hex(8)
    path = f"{sidecar.folder(job.recipe.id, job.version)}/seen-{mark}"
    job.store.put(path, mark.encode())
    try:
        yield path, mark.encode()
    finally:
        job.store.delete(path)


def look(sight: Sight, store: Store, path: str, mark: bytes) -> str | None:
    """Run on a worker: what keeps it from packing, in words, or None."""
    try:
        return _software(sight) or _raw_folder(sight) or _store(store, path, mark)
    except (OSError, StoreError) as error:
        return str(error)


def _software(sight: Sight) -> str | None:
    for what, own, wanted in (("", software(), sight.software), ("Python ", _python(), sight.python)):
        if own != wanted:
            return f"it has {what}{own}, the driver {what}{wanted}; install the same"
    return None


def _raw_folder(sight: Sight) -> str | None:
    file = Path(sight.root, sight.file)
    if not file.exists():
        return f"it does not see the raw file {file}; mount the raw folder there under the same path"
    if file.is_file() and file.stat().st_size != sight.size:
        return f"its raw file {file} is another one ({file.stat().st_size} bytes, the driver's {sight.size})"
    return None


def _store(store: Store, path: str, mark: bytes) -> str | None:
    try:
        seen = store.load(path)[0] == mark
    except NotFound:
        seen = False
    return None if seen else f"its store {store.url} is not the driver's; give a store that all hosts share"


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])
