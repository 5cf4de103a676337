"""A job over several hosts loses one and goes on at other sizes; and whoever launches it, the shares are the same."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import msgspec
import pytest

import hosts_job
import ropeway
from hosts import DEVICE, Host, NoHosts, hosts, publish, serving
from hosts_job import EPOCHS, GLOBAL_BATCH, SEED, Plan
from ropeway_shardgen.demo.proof import prove

JOB = hosts_job.__file__
PORT = 29400  # every namespace has all its ports to itself
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_", "OMPI_", "PMI_", "MASTER_", "TORCHELASTIC_")


@contextmanager
def launched(
    plan: Plan, where: Sequence[Host], per_host: int, backend: str
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """The job under one torchrun on each host."""
    place = Path(plan.folder) / f"plan-{plan.attempt}.json"
    place.write_bytes(msgspec.json.encode(plan))
    with ExitStack() as stack:
        started = []
        for number, host in enumerate(where):
            command = [
                *(sys.executable, "-m", "torch.distributed.run", "--nnodes", str(len(where))),
                *("--nproc-per-node", str(per_host), *rendezvous(backend, where, number), JOB, "stream", str(place)),
            ]
            environment = {**bare(), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": DEVICE}
            log = stack.enter_context((Path(plan.folder) / f"torchrun-{plan.attempt}-{number}.log").open("w"))
            process = subprocess.Popen(host.command(*command), stdout=log, stderr=log, env=environment)
            stack.callback(process.wait)
            stack.callback(host.kill)
            started.append(process)
        yield started


def rendezvous(backend: str, where: Sequence[Host], number: int) -> list[str]:
    first = where[0].address
    if backend == "static":
        return ["--node-rank", str(number), "--master-addr", first, "--master-port", str(PORT)]
    return [
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{first}:{PORT}", "--rdzv-id", "job"),
        *("--rdzv-conf", f"is_host={int(number == 0)}", "--local-addr", where[number].address),
    ]


def bare() -> dict[str, str]:
    """The environment without what a launcher of these tests may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHED)}


def steps(log: Path) -> list[tuple[int, int, list[str]]]:
    """The complete lines of a rank's log."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    read = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(step["epoch"], step["position"], step["keys"]) for step in read]


def wait_for_stop(plan: Plan, world: int, started: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Until every rank has been given the batch at which some wait to be killed."""
    until = monotonic() + 60
    while not all(plan.stop_at in [step[:2] for step in steps(plan.log(rank))] for rank in range(world)):
        assert all(process.poll() is None for process in started), told(plan)
        assert monotonic() < until, told(plan)
        sleep(0.02)


def told(plan: Plan) -> str:
    logs = sorted(Path(plan.folder).glob(f"torchrun-{plan.attempt}-*.log"))
    return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in logs)


