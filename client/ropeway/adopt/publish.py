"""From the scans of all shards to a published version: labels by their classes, the index, the manifest."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ropeway import index, manifest, manifest_reading
from ropeway.adopt import names
from ropeway.adopt.kept import Kept
from ropeway.adopt.rules import UNKNOWN, MetaRules, PartRules, Rules
from ropeway.adopt.scan import Broken, Seen, merged
from ropeway.adopt.values import column_of, task_of
from ropeway.errors import FormatError, UsageError
from ropeway.index_files import write_index
from ropeway.manifest import SPLITS, Card, Manifest, Part, Provenance, Shard, Split, Task
from ropeway.publishing import software
from ropeway.stores import Store

RECIPE = "adopt"
"""What a manifest names as the recipe of an adopted dataset."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What raw values mean, over all shards.

    Attributes:
        tasks: with their classes.
        types: metadata column → type.
        columns: index column → the place of its raw values, and the value of each.
    """

    tasks: tuple[Task, ...]
    types: Mapping[str, str]
    columns: Mapping[str, tuple[str, Mapping[str, Any]]]


def meaning(rules: Rules, scans: Sequence[Kept]) -> Meaning:
    """Types and classes, from the values that occur.

    Raises:
        RecipeError: values that fit no type, or none of the classes that the rules list.
    """
    tasks, types, columns = list[Task](), dict[str, str](), dict[str, tuple[str, Mapping[str, Any]]]()
    for task_id, rule in rules.tasks.items():
        task, labels = task_of(task_id, rule, _distinct(scans, rule.from_))
        tasks.append(task)
        columns[f"task.{task_id}"] = rule.from_, labels
    for name, column in rules.meta.items():
        types[name], values = column_of(name, column, _distinct(scans, column.from_))
        columns[f"meta.{name}"] = column.from_, values
    if rules.subject:
        _, subjects = column_of(
            "subject", MetaRules(from_=rules.subject, type="string"), _distinct(scans, rules.subject)
        )
        columns["subject"] = rules.subject, subjects
    return Meaning(tuple(tasks), types, columns)


def _distinct(scans: Sequence[Kept], place: str) -> list[str]:
    found = {value for scan in scans for value in scan.rows.column(f"at.{place}").drop_null().unique().to_pylist()}
    return sorted(found)


def build(store: Store, dataset: str, version: str, rules: Rules, scans: Sequence[Kept], broken: Sequence[Broken],
          parameters: Mapping[str, str | int], source: str) -> Manifest:  # fmt: skip
    """Write the index, and make the manifest that goes with it.

    Raises:
        UsageError: keys that repeat from shard to shard, or subjects in two splits.
        FormatError: what a part is differs between shards.
    """
    _check_keys(scans)
    known = meaning(rules, scans)
    parts = _parts(rules, scans)
    schema = index.schema(parts, known.tasks, known.types)
    if any(scan.rows.column("crc32c").null_count for scan in scans):
        schema = index.unchecked(schema)
    tables = [_rows(scan, schema, known) for scan in scans]
    subjects = _subjects(scans, tables)
    _check_leaks(subjects, rules)
    made = Manifest(
        format=manifest.FORMAT,
        dataset=dataset,
        version=version,
        card=_card(dataset, rules, parts.values()),
        parts=tuple(parts.values()),
        tasks=known.tasks,
        splits=tuple(_splits(scans, subjects)),
        shards=tuple(
            Shard(path=scan.place.url, split=scan.place.split, bytes=scan.place.bytes, samples=scan.samples,
                  sha256=scan.sha256)
            for scan in scans
        ),
        index=tuple(write_index(store, dataset, version, tables)),
        provenance=Provenance(
            recipe=RECIPE, parameters=parameters, software=software(), source=source, source_files=len(scans),
            source_bytes=sum(scan.place.bytes for scan in scans), leaks=rules.leaks,
            skipped={"broken shard": len(broken)} if broken else {},
        ),
    )  # fmt: skip
    manifest_reading.check(made)
    return made


def _check_keys(scans: Sequence[Kept]) -> None:
    keys = Counter[str]()
    for scan in scans:
        keys.update(scan.rows.column("key").to_pylist())
    key, count = next(iter(keys.most_common(1)), ("", 0))
    if count > 1:
        where = [scan.place.url for scan in scans if pc.any(pc.equal(scan.rows.column("key"), key)).as_py()]
        raise UsageError(f"{sum(n > 1 for n in keys.values()):,} keys are in several shards, such as in {where[0]} and "
                         f"{where[-1]}: give --key '{{shard}}/{{key}}' to tell them apart", key=key)  # fmt: skip


def _parts(rules: Rules, scans: Sequence[Kept]) -> dict[str, Part]:
    seen: dict[str, Seen] = {}
    for scan in scans:
        for name, one in scan.parts.items():
            try:
                seen[name] = merged(name, seen[name], one) if name in seen else one
            except FormatError as error:
                error.shard = scan.place.url
                raise
    return {name: _part(name, seen[name], rules.parts.get(name)) for name in sorted(seen)}


def _part(name: str, seen: Seen, rules: PartRules | None) -> Part:
    return Part(
        name=name,
        kind=(rules.kind if rules else None) or names.kind_of(seen.format),
        format=seen.format,
        dtype=seen.dtype,
        shape=seen.shape,
        axes=rules.axes if rules else (),
        units=rules.units if rules else "",
        sampling_rate=rules.sampling_rate if rules else None,
        samples=seen.samples,
    )


def _rows(scan: Kept, schema: pa.Schema, known: Meaning) -> pa.Table:
    """A shard's rows as the index has them."""
    count, columns = len(scan.rows), dict[str, pa.Array]()
    for field in schema:
        if field.name in ("shard", "split"):
            word = scan.place.url if field.name == "shard" else scan.place.split
            columns[field.name] = pa.array([word] * count, pa.string()).cast(field.type)
        elif field.name in known.columns:
            place, values = known.columns[field.name]
            raws = scan.rows.column(f"at.{place}").to_pylist()
            columns[field.name] = pa.array([None if raw is None else values[raw] for raw in raws], field.type)
        elif field.name in scan.rows.column_names:
            columns[field.name] = scan.rows.column(field.name).combine_chunks()
        else:
            columns[field.name] = pa.nulls(count, field.type)
    return pa.table(columns, schema=schema)


