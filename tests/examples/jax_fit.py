"""JAX: `jax_fit.py STORE CHECKPOINT [STOP]`, again to go on where it stopped. No torch.

The weights and the loader's state are one file, which a rename puts in place: neither is ever newer than the other.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import ropeway

EPOCHS = 2

Weights = dict[str, jax.Array]


def loss(weights: Weights, x: jax.Array, wanted: jax.Array) -> jax.Array:
    scores = x @ weights["w"] + weights["b"]
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), wanted[:, None], axis=1).mean()


@jax.jit
def step(weights: Weights, x: jax.Array, wanted: jax.Array) -> Weights:
    gradient = jax.grad(loss)(weights, x, wanted)
    return {name: weight - 0.1 * gradient[name] for name, weight in weights.items()}


def save(checkpoint: Path, weights: Weights, loader: ropeway.NumpyLoader) -> None:
    with checkpoint.with_suffix(".new").open("wb") as file:
        np.savez(file, loader=json.dumps(loader.state_dict()), w=weights["w"], b=weights["b"])
    checkpoint.with_suffix(".new").replace(checkpoint)


def main(store: str, checkpoint: Path, stop: int | None) -> None:
    view = ropeway.connect(store).query(task="cls", split="train")
    loader = ropeway.NumpyLoader(view, global_batch_size=8, seed=1, parts=["x"],
                                 rank=jax.process_index(), world_size=jax.process_count())  # fmt: skip
    weights = {"w": jnp.zeros((15, 3)), "b": jnp.zeros(3)}
    if checkpoint.exists():
        with np.load(checkpoint) as saved:
            weights = {name: jnp.asarray(saved[name]) for name in weights}
            loader.load_state_dict(json.loads(str(saved["loader"])))
    steps = 0
    while loader.epoch < EPOCHS:
        for batch in loader:
            x = jax.device_put(batch["x"].reshape(-1, 15).astype(np.float32) / 100)
            weights = step(weights, x, jax.device_put(batch["task.cls"]))
            sys.stdout.write(" ".join(batch["__key__"]) + "\n")
            steps += 1
            if steps == stop:
                save(checkpoint, weights, loader)
                return
    save(checkpoint, weights, loader)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
