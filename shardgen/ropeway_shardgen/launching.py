"""Launching a Dask cluster by its own launchers, as a file says, with what they need here and leave to chance.

dask-jobqueue starts one on Slurm, PBS, LSF and SGE, dask-kubernetes by its operator, distributed over SSH.
"""

import logging
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeAlias

import msgspec

from ropeway.decoders.libraries import require
from ropeway.errors import UsageError

Kind: TypeAlias = Literal["slurm", "pbs", "lsf", "sge", "kubernetes", "ssh"]

_LAUNCHERS = {
    "slurm": ("dask_jobqueue", "SLURMCluster"),
    "pbs": ("dask_jobqueue", "PBSCluster"),
    "lsf": ("dask_jobqueue", "LSFCluster"),
    "sge": ("dask_jobqueue", "SGECluster"),
    "kubernetes": ("dask_kubernetes.operator", "KubeCluster"),
    "ssh": ("distributed", "SSHCluster"),
}
"""Kind → module and class."""

_ORPHANED = 600
"""Seconds after which a scheduler on another host ends, and its workers with it, when its pack was killed."""

_FORSAKEN = 60
"""Seconds in which a worker must find its scheduler, or end: one whose cluster failed to start has none, and an SSH
server that runs without privilege separation, as it does for root, passes no signals on."""

_CONNECT = 20
"""Seconds in which a host must let us in over SSH."""

_SSH: dict[str, Any] = {
    "connect_options": {"connect_timeout": _CONNECT},
    "scheduler_options": {"idle_timeout": _ORPHANED},
    "worker_options": {"nthreads": 1, "death_timeout": _FORSAKEN},
    "silence_logs": logging.ERROR,  # what goes wrong is told by the error
}
_KUBERNETES = {"idle_timeout": _ORPHANED, "worker_command": "dask worker --nthreads 1"}
"""Options where the file says nothing else."""

_IN_SPEC = ("image", "resources", "env", "worker_command", "scheduler_service_type", "idle_timeout")
"""Options of KubeCluster that are of the resource it posts."""


class Launch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A cluster file."""

    kind: Kind
    workers: int = 0
    """How many are asked for; not for SSH, where every host named has one."""
    options: dict[str, Any] = {}


@contextmanager
def launched_cluster(launch: Launch) -> Iterator[Any]:
    """A new cluster, with workers asked for, which ends with the context.

    Raises:
        UsageError: a library is missing, or it cannot be launched; the message says why.
    """
    module, name = _LAUNCHERS[launch.kind]
    launcher = getattr(require(module, "dask"), name)
    with ExitStack() as stack:
        try:
            if launch.kind == "kubernetes":
                _find_operator(launch.options.get("namespace"))
            cluster = stack.enter_context(launcher(**_options(launch)))
            if launch.kind not in ("ssh", "kubernetes"):  # those are told when they are made
                cluster.scale(launch.workers)
        except Exception as error:  # launchers raise what they like, asyncssh's and kr8s's errors among them
            raise UsageError(f"{name} cannot be launched: {_why(launch, error)}") from error
        yield cluster


def _options(launch: Launch) -> dict[str, Any]:
    if launch.kind == "ssh":
        return _ssh_options(launch.options)
    if launch.kind == "kubernetes":
        return _kubernetes_options(launch.options, launch.workers)
    return launch.options


def _ssh_options(given: dict[str, Any]) -> dict[str, Any]:
    options = dict(given)
    for name, preset in _SSH.items():
        told = options.setdefault(name, preset)
        if isinstance(told, dict):
            options[name] = preset | told
    if options.get("hosts"):
        options["scheduler_options"] = _reached_at(str(options["hosts"][0])) | options["scheduler_options"]
    return options


def _reached_at(host: str) -> dict[str, str]:
    """Where the scheduler listens: at the address by which it is reached from here.

    Left to itself it takes the one that its host would reach the internet from, and where there is no such way, the
    one of its own name, which is often a loopback's. An alias that only SSH knows is left to itself.
    """
    try:
        return {"host": socket.gethostbyname(host)}
    except OSError:
        return {}


def _find_operator(namespace: str | None) -> None:
    """Ask for the operator's resources, before a KubeCluster is made: one that fails tells more at the exit."""
    logging.getLogger("dask_kubernetes").setLevel(logging.ERROR)  # what goes wrong is told by the error
    kr8s = require("kr8s", "dask")
    resource = require("kr8s.objects", "dask").new_class("DaskCluster", "kubernetes.dask.org/v1")
    try:
        list(resource.list(namespace=namespace))
    except kr8s.ServerError as error:
        if error.response is None or error.response.status_code != 404:
            raise
        raise UsageError("the Dask operator is not installed on this Kubernetes") from error


def _kubernetes_options(given: dict[str, Any], workers: int) -> dict[str, Any]:
    """With the resource made here: KubeCluster's calls `dask-scheduler`, which distributed no longer has."""
    options = {"quiet": True, **given}  # it draws on standard output else
    if "custom_cluster_spec" in options:
        return options
    name = options.pop("name", f"ropeway-{secrets.token_hex(4)}")
    told = _KUBERNETES | {option: options.pop(option) for option in _IN_SPEC if option in options}
    spec = require("dask_kubernetes.operator", "dask").make_cluster_spec(name, n_workers=workers, **told)
    for role in ("scheduler", "worker"):
        (container,) = spec["spec"][role]["spec"]["containers"]
        for empty in [field for field, value in container.items() if value is None]:
            del container[empty]
        # As arguments they would go to the image's own entry point, `ropeway` in deploy/Dockerfile.
        container["command"] = container.pop("args")
    scheduler = spec["spec"]["scheduler"]["spec"]["containers"][0]
    scheduler["command"][:1] = ["dask", "scheduler"]
    return {**options, "custom_cluster_spec": spec}


def _why(launch: Launch, error: Exception) -> str:
    """What a launcher's error means, with what it leaves out."""
    told = str(error).strip() or type(error).__name__
    if launch.kind != "ssh":
        return told
    if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
        told = f"no answer in time over SSH ({told})"
    elif "Worker failed to start" in told:  # the scheduler's error too
        told += f"; each host needs ropeway[dask] for {launch.options.get('remote_python', sys.executable)}"
    return f"{told} [hosts {', '.join(dict.fromkeys(map(str, launch.options.get('hosts', []))))}]"
