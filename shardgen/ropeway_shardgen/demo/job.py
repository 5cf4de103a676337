"""The demo's training under torchrun, and what it said when it failed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from ropeway_shardgen.demo.train import TrainPlan

_TOLD = 30
"""Lines that are told of a rank that failed."""


def start(plan: TrainPlan, processes: int) -> int:
    """Run the job on that many processes; its exit status. What each rank says goes to files of its own."""
    folder = Path(plan.folder)
    place = folder / f"plan-{plan.attempt}.json"
    place.write_bytes(msgspec.json.encode(plan))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", str(processes)),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"),
        *("--redirects", "3", "--log-dir", str(folder / f"ranks-{plan.attempt}")),
        *("-m", "ropeway_shardgen.demo.train", str(place)),
    ]
    told = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONFAULTHANDLER": "1"}
    with _log(plan).open("w") as log:
        return subprocess.run(command, stdout=log, stderr=log, env=os.environ | told, check=False).returncode


def why_failed(plan: TrainPlan) -> str:
    """The end of what the rank said that failed first, as torchrun's own log names it; else the end of that log."""
    text = _log(plan).read_text(errors="replace")
    cause = re.search(r"Root Cause.*?local_rank: (\d+).*?exitcode\s*: (-?\d+)", text, re.DOTALL)
    if cause is None:
        return "\n".join(_lines(text))
    rank, code = cause.groups()
    logs = Path(plan.folder).glob(f"ranks-{plan.attempt}/*/attempt_*/{rank}/stderr.log")
    said = [line for place in logs for line in _lines(place.read_text(errors="replace"))]
    return "\n".join([f"rank {rank} ended with {code}, and said last:", *(said or ["nothing"])])


def _log(plan: TrainPlan) -> Path:
    return Path(plan.folder) / f"train-{plan.attempt}.log"


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()][-_TOLD:]
