"""HF Trainer: `trainer_fit.py STORE FOLDER [STOP]`, again to go on where it stopped.

The Trainer's checkpoints know nothing of a dataset's state, so a callback saves it with them; `ignore_data_skip`
keeps the Trainer from reading and throwing away what was seen before.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

import ropeway

STATE = "ropeway.json"


class Classifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(15, 3)

    def forward(self, x: torch.Tensor, labels: torch.Tensor, keys: list[str]) -> dict[str, torch.Tensor]:
        sys.stdout.write(" ".join(keys) + "\n")
        scores = self.layer(x.float().flatten(1))
        return {"loss": torch.nn.functional.cross_entropy(scores, labels), "logits": scores}


class Renamed(torch.utils.data.IterableDataset[dict[str, Any]]):
    """The stream's batches by the names of the model's arguments; its state is the stream's."""

    def __init__(self, stream: ropeway.StreamingDataset) -> None:
        self.stream = stream

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Any:
        for batch in self.stream:
            yield {"x": batch["x"], "labels": batch["task.cls"], "keys": batch["__key__"]}


class Streaming(Trainer):
    def get_train_dataloader(self) -> torch.utils.data.DataLoader[dict[str, Any]]:
        assert isinstance(self.train_dataset, Renamed)
        return torch.utils.data.DataLoader(self.train_dataset, batch_size=None)


class SaveStream(TrainerCallback):
    def __init__(self, stream: ropeway.StreamingDataset) -> None:
        self.stream = stream

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        place = Path(str(args.output_dir), f"checkpoint-{state.global_step}", STATE)
        place.write_text(json.dumps(self.stream.state_dict()))


def main(store: str, folder: Path, stop: int | None) -> None:
    view = ropeway.connect(store).query(task="cls", split="train")
    stream = ropeway.StreamingDataset(view, global_batch_size=8, seed=1, parts=["x"])
    last = get_last_checkpoint(str(folder)) if folder.exists() else None  # type: ignore[no-untyped-call]
    if last is not None:
        stream.load_state_dict(json.loads(Path(last, STATE).read_text()))
    settings = TrainingArguments(
        output_dir=str(folder), num_train_epochs=2, max_steps=stop or -1, save_steps=4, ignore_data_skip=True,
        use_cpu=True, report_to=[], disable_tqdm=True, logging_strategy="no", remove_unused_columns=False,
    )  # fmt: skip
    trainer = Streaming(Classifier(), settings, train_dataset=Renamed(stream), callbacks=[SaveStream(stream)])
    trainer.train(resume_from_checkpoint=last)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
