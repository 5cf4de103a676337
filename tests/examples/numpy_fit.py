"""NumPy alone: `numpy_fit.py STORE STATE [STOP]`, again to go on where it stopped. No torch."""

import json
import sys
from pathlib import Path

import numpy as np

import ropeway

EPOCHS = 2


def main(store: str, checkpoint: Path, stop: int | None) -> None:
    view = ropeway.connect(store).query(task="cls", split="train")
    loader = ropeway.NumpyLoader(view, global_batch_size=8, seed=1, parts=["x"], rank=0, world_size=1)
    weights = np.zeros((15, 3))
    if checkpoint.exists():
        saved = json.loads(checkpoint.read_text())
        weights = np.array(saved["weights"])
        loader.load_state_dict(saved["loader"])
    steps = 0
    while loader.epoch < EPOCHS:
        for batch in loader:
            x, wanted = batch["x"].reshape(-1, 15) / 100.0, np.eye(3)[batch["task.cls"]]
            scores = np.exp(x @ weights)
            weights -= 0.01 * x.T @ (scores / scores.sum(axis=1, keepdims=True) - wanted)
            sys.stdout.write(" ".join(batch["__key__"]) + "\n")
            steps += 1
            if steps == stop:
                checkpoint.write_text(json.dumps({"weights": weights.tolist(), "loader": loader.state_dict()}))
                return
    assert "torch" not in sys.modules


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
