"""What a run of the bench found: the JSON file."""

from pathlib import Path

import msgspec

FORMAT = 1


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A system on a workload from a source, with its best number of workers: medians of the repeats.

    Attributes:
        workload, source, system: names.
        missing: why there are no figures; then there are none.
        workers: the best number of worker processes.
        tried: samples per second by number of workers.
        repeats: samples per second of each repeat with the best.
        samples_per_second: from the page cache, the steady state, an epoch's first batch to its last, of epochs after
            the first; from elsewhere, the first epoch from nothing to its last batch, with empty caches.
        bytes_per_second: the same, in bytes of content as stored.
        loop_per_second: the same without opening the dataset, for comparison with what the machine could do.
        shuffle_quality: label entropy of batches over that of a uniform shuffle.
        first_batch_seconds: from imports done to the first batch.
        first_epoch_per_second: samples per second from imports done to the last batch of the first epoch.
        cpu_seconds: for a thousand samples, all processes.
        peak_bytes: memory of all processes; peak_anonymous_bytes: without pages of files.
    """

    workload: str
    source: str
    system: str
    missing: str = ""
    workers: int = 0
    tried: dict[str, float] = {}
    repeats: list[float] = []
    samples_per_second: float = 0.0
    bytes_per_second: float = 0.0
    loop_per_second: float = 0.0
    shuffle_quality: float = 0.0
    first_batch_seconds: float = 0.0
    first_epoch_per_second: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    peak_anonymous_bytes: int = 0


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine could do: median samples per second."""

    workload: str
    source: str
    name: str
    samples_per_second: float


class Resume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """From nothing to the first batch at 90 % of an epoch. `exact`: it is the batch that was due."""

    system: str
    workload: str
    missing: str = ""
    seconds: float = 0.0
    exact: bool = False


class Reads(msgspec.Struct, frozen=True, kw_only=True):
    """What Ropeway reads of a subset, as from an object store."""

    workload: str
    read_bytes: int
    matching_bytes: int
    dataset_bytes: int
    requests: int


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """How long training steps of `step_seconds` wait for Ropeway: share of the time, 0 to 1."""

    workload: str
    step_seconds: float
    data_wait: float


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. `samples` per workload; `machine` in words."""

    format: int = FORMAT
    machine: dict[str, str]
    settings: dict[str, str]
    samples: dict[str, int]
    measured: list[Measured]
    ceilings: list[Ceiling]
    resumes: list[Resume]
    reads: list[Reads]
    waiting: list[Waiting]

    def find(self, system: str, workload: str, source: str = "local") -> Measured | None:
        """A system's figures, or None where it has none."""
        for one in self.measured:
            if (one.system, one.workload, one.source) == (system, workload, source) and not one.missing:
                return one
        return None

    def ceiling(self, name: str, workload: str, source: str = "local") -> float | None:
        """Samples per second of a ceiling, or None where it was not measured."""
        for one in self.ceilings:
            if (one.name, one.workload, one.source) == (name, workload, source):
                return one.samples_per_second
        return None


def save(results: Results, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def load(path: Path) -> Results:
    """Read a file that `save` wrote.

    Raises:
        msgspec.ValidationError: it is none.
    """
    return msgspec.json.decode(path.read_bytes(), type=Results)
