"""A training loop's skeleton for torchrun, on any number of nodes: streams a view, each sample once an epoch.

What it asks for comes from ROPEWAY_SERVICE, ROPEWAY_TASK and ROPEWAY_TOKEN. Put a model where it says so.
"""

import json
import os
from time import perf_counter

import torch
import torch.distributed as dist

import ropeway

EPOCHS, GLOBAL_BATCH = 2, 64


def main() -> None:
    """One rank's work."""
    gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if gpu else "gloo")
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    view = ropeway.connect(os.environ["ROPEWAY_SERVICE"]).query(task=os.environ["ROPEWAY_TASK"], split="train")
    loader = ropeway.StreamingLoader(
        view, global_batch_size=GLOBAL_BATCH, seed=0, tail="pad", device="cuda" if gpu else None
    )
    for epoch in range(EPOCHS):
        began, seen = perf_counter(), torch.zeros(1, dtype=torch.int64)
        for batch in loader:
            seen += int(batch["__mask__"].sum())  # a model's step goes here
        seen = seen.cuda() if gpu else seen
        dist.all_reduce(seen)
        if dist.get_rank() == 0:
            rate = int(seen) / (perf_counter() - began)
            told = f"{int(seen)} of {view.samples} samples on {dist.get_world_size()} ranks, {rate:.0f}/s"
            print(f"epoch {epoch}: {told}")  # noqa: T201
    if dist.get_rank() == 0:
        print(json.dumps(loader.report()))  # noqa: T201 - to keep beside the model: exactly what it was trained on
    dist.barrier()  # a rank that leaves while others still talk to it can abort them
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
