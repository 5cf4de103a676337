"""Plain PyTorch DDP: `torchrun --nproc-per-node 2 ddp.py STORE CHECKPOINT [STOP]`, again to go on where it stopped.

The loader's state is the same on every rank, so rank 0 saves it with the model; more ranks or fewer may go on.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import ropeway

EPOCHS = 2


def main(store: str, checkpoint: Path, stop: int | None) -> None:
    dist.init_process_group("gloo")
    view = ropeway.connect(store).query(task="cls", split="train")
    loader = ropeway.StreamingLoader(view, global_batch_size=8, seed=1, parts=["x"])
    model = DistributedDataParallel(torch.nn.Linear(15, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.module.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        loader.load_state_dict(saved["loader"])
    steps = 0
    while loader.epoch < EPOCHS:
        for batch in loader:
            loss = torch.nn.functional.cross_entropy(model(batch["x"].float().flatten(1)), batch["task.cls"])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            sys.stdout.write(" ".join(batch["__key__"]) + "\n")
            steps += 1
            if steps == stop:
                save(checkpoint, model, optimizer, loader)
                dist.destroy_process_group()
                return
    dist.barrier()  # no rank leaves while another still talks to it
    dist.destroy_process_group()


def save(checkpoint: Path, model: DistributedDataParallel, optimizer: torch.optim.Optimizer,
         loader: ropeway.StreamingLoader) -> None:  # fmt: skip
    if dist.get_rank() == 0:
        states = {
            "model": model.module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "loader": loader.state_dict(),
        }
        torch.save(states, checkpoint)
    dist.barrier()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
