"""The jobs of `test_hosts.py`: `python hosts_job.py stream PLAN.json`, under torchrun, and `… share STORE FOLDER`."""

import json
import signal
import socket
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.distributed as dist

import ropeway
from ropeway.catalog import Catalog
from ropeway.world import World, detect

GLOBAL_BATCH, SEED, EPOCHS, CHECKPOINT_EVERY = 12, 7, 2, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One start of the job.

    Attributes:
        service: URL of the index service.
        folder: where state and logs go; every host sees it.
        attempt: number of this start, from 0.
        stop_at: epoch and position at which some ranks stop and wait to be killed.
        stopping: those ranks.
    """

    service: str
    folder: str
    attempt: int
    stop_at: tuple[int, int] = (-1, -1)
    stopping: tuple[int, ...] = ()

    @property
    def checkpoint(self) -> Path:
        return Path(self.folder) / "checkpoint.json"

    def log(self, rank: int) -> Path:
        return Path(self.folder) / f"keys-{self.attempt}-{rank}.jsonl"

    def peers(self, rank: int) -> Path:
        return Path(self.folder) / f"peers-{self.attempt}-{rank}.json"


def view_of(catalog: Catalog) -> ropeway.View:
    return catalog.query(task="cls", split="train", where="age < 80")


def stream(plan: Plan) -> None:
    """Stream the view from the last checkpoint on; every step ends with a sum over all ranks, as in training."""
    peers: set[str] = set()
    sys.addaudithook(lambda event, given: _note(peers, given) if event == "socket.connect" else None)
    dist.init_process_group("gloo", timeout=timedelta(minutes=10))
    rank = dist.get_rank()
    view = view_of(ropeway.connect(plan.service))
    loader = ropeway.StreamingLoader(view, global_batch_size=GLOBAL_BATCH, seed=SEED, tail="pad", parts=["x"])
    if plan.checkpoint.exists():
        loader.load_state_dict(json.loads(plan.checkpoint.read_text()))
    with plan.log(rank).open("w") as log:
        while loader.epoch < EPOCHS:
            epoch = loader.epoch
            for batch in loader:
                state = loader.state_dict()
                position = int(state["position"])
                keys = [key for key, real in zip(batch["__key__"], batch["__mask__"].tolist(), strict=True) if real]
                assert batch["x"][:, 0, 0].tolist() == [int(key[1:]) for key in batch["__key__"]]
                log.write(json.dumps({"epoch": epoch, "position": position, "keys": keys}) + "\n")
                log.flush()
                if plan.stop_at == (epoch, position) and rank in plan.stopping:
                    signal.pause()
                dist.all_reduce(torch.tensor(len(keys)))
                if rank == 0 and position % (CHECKPOINT_EVERY * GLOBAL_BATCH) == 0:
                    _save(plan.checkpoint, state)
    plan.peers(rank).write_text(json.dumps(sorted(peers)))
    dist.destroy_process_group()


def _note(peers: set[str], given: tuple[Any, ...]) -> None:
    connection, address = given
    if connection.family == socket.AF_INET:
        peers.add(f"http://{address[0]}:{address[1]}")


def _save(path: Path, state: dict[str, int | str]) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(state))
    scratch.replace(path)


def shares(store: str, rank: int | None = None, world_size: int | None = None) -> list[list[str]]:
    """The keys of each step that a rank is given; without a rank, the one that the launcher says."""
    loader = ropeway.StreamingLoader(
        view_of(ropeway.connect(store)), global_batch_size=GLOBAL_BATCH, seed=SEED, parts=[], rank=rank,
        world_size=world_size,
    )  # fmt: skip
    return [batch["__key__"] for batch in loader]


def share(store: str, folder: str, *given: str) -> None:
    """Write this process's share to the folder, under its rank."""
    world = World(*map(int, given)) if given else detect()
    kept = shares(store, world.rank, world.size) if given else shares(store)
    (Path(folder) / f"{world.rank}.json").write_text(json.dumps(kept))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "stream":
        stream(msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=Plan))
    else:
        share(*sys.argv[2:])
