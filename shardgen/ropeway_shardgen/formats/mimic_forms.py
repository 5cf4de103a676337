"""What a stay's events look like as parts: a grid of hours and features, its mask, the events themselves, or text.

Pure functions of the events that are known at the prediction time. Nothing is imputed, scaled or clipped.
"""

from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from ropeway_shardgen.adapters.adapter import Payload, array_payload
from ropeway_shardgen.fields import Fields, lookup, text
from ropeway_shardgen.formats.mimic_events import EventLog, Events
from ropeway_shardgen.formats.mimic_stays import Stays

COLUMNS = ("seconds", "item", "value")
STATIC = ("sex", "age", "admission_type", "admission_location")
"""Fields that the text tells of."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Values by bin and feature, NaN where there is none; and how many values were left out as implausible."""

    values: npt.NDArray[np.float32]
    implausible: int


def grid_payload(events: Events, definition: str) -> Payload:
    """float32 [bin, feature]: the last plausible value of each bin, in the feature's unit; NaN where there is none.

    Fields: `events` (how many the stay has, of all items) and `implausible`.
    """
    stays = parsed(definition)
    grid = _grid(events, definition)
    channels = [f"{name} [{feature.units}]" if feature.units else name for name, feature in stays.features.items()]
    return array_payload(
        grid.values,
        ("bin", "feature"),
        sampling_rate=1 / (3600 * stays.bin_hours),
        channels=tuple(channels),
        fields={"events": len(events), "implausible": grid.implausible},
    )


def observed_payload(events: Events, definition: str) -> Payload:
    """uint8 [bin, feature]: 1 where the grid has a value, else 0."""
    seen = (~np.isnan(_grid(events, definition).values)).astype(np.uint8)
    rate = 1 / (3600 * parsed(definition).bin_hours)
    return array_payload(seen, ("bin", "feature"), sampling_rate=rate, channels=tuple(parsed(definition).features))


def events_payload(events: Events) -> Payload:
    """float64 [event, 3] of every numeric event, of any item: seconds since time zero, `itemid`, value as recorded."""
    columns = np.stack([events[name].astype(np.float64) for name in COLUMNS], axis=1)
    return array_payload(columns, ("event", "column"), channels=COLUMNS)


def text_payload(events: Events, log: EventLog, fields: Fields) -> Payload:
    """Plain text: sex, age and admission, then the last value of every item, by `itemid`, as `label: value unit`."""
    sex, age, kind, place = (text(lookup(fields, name)) or "not known" for name in STATIC)
    lines = [f"Sex: {sex}", f"Age: {age}", f"Admission: {kind}", f"Admitted from: {place}"]
    _, from_the_end = np.unique(events["item"][::-1], return_index=True)  # events are in order of time
    for _, item, value, unit in events[len(events) - 1 - from_the_end].tolist():
        lines.append(f"{log.labels.get(item, f'item {item}')}: {value:.12g} {log.units[unit]}".rstrip())
    return Payload(content=("\n".join(lines) + "\n").encode(), format="txt")


@lru_cache(maxsize=8)
def parsed(definition: str) -> Stays:
    """The stays that a source told its parts of, as JSON."""
    return msgspec.json.decode(definition, type=Stays)


def _grid(events: Events, definition: str) -> Grid:
    stays = parsed(definition)
    layout = _layout(definition)
    found = np.searchsorted(layout.items, events["item"])
    found[found == len(layout.items)] = 0
    wanted = layout.items[found] == events["item"]
    events, found = events[wanted], found[wanted]
    values = (events["value"] * layout.factors[found] + layout.offsets[found]).astype(np.float32)
    feature = layout.features[found]
    plausible = (values >= layout.low[feature]) & (values <= layout.high[feature])
    start, end = stays.window
    bins = np.floor((events["seconds"] / 3600 - start) / stays.bin_hours).astype(np.int64)
    grid = np.full((round((end - start) / stays.bin_hours), len(stays.features)), np.nan, np.float32)
    grid[bins[plausible], feature[plausible]] = values[plausible]  # of several to one cell, the last is kept
    return Grid(grid, int(np.count_nonzero(~plausible)))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Items, sorted, and what becomes of each; bounds of each feature."""

    items: npt.NDArray[np.uint32]
    features: npt.NDArray[np.int64]
    factors: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


@lru_cache(maxsize=8)
def _layout(definition: str) -> _Layout:
    features = list(parsed(definition).features.values())
    converted = {item: rule for feature in features for item, *rule in feature.convert}
    items = sorted(
        (item, number, *converted.get(item, (1.0, 0.0)))
        for number, feature in enumerate(features)
        for item in feature.items
    )
    item, number, factor, offset = (np.array(column) for column in zip(*items, strict=True))
    low, high = np.array([feature.plausible for feature in features]).T
    return _Layout(item.astype(np.uint32), number, factor, offset, low, high)
