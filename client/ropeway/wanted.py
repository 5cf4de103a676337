"""What a loader was asked for: which parts, or which bits of them, and by which means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ropeway.cache import DiskCache
from ropeway.collate import Collate
from ropeway.decode import Decode, Decoder
from ropeway.errors import UsageError
from ropeway.parts import PartReader
from ropeway.readings import Reading
from ropeway.view import View

MEMORY = 2 << 30
"""Bytes of shard ranges held or under way, and of batches ready, per process."""


LEAST_MEMORY = 1 << 10
"""Bytes without which nothing can be planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of a view's samples, and by which means.

    Attributes:
        parts: names of the parts wanted; None: all; (): keys and labels only, and no shard is read.
        readings: which bit of a part is wanted, where it is not the whole.
        decoders: the caller's own decoders, by part name or format.
        collate: how values of different shapes become a batch, by part name.
        threads: for decoders that are heavy.
        memory: see `MEMORY`.
        requests: range requests at once; None: as many as the view's ranges and an object store nearby want.
        request_bytes: of one range request, at most; None: as large as the view's ranges and `memory` allow.
        cache: where ranges of shards are kept on this node's disk.
    """

    parts: tuple[str, ...] | None = None
    readings: Mapping[str, Reading] = field(default_factory=dict)
    decoders: Mapping[str, Decoder | Decode] = field(default_factory=dict)
    collate: Mapping[str, Collate] = field(default_factory=dict)
    threads: int = 2
    memory: int = MEMORY
    requests: int | None = None
    request_bytes: int | None = None
    cache: DiskCache | None = None

    def __post_init__(self) -> None:
        for name, least in (("memory", LEAST_MEMORY), ("threads", 1), ("requests", 1), ("request_bytes", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} is at least {least}, not {value}")

    def of(self, view: View) -> list[PartReader]:
        """Readers of the wanted parts that a view has.

        Raises:
            UsageError: a part has no decoder, or a reading does not fit its part.
        """
        wanted = view.info.parts if self.parts is None else [p for p in view.info.parts if p.name in self.parts]
        return [
            PartReader.of(part, self.decoders, self.readings.get(part.name), self.collate.get(part.name))
            for part in wanted
        ]

    def check(self, views: Sequence[View]) -> None:
        """Raise UsageError when a part that is named is in none of the views, or can't be read as told."""
        known = dict.fromkeys(part.name for view in views for part in view.info.parts)
        for part in [*(self.parts or ()), *self.collate]:
            if part not in known:
                raise UsageError(f"no part {part!r} in this view; there is: {', '.join(known)}")
        for view in views:
            self.of(view)