def _subjects(scans: Sequence[Kept], tables: Sequence[pa.Table]) -> dict[str, set[str]]:
    """Split → who is in it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for scan, rows in zip(scans, tables, strict=True):
        found[scan.place.split].update(rows.column("subject").drop_null().unique().to_pylist())
    return found


def _check_leaks(subjects: Mapping[str, set[str]], rules: Rules) -> None:
    both = Counter(subject for split in subjects.values() for subject in split)
    leaking = sum(count > 1 for count in both.values())
    if leaking and not rules.leaks:
        raise UsageError(f"{leaking:,} subjects are in more than one split: a model would be tested on patients that "
                         "it was trained on; if that is meant, the rules say why (leaks = …)")  # fmt: skip


def _card(dataset: str, rules: Rules, parts: Any) -> Card:
    card = rules.card
    kinds = tuple(dict.fromkeys(part.kind for part in parts))
    return Card(
        title=card.title or dataset, domain=card.domain, modalities=card.modalities or kinds, licence=card.licence,
        access=card.access, unit=card.unit, citation=card.citation, homepage=card.homepage,
        description=card.description, shareable=card.licence != UNKNOWN,
    )  # fmt: skip


def _splits(scans: Sequence[Kept], subjects: Mapping[str, set[str]]) -> Iterator[Split]:
    for name in SPLITS:
        own = [scan for scan in scans if scan.place.split == name]
        if own:
            yield Split(name=name, samples=sum(scan.samples for scan in own), subjects=len(subjects[name]),
                        bytes=sum(scan.place.bytes for scan in own), shards=len(own))  # fmt: skip
