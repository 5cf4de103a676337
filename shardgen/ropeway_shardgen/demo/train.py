"""The demo's training job: softmax regression on one part of a view, data-parallel, killed and resumed.

    torchrun --nproc-per-node 2 -m ropeway_shardgen.demo.train PLAN.json

It is what a user would write: ask the service for two views, wrap the loader in a loop, save the loader's state with
the model. Each rank logs the keys it was given, which is what the exactly-once proof reads.
"""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import ropeway


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """What to train, and when to die.

    Attributes:
        service: URL of the index service.
        task, part, where: of both views; training takes the split `train`, evaluation `test`.
        folder: where checkpoint, key logs and results go.
        attempt: number of this start, from 0.
        epochs, global_batch, rate: of the training.
        checkpoint_every: steps between two checkpoints.
        die_at: `(epoch, step)` at which the last rank kills itself the hard way; null: never.
    """

    service: str
    task: str
    part: str
    where: str
    folder: str
    attempt: int = 0
    epochs: int = 12
    global_batch: int = 24
    rate: float = 0.05
    checkpoint_every: int = 5
    die_at: tuple[int, int] | None = None

    @property
    def checkpoint(self) -> Path:
        """Model and loader state, replaced whole."""
        return Path(self.folder) / "checkpoint.npz"

    def keys(self, rank: int) -> Path:
        """The keys a rank was given in this attempt, one JSON line per step."""
        return Path(self.folder) / f"keys-{self.attempt}-{rank}.jsonl"

    def losses(self, rank: int) -> Path:
        """The mean loss of each epoch of this attempt, one line each; the first and last may be part of an epoch."""
        return Path(self.folder) / f"losses-{self.attempt}-{rank}.txt"

    def results(self, rank: int) -> Path:
        """What a rank measured in this attempt."""
        return Path(self.folder) / f"results-{self.attempt}-{rank}.json"


def train(plan: TrainPlan) -> None:
    """Train from the last checkpoint, if there is one, to the end."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    catalog = ropeway.connect(plan.service)
    view = catalog.query(task=plan.task, split="train", where=plan.where)
    held_out = catalog.query(task=plan.task, split="test", where=plan.where)
    loader = ropeway.StreamingLoader(view, global_batch_size=plan.global_batch, seed=0, tail="pad", parts=[plan.part])
    classes = len(view.label_counts(plan.task))
    features = next(part.shape[0] or 0 for part in view.info.parts if part.name == plan.part and part.shape)
    model = nn.parallel.DistributedDataParallel(nn.Linear(features, classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=plan.rate)
    if plan.checkpoint.exists():
        loader.load_state_dict(_load(plan.checkpoint, model))
    with plan.keys(rank).open("w") as log, plan.losses(rank).open("w") as losses:
        while loader.epoch < plan.epochs:
            losses.write(f"{_epoch(plan, loader, model, optimizer, log)}\n")
            losses.flush()
    stats = loader.stats()
    correct, total = _evaluate(plan, held_out, model)
    plan.results(rank).write_text(
        json.dumps({
            "correct": correct, "evaluated": total, "baseline": _majority(view, held_out, plan.task),
            "samples": stats.samples, "elapsed": stats.elapsed, "data_wait": stats.data_wait,
        })
    )  # fmt: skip
    dist.barrier()  # a rank that leaves while others still talk to it can abort them
    dist.destroy_process_group()


def _epoch(
    plan: TrainPlan, loader: ropeway.StreamingLoader, model: nn.Module, optimizer: Any, log: Any
) -> float | None:
    """One epoch, or the rest of one; the mean loss over its real samples in the whole world."""
    rank, world = dist.get_rank(), dist.get_world_size()
    epoch = loader.epoch
    summed = torch.zeros(2, dtype=torch.float64)
    for batch in loader:
        state = loader.state_dict()
        step = -(-int(state["position"]) // plan.global_batch)
        real = batch["__mask__"]
        keys = [key for key, is_real in zip(batch["__key__"], real.tolist(), strict=True) if is_real]
        log.write(json.dumps({"epoch": epoch, "position": state["position"], "keys": keys}) + "\n")
        log.flush()
        if plan.die_at == (epoch, step) and rank == world - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        logits = model(batch[plan.part])
        each = nn.functional.cross_entropy(logits, batch[f"task.{plan.task}"], reduction="none")
        # padding counts for nothing: the mean is over the global batch's real samples, which every rank knows
        left = min(plan.global_batch, int(state["position"]) - (step - 1) * plan.global_batch)
        loss = (each * real).sum() * world / left
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        summed += torch.tensor([float((each.detach() * real).sum()), float(real.sum())], dtype=torch.float64)
        if rank == 0 and step % plan.checkpoint_every == 0:
            _save(plan.checkpoint, model, loader.state_dict())
    dist.all_reduce(summed)
    return float(summed[0] / summed[1])


def _evaluate(plan: TrainPlan, view: ropeway.View, model: nn.Module) -> tuple[int, int]:
    """Correct and all held-out samples, each counted once whatever the world."""
    counts = torch.zeros(2, dtype=torch.int64)
    loader = ropeway.StreamingLoader(
        view, global_batch_size=plan.global_batch, order=ropeway.Sequential(), tail="pad", parts=[plan.part]
    )
    with torch.no_grad():
        for batch in loader:
            right = model(batch[plan.part]).argmax(dim=1) == batch[f"task.{plan.task}"]
            counts += torch.stack([(right & batch["__mask__"]).sum(), batch["__mask__"].sum()])
    dist.all_reduce(counts)
    return int(counts[0]), int(counts[1])


def _majority(train: ropeway.View, held_out: ropeway.View, task: str) -> float:
    """Accuracy on the held-out samples of always naming training's most frequent class."""
    counts = train.label_counts(task)
    return held_out.label_counts(task)[max(counts, key=lambda name: counts[name])] / held_out.samples


def _save(path: Path, model: nn.Module, state: dict[str, int | str]) -> None:
    scratch = path.with_suffix(".tmp.npz")
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    np.savez(scratch, __loader__=np.array(json.dumps(state)), **weights)
    scratch.replace(path)


def _load(path: Path, model: nn.Module) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as saved:
        model.load_state_dict({name: torch.from_numpy(saved[name]) for name in saved.files if name != "__loader__"})
        state: dict[str, Any] = json.loads(str(saved["__loader__"]))
    return state


if __name__ == "__main__":
    train(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=TrainPlan))
