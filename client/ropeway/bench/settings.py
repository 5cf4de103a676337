"""The settings of a loader that are tried: few, and such as matter for where the view's bytes are."""

import json
import os
from dataclasses import dataclass, replace

from ropeway import StreamingLoader
from ropeway.cache import DiskCache
from ropeway.view import View
from ropeway.wanted import MEMORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Arguments of a loader; None is its own default.

    Attributes:
        batch_size: samples per step.
        parts: names of those that are wanted; None: all.
        threads, requests, memory, cache: as `StreamingLoader` has them.
    """

    batch_size: int
    parts: tuple[str, ...] | None = None
    threads: int | None = None
    requests: int | None = None
    memory: int = MEMORY
    cache: DiskCache | None = None

    @property
    def name(self) -> str:
        """What differs from the defaults."""
        return ", ".join([*self._numbers(), *(["a disk cache"] if self.cache else [])]) or "defaults"

    def loader(self, view: View) -> StreamingLoader:
        """A loader of the whole view, whose last batch is filled up."""
        return StreamingLoader(
            view, self.batch_size, parts=self.parts, tail="pad", threads=self.threads, requests=self.requests,
            memory=self.memory, cache=self.cache,
        )  # fmt: skip

    def python(self, view: View) -> str:
        """A line that makes such a loader of `view`."""
        given = [f"batch_size={self.batch_size}"]
        if self.parts is not None:
            given.append(f"parts={json.dumps(self.parts)}")
        if view.samples < self.batch_size:
            given.append('tail="pad"')  # the loader's own would drop the only batch
        given += self._numbers()
        if self.cache is not None:
            folder = json.dumps(str(self.cache.path))
            given.append(f"cache=ropeway.DiskCache({folder}, limit={_bytes(self.cache.limit)})")
        return f"ropeway.StreamingLoader(view, {', '.join(given)})"

    def _numbers(self) -> list[str]:
        told = [f"{name}={value}" for name in ("threads", "requests") if (value := getattr(self, name)) is not None]
        return told if self.memory == MEMORY else [*told, f"memory={_bytes(self.memory)}"]


def _bytes(count: int) -> str:
    """A number of bytes as people write it."""
    for power in (30, 20):
        if count % (1 << power) == 0:
            return f"{count >> power} << {power}"
    return str(count)


def near(base: Settings) -> list[Settings]:
    """What matters where shards are local files: threads, from one to all cores, doubled each time."""
    cores = os.cpu_count() or 1
    fewer = [replace(base, threads=1 << power) for power in range(cores.bit_length()) if 1 << power < cores]
    return [base, *fewer]


def far(base: Settings, requests: int) -> list[Settings]:
    """What matters where shards are read by range: so many requests at once as the defaults made, half and twice."""
    other = dict.fromkeys([max(1, requests // 2), 2 * requests])
    return [base, *(replace(base, requests=number) for number in other)]
