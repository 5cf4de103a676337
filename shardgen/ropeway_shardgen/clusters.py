"""Dask clusters to pack on: one that runs already, one of this machine, or one that is launched for this pack.

Launching is Dask's own: dask-jobqueue (Slurm, PBS, LSF, SGE), dask-kubernetes and distributed's SSH cluster, told by a
TOML file:

    kind = "slurm"
    workers = 16                 # asked for; shards are packed as soon as the first is there
    [options]                    # of dask_jobqueue.SLURMCluster
    queue = "cpu"
    cores = 1
    memory = "4GiB"
    walltime = "08:00:00"

Over SSH the first host named runs the scheduler, the others a worker each (or more: `n_workers`), by this Python:

    kind = "ssh"
    [options]                    # of distributed.SSHCluster
    hosts = ["node1", "node1", "node2"]
    worker_options = { n_workers = 4 }
    connect_options = { username = "packer", client_keys = ["/home/packer/.ssh/id_ed25519"] }    # of asyncssh.connect

On Kubernetes the Dask operator must be installed, and the image is one with `ropeway[shardgen,dask]`:

    kind = "kubernetes"
    workers = 16
    [options]                    # of dask_kubernetes.operator.KubeCluster
    image = "ropeway-packer:0.1.0"
    resources = { limits = { memory = "8Gi" } }
"""

import math
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from ropeway.decoders.libraries import require
from ropeway.errors import RopewayError, UsageError
from ropeway_shardgen.launching import Launch, launched_cluster

DaskClient: TypeAlias = Any
"""A `distributed.Client`. Its own types say coroutine for most of what it gives."""

_ANSWER = 10
"""Seconds in which a scheduler must answer."""

_PATIENCE = 60
"""Seconds to wait for a worker of a cluster that runs already; those of a batch system may queue for days."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, reached when it is needed.

    Attributes:
        connected: a client of it, with at least one worker; what was launched is ended with the context.
        patience: seconds to wait for workers when there is none.
    """

    connected: Callable[[], AbstractContextManager[DaskClient]]
    patience: float


def running(scheduler: str) -> Cluster:
    """A cluster that somebody runs, by its scheduler's address (`tcp://host:8786`)."""

    @contextmanager
    def connected() -> Iterator[DaskClient]:
        with _client(scheduler) as client:
            _wait_for_a_worker(client, _PATIENCE)
            yield client

    return Cluster(connected, _PATIENCE)


def local(workers: int) -> Cluster:
    """Worker processes of this machine under a scheduler of their own, on loopback."""

    @contextmanager
    def connected() -> Iterator[DaskClient]:
        distributed = require("distributed", "dask")
        with (
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                memory_limit=0,  # none: a sample takes what it takes
            ) as cluster,
            _client(cluster) as client,
        ):
            yield client

    return Cluster(connected, _PATIENCE)


def launched(file: Path) -> Cluster:
    """A cluster that is launched for one pack, as a file says.

    Raises:
        UsageError: the file cannot be read, or does not say how.
    """
    launch = _read(file)

    @contextmanager
    def connected() -> Iterator[DaskClient]:
        with ExitStack() as stack:
            try:
                cluster = stack.enter_context(launched_cluster(launch))
            except RopewayError as error:
                raise type(error)(f"cluster file {file}: {error}") from error
            client = stack.enter_context(_client(cluster))
            _wait_for_a_worker(client, None)
            yield client

    return Cluster(connected, math.inf)


def _read(file: Path) -> Launch:
    try:
        launch = msgspec.convert(tomllib.loads(file.read_text("utf-8")), Launch)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"cluster file {file}: {error}") from error
    if (launch.workers > 0) == (launch.kind == "ssh"):
        wanted = "options.hosts says how many" if launch.kind == "ssh" else "how many workers? (at least 1)"
        raise UsageError(f"cluster file {file}: workers = {launch.workers}: {wanted}")
    return launch


@contextmanager
def _client(where: Any) -> Iterator[DaskClient]:
    distributed = require("distributed", "dask")
    try:
        client = distributed.Client(where, timeout=_ANSWER)
    except (OSError, ValueError) as error:
        told = str(error).strip() or type(error).__name__
        raise RopewayError(f"no Dask scheduler answers at {where}: {told}") from error
    with client:
        yield client


def _wait_for_a_worker(client: DaskClient, timeout: float | None) -> None:
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError as error:
        address = client.scheduler.address if client.scheduler else ""
        raise RopewayError(
            f"no worker has joined the Dask scheduler within {timeout:.0f} s: start some with "
            f"`dask worker {address} --nthreads 1`"
        ) from error
