"""Exact evaluation over any world: every sample once, no padding counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ropeway.delivery import Batch
from ropeway.errors import UsageError
from ropeway.loader import StreamingLoader
from ropeway.order import Sequential
from ropeway.samples import Array
from ropeway.view import View


def evaluate(
    view: View,
    step: Callable[[Batch], Mapping[str, torch.Tensor]],
    batch_size: int,
    *,
    parts: Sequence[str] | None = None,
    device: str | torch.device | None = None,
) -> dict[str, Array | list[str]]:
    """What `step` says of every sample of a view, gathered from all ranks.

    Each rank evaluates its share; padding is dropped before anything is gathered, so metrics computed from the answer
    (means, AUC, confusion matrices) are the same for every world size.

    Args:
        view: what to evaluate on.
        step: batch → name → tensor (batch, …) with one value per sample: a loss, a logit, a prediction.
        batch_size: samples per rank and step.
        parts, device: as for `StreamingLoader`.

    Returns:
        On every rank: each name's values as an array (samples, …) in storage order, and `__key__`, the samples' keys.

    Raises:
        UsageError: `step` gave a tensor that has not one value per sample.
    """
    loader = StreamingLoader(view, batch_size, order=Sequential(), tail="pad", parts=parts, device=device)
    found: dict[str, list[Any]] = {"__key__": []}
    with torch.no_grad():
        for batch in loader:
            real = batch["__mask__"]
            count = int(real.sum())  # padding stands at the end
            found["__key__"] += batch["__key__"][:count]
            for name, values in step(batch).items():
                if values.shape[:1] != real.shape:
                    raise UsageError(f"step gave {name!r} of shape {tuple(values.shape)} for {len(real)} samples")
                found.setdefault(name, []).append(values[:count].cpu().numpy())
    mine = {name: values if name == "__key__" else np.concatenate(values) for name, values in found.items()}
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return mine
    shares: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shares, mine)
    return {name: _interleaved([share[name] for share in shares]) for name in mine}


def _interleaved(shares: list[Any]) -> Any:
    """Rank r of W had the positions ≡ r (mod W)."""
    total = sum(map(len, shares))
    if isinstance(shares[0], list):
        keys = [""] * total
        for rank, share in enumerate(shares):
            keys[rank :: len(shares)] = share
        return keys
    together = np.empty((total, *shares[0].shape[1:]), shares[0].dtype)
    for rank, share in enumerate(shares):
        together[rank :: len(shares)] = share
    return together
