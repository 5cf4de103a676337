"""Lightning: `lightning_fit.py STORE FOLDER [STOP]`, again to go on where it stopped.

Give the Trainer a `StreamingLoader` as it is: Lightning's own checkpoints hold the state of loaders that have one, and
restore it, in the middle of an epoch too. The loader is made in the hook, when the process group is there.
"""

import sys
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import ropeway


class Classifier(lightning.LightningModule):
    def __init__(self, store: str) -> None:
        super().__init__()
        self.store = store
        self.layer = torch.nn.Linear(15, 3)

    def train_dataloader(self) -> ropeway.StreamingLoader:
        view = ropeway.connect(self.store).query(task="cls", split="train")
        return ropeway.StreamingLoader(view, global_batch_size=8, seed=1, parts=["x"])

    def training_step(self, batch: dict[str, Any], index: int) -> torch.Tensor:
        sys.stdout.write(" ".join(batch["__key__"]) + "\n")
        return torch.nn.functional.cross_entropy(self.layer(batch["x"].float().flatten(1)), batch["task.cls"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-4)


def main(store: str, folder: Path, stop: int | None) -> None:
    checkpoint = folder / "last.ckpt"
    saves = ModelCheckpoint(folder, every_n_train_steps=4, save_last=True)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=2, max_steps=stop or -1, callbacks=[saves], logger=False,
        default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False,  # the loader deals samples to ranks itself
    )  # fmt: skip
    trainer.fit(Classifier(store), ckpt_path=checkpoint if checkpoint.exists() else None)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
