"""A position in a job's stream: all there is to save, and the same on every rank."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ropeway.errors import StateError


@dataclass(frozen=True, slots=True)
class State:
    """Where a job is: `position` samples of epoch `epoch` have been given to the whole world.

    `view` and `order` say what the position counts in; a state loads only where both are the same.
    """

    seed: int
    epoch: int
    position: int
    view: str
    order: str

    def to_json(self) -> dict[str, int | str]:
        """As a JSON object, under 1 KB."""
        return asdict(self)


def from_json(saved: Mapping[str, object], *, view: str, order: str, samples: int) -> State:
    """Read a saved state for a job that streams this view in this order.

    Raises:
        StateError: it is no state, or one of another view or order.
    """
    fields = {"seed": int, "epoch": int, "position": int, "view": str, "order": str}
    for name, kind in fields.items():
        if name not in saved or type(saved[name]) is not kind:
            raise StateError(f"not a loader state: {name} is missing or not {kind.__name__}")
    state = State(**{name: saved[name] for name in fields})  # type: ignore[arg-type]
    if state.view != view:
        raise StateError(f"the state is of view {state.view}, this job streams view {view}: query the same view again")
    if state.order != order:
        raise StateError(f"the state's order digest is {state.order}, this job's {order}: give the same order=")
    if state.epoch < 0 or not 0 <= state.position <= samples:
        raise StateError(f"the state's position {state.position} is not in an epoch of {samples} samples")
    return state
