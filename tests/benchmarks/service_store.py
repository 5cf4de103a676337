"""A store of CLIMB's size for the index service: 45 datasets, 4.51 M samples, 75 k shards; the shards are not there."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import index
from ropeway import manifest as m
from ropeway.stores import Store

VERSION = "0123456789ab"
SPLIT_SHARES: dict[m.SplitName, float] = {"train": 0.8, "valid": 0.1, "test": 0.1}

_DOMAINS: dict[str, tuple[str, ...]] = {
    "CT": ("volume",), "Chest X-ray": ("image", "report"), "ECG": ("ecg",), "EEG": ("eeg",), "Dermatology": ("photo",),
    "Mammography": ("mammogram",), "Ultrasound": ("clip",), "Pathology": ("tile",), "Fundus": ("fundus",),
    "MRI": ("scan", "mask"), "EHR": ("events",), "Genomics": ("expression",), "Graph": ("graph",),
}  # fmt: skip
_TYPES: tuple[m.TaskType, ...] = ("multiclass", "binary", "multilabel")
_META = {"age": "integer", "sex": "string", "site": "integer", "contrast": "boolean"}


@dataclass(frozen=True, slots=True)
class Plan:
    """One dataset to be made."""

    number: int
    name: str
    domain: str
    samples: int
    shards: int

    @property
    def task(self) -> m.Task:
        """Its only task: three kinds in turn."""
        kind = _TYPES[self.number % len(_TYPES)]
        classes = ("no", "yes") if kind == "binary" else tuple(f"finding-{c}" for c in range(4 + self.number % 6))
        return m.Task(id=f"{self.name}-task", type=kind, classes=classes)


def plans(samples: int = 4_510_000, shards: int = 75_000, datasets: int = 45) -> list[Plan]:
    """How many samples and shards each dataset has: few are large, as in CLIMB (the largest: 40 %)."""
    shares = 1 / np.arange(1, datasets + 1) ** 1.4
    shares /= shares.sum()
    domains = list(_DOMAINS)
    return [
        Plan(
            number=number,
            name=f"d{number:02d}-{domains[number % len(domains)].lower().replace(' ', '-')}",
            domain=domains[number % len(domains)],
            samples=max(100, int(share * samples)),
            shards=max(3, int(share * shards)),
        )
        for number, share in enumerate(shares.tolist())
    ]


def build(store: Store, made: list[Plan]) -> None:
    """Publish these datasets."""
    for plan in made:
        _publish(store, plan)


def _publish(store: Store, plan: Plan) -> None:
    shards = _shards(plan)
    table = _table(plan, shards, np.random.default_rng(plan.number))
    data = index.encode(_pieces(table, shards))
    path = f"{VERSION}/index/00000.parquet"
    store.put(f"{plan.name}/{path}", data)
    subjects = -(-plan.samples // 4)
    manifest = m.Manifest(
        format=m.FORMAT, dataset=plan.name, version=VERSION,
        card=m.Card(title=plan.name, domain=plan.domain, modalities=_DOMAINS[plan.domain][:1], licence="CC0",
                    access="open", unit="image"),
        parts=tuple(m.Part(name=name, kind="image", format="jpg", samples=plan.samples)
                    for name in _DOMAINS[plan.domain]),
        tasks=(plan.task,),
        splits=tuple(_split(name, [s for s in shards if s.split == name], subjects) for name in SPLIT_SHARES),
        shards=tuple(shards),
        index=(m.IndexFile(path=path, rows=plan.samples, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()),),
        provenance=m.Provenance(recipe=plan.name, parameters={}, software="0", source="0" * 64, source_files=1,
                                source_bytes=1, namespace="bench"),
    )  # fmt: skip
    store.put(m.manifest_path(plan.name, VERSION), m.dumps(manifest))
    store.put(m.latest_path(plan.name), m.dumps(m.Latest(version=VERSION, history=(VERSION,))))


def _pieces(table: pa.Table, shards: list[m.Shard]) -> Iterator[pa.Table]:
    """The rows of each shard, with names of their own, as a packer writes them."""
    first = 0
    for shard in shards:
        piece = table.slice(first, shard.samples)
        for column, value in (("shard", shard.path), ("split", shard.split)):
            names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(piece), np.int32)), [value])
            piece = piece.set_column(piece.schema.get_field_index(column), piece.schema.field(column), names)
        yield piece
        first += shard.samples


def _split(name: m.SplitName, shards: list[m.Shard], subjects: int) -> m.Split:
    samples = sum(shard.samples for shard in shards)
    return m.Split(name=name, samples=samples, subjects=min(samples, subjects),
                   bytes=sum(shard.bytes for shard in shards), shards=len(shards))  # fmt: skip


def _shards(plan: Plan) -> list[m.Shard]:
    made = list[m.Shard]()
    left, shards = plan.samples, plan.shards
    for name, share in SPLIT_SHARES.items():
        samples = left if name == "test" else int(plan.samples * share)
        count = max(1, int(shards * share))
        left -= samples
        for number, part in enumerate(np.array_split(np.arange(samples), count)):
            made.append(m.Shard(path=f"{VERSION}/{name}-{number:06d}.tar", split=name, bytes=len(part) * _SPAN + 1024,
                                samples=len(part), sha256=hashlib.sha256(f"{plan.name} {name} {number}".encode())
                                .hexdigest()))  # fmt: skip
    return made


_SPAN = 100 << 10
"""Bytes of every sample; what matters here is how many there are."""


def _table(plan: Plan, shards: list[m.Shard], rng: np.random.Generator) -> pa.Table:
    n = plan.samples
    counts = [shard.samples for shard in shards]
    names = pa.array([None] * n, pa.string()).dictionary_encode()  # told per shard, see _pieces
    place = np.concatenate([np.arange(count) for count in counts]) * _SPAN
    numbers = np.arange(n)
    of_splits = np.split(numbers, np.cumsum([sum(s.samples for s in shards if s.split == name) for name in m.SPLITS]))
    shuffled = np.concatenate([rng.permutation(of_split) for of_split in of_splits])  # as packing puts samples in order
    columns: dict[str, Any] = {
        "key": _texts("k", numbers + 10_000_000),
        "shard": names,
        "offset": place,
        "length": np.full(n, _SPAN),
        "crc32c": rng.integers(0, 1 << 32, n, np.uint32),
        "split": names,
        "subject": _texts(f"p{plan.number}-", shuffled // 4),
        "content": rng.integers(-(1 << 62), 1 << 62, n),
    }
    for number, part in enumerate(_DOMAINS[plan.domain]):
        columns[f"{part}.offset"], columns[f"{part}.length"] = place + 512 + 1024 * number, np.full(n, 900)
    columns[f"task.{plan.task.id}"] = _labels(plan.task, n, rng)
    columns["meta.age"] = pa.array(rng.integers(0, 100, n), mask=rng.random(n) < 0.05)
    columns["meta.sex"] = pa.array(["F", "M", None]).take(pa.array(rng.integers(0, 3, n)))
    columns["meta.site"] = rng.integers(0, 12, n)
    columns["meta.contrast"] = rng.random(n) < 0.3
    wanted = index.schema(_DOMAINS[plan.domain], [plan.task], _META)
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in wanted]
    return pa.Table.from_arrays(arrays, names=wanted.names)


def _texts(prefix: str, numbers: npt.NDArray[np.int64]) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def _labels(task: m.Task, n: int, rng: np.random.Generator) -> pa.Array:
    if task.type == "multilabel":
        several: npt.NDArray[np.bool_] = rng.random((n, len(task.classes))) < 0.2
        starts = np.concatenate([[0], np.cumsum(several.sum(axis=1))]).astype(np.int32)
        return pa.ListArray.from_arrays(starts, pa.array(np.nonzero(several)[1].astype(np.int32)))
    return pa.array(rng.integers(0, len(task.classes), n, np.int32), mask=rng.random(n) < 0.1)
