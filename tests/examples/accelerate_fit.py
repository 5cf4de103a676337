"""HF Accelerate: `accelerate_fit.py STORE FOLDER [STOP]`, again to go on where it stopped.

The loader deals samples to ranks itself, so it is not prepared; registered for checkpointing, its state is in what
`save_state` writes.
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator

import ropeway

EPOCHS = 2


def main(store: str, folder: Path, stop: int | None) -> None:
    accelerator = Accelerator(cpu=True)
    view = ropeway.connect(store).query(task="cls", split="train")
    loader = ropeway.StreamingLoader(
        view, global_batch_size=8, seed=1, parts=["x"], device=accelerator.device,
        rank=accelerator.process_index, world_size=accelerator.num_processes,
    )  # fmt: skip
    layer = torch.nn.Linear(15, 3)
    model, optimizer = accelerator.prepare(layer, torch.optim.SGD(layer.parameters(), lr=1e-4))
    accelerator.register_for_checkpointing(loader)
    if folder.exists():
        accelerator.load_state(str(folder))
    steps = 0
    while loader.epoch < EPOCHS:
        for batch in loader:
            loss = torch.nn.functional.cross_entropy(model(batch["x"].float().flatten(1)), batch["task.cls"])
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            sys.stdout.write(" ".join(batch["__key__"]) + "\n")
            steps += 1
            if steps == stop:
                accelerator.save_state(str(folder))
                return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
