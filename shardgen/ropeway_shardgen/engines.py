"""Which engine a person's choice of words means."""

from pathlib import Path

from ropeway.errors import UsageError
from ropeway_shardgen.engine import Engine, local_engine


def chosen(engine: str, workers: int, scheduler: str, cluster: Path | None, seconds: float) -> Engine:
    """The engine to pack with.

    Args:
        engine: `local` or `dask`.
        workers: processes of this machine, for `local`, and for `dask` where neither of the next two is given.
        scheduler: address of a Dask scheduler that runs already, or "".
        cluster: file that says how to launch one (`clusters.py`), or None.
        seconds: in which a worker must have read a raw file.

    Raises:
        UsageError: what was given does not go together, or the file cannot be used.
    """
    if engine == "local":
        if scheduler or cluster:
            raise UsageError("--scheduler and --cluster are for Dask: add --engine dask")
        return local_engine(workers, seconds)
    from ropeway_shardgen import clusters
    from ropeway_shardgen.engine_dask import dask_engine

    if scheduler and cluster:
        raise UsageError("--scheduler is a cluster that runs, --cluster launches one: give one of them")
    if scheduler:
        return dask_engine(clusters.running(scheduler), seconds)
    return dask_engine(clusters.launched(cluster) if cluster else clusters.local(workers), seconds)
