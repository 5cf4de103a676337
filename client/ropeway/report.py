"""What a job was given to train on, in full: a report to keep beside its model."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from ropeway.asked import Asked
from ropeway.bad import BadSample
from ropeway.cuts import CutJob
from ropeway.job import AnyJob
from ropeway.mixing import Mix
from ropeway.order import Shuffled
from ropeway.readings import Reading


def report(asked: Asked, job: AnyJob, state: Mapping[str, int | str], replaced: Sequence[BadSample]) -> dict[str, Any]:
    """A job so far, as a JSON object.

    `views` has for each view its dataset versions and its definition, which `Catalog.make` makes the same view of; null
    where it was asked over datasets that may not be known. A loader of those views with the same order, batches, tail
    and the state's seed gives the same samples at every step; the job was given those before the state's position.

    Args:
        asked: what the loader was asked for.
        job: what it does.
        state: where it is.
        replaced: the bad samples that others stood in for, on this rank.
    """
    dealt = job.per_step if isinstance(job, CutJob) else job.batching.global_batch
    told = {
        "ropeway": version("ropeway"),
        "views": list(_views(asked)),
        "mixed": asked.view.batches if isinstance(asked.view, Mix) else None,
        "state": state,
        "order": repr(asked.order or Shuffled()),
        "batches": repr(asked.batch_size) if isinstance(job, CutJob) else "samples",
        "per_step": dealt,
        "world_size": (job.world if isinstance(job, CutJob) else job.batching.world).size,
        "tail": asked.tail,
        "parts": _parts(asked.parts),
        "on_bad": str(asked.on_bad),
        "replaced": replaced,
    }
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
    return found


def _views(asked: Asked) -> Iterator[dict[str, Any]]:
    mix = asked.view
    named = mix.sources if isinstance(mix, Mix) else {"+".join(mix.datasets): mix}
    for name, view in named.items():
        yield {
            "name": name, "share": mix.weights[name] if isinstance(mix, Mix) else 1.0, "id": view.id,
            "samples": view.samples, "bytes": view.bytes, "datasets": view.datasets, "definition": view.definition,
        }  # fmt: skip


def _parts(parts: Sequence[str] | Mapping[str, Reading | str] | None) -> Mapping[str, str] | Sequence[str] | None:
    """The parts that were wanted; those of which a bit was, with how it was read."""
    if not isinstance(parts, Mapping):
        return parts
    return {part: one if isinstance(one, str) else repr(one) for part, one in parts.items()}