@pytest.mark.xdist_group("hosts")
def test_a_lost_host(tmp_path: Path) -> None:
    """2 hosts × 2 ranks lose the host of rank 0 and the rendezvous; 1 host × 3 ranks is lost too; 2 × 1 finish."""
    with ExitStack() as stack:
        try:
            a, b, third = stack.enter_context(hosts(3))
        except NoHosts as reason:
            pytest.skip(str(reason))
        storage, service = stack.enter_context(serving(third, tmp_path))
        first = Plan(service=service, folder=str(tmp_path), attempt=0, stop_at=(0, 60), stopping=(0, 1))
        with launched(first, [a, b], 2, "static") as started:
            wait_for_stop(first, 4, started)
            a.kill()
            assert started[1].wait(timeout=15) == 1, told(first)  # not: hang in a sum that never ends
        saved = [json.loads(first.checkpoint.read_text())]

        second = Plan(service=service, folder=str(tmp_path), attempt=1, stop_at=(0, 132), stopping=(0, 1, 2))
        with launched(second, [b], 3, "static") as started:
            wait_for_stop(second, 3, started)
            b.kill()
        saved.append(json.loads(second.checkpoint.read_text()))

        third_start = Plan(service=service, folder=str(tmp_path), attempt=2)
        with launched(third_start, [a, b], 1, "c10d") as started:
            assert [process.wait(timeout=60) for process in started] == [0, 0], told(third_start)

    resumed_at = [(state["epoch"], state["position"]) for state in saved]
    assert resumed_at == [(0, 48), (0, 120)]
    publish(str(tmp_path / "twin"))
    view = hosts_job.view_of(ropeway.connect(str(tmp_path / "twin")))
    plans, worlds = [first, second, third_start], [4, 3, 2]
    logs = [[plan.log(rank) for rank in range(world)] for plan, world in zip(plans, worlds, strict=True)]
    verdict = prove(logs, resumed_at, view.table().keys.to_pylist(), EPOCHS)
    assert verdict.exactly_once, verdict
    assert verdict.delivered == view.samples * EPOCHS
    assert verdict.taken_back == 2 * GLOBAL_BATCH  # one step after each checkpoint

    expected = whole_batches(view)
    for attempt in logs:
        for shares in zip(*map(steps, attempt), strict=True):
            assert len({share[:2] for share in shares}) == 1
            epoch, position, _ = shares[0]
            assert sorted(key for share in shares for key in share[2]) == expected[epoch, position]
    for rank in range(worlds[-1]):
        peers = json.loads(third_start.peers(rank).read_text())
        assert {storage, service} <= set(peers), peers  # bytes by presigned URLs, not through the service


def whole_batches(view: ropeway.View) -> dict[tuple[int, int], list[str]]:
    """The keys of the job's global batches, from one process that nobody interrupts."""
    loader = ropeway.StreamingLoader(
        view, global_batch_size=GLOBAL_BATCH, seed=SEED, tail="pad", parts=[], rank=0, world_size=1
    )
    found = {}
    for epoch in range(EPOCHS):
        for batch in loader:
            keys = [key for key, real in zip(batch["__key__"], batch["__mask__"].tolist(), strict=True) if real]
            found[epoch, int(loader.state_dict()["position"])] = sorted(keys)
    return found


RANKS = range(2)
LAUNCHERS: Mapping[str, list[dict[str, str]]] = {
    "srun": [{"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"} for rank in RANKS],
    "Open MPI": [{"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "2"} for rank in RANKS],
    "MPICH": [{"PMI_RANK": str(rank), "PMI_SIZE": "2"} for rank in RANKS],
    # srun starts one torchrun on each host: that host's number is nobody's rank
    "torchrun": [{"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}],
    "arguments": [{"RANK": "5", "WORLD_SIZE": "6"} for _ in RANKS],  # what is said outranks what is found
}


@pytest.mark.xdist_group("hosts")
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_gives_the_same_shares(launcher: str, tmp_path: Path) -> None:
    publish(str(tmp_path / "store"))
    shared = tmp_path / "shares"
    shared.mkdir()
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started = []
    for rank, variables in enumerate(LAUNCHERS[launcher]):
        command = [sys.executable, *(torchrun if launcher == "torchrun" else [])]
        command += [JOB, "share", str(tmp_path / "store"), str(shared)]
        command += [str(rank), "2"] if launcher == "arguments" else []
        started.append(subprocess.Popen(command, env={**bare(), **variables, "OMP_NUM_THREADS": "1"}))
    assert [process.wait(timeout=60) for process in started] == [0] * len(started)
    found = [json.loads((shared / f"{rank}.json").read_text()) for rank in RANKS]
    assert found == [hosts_job.shares(str(tmp_path / "store"), rank, 2) for rank in RANKS]
    whole = hosts_job.shares(str(tmp_path / "store"), 0, 1)
    assert [sorted(a + b) for a, b in zip(*found, strict=True)] == [sorted(batch) for batch in whole]
