"""The plan of a pack: which samples there are, which shard each goes into, and the version they will be.

Everything that can be known without reading sample content is decided and checked here, in one process: the same raw
folder, recipe and settings give the same plan, on any machine. What is left is packing shards, each on its own.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from ropeway.errors import FormatError, SourceError
from ropeway.index import Label, Value
from ropeway.keys import escape_key
from ropeway.manifest import FORMAT, SPLITS, Card, SplitName
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.fields import Fields, fill, lookup, matches
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.problems import OnError, Problems, SampleError
from ropeway_shardgen.pseudonyms import pseudonym
from ropeway_shardgen.recipe import PartRule, Recipe
from ropeway_shardgen.sizes import parse_size
from ropeway_shardgen.source import RawSample, raw_samples
from ropeway_shardgen.splits import leaks, split_of
from ropeway_shardgen.values import derived, labels, late, meta

REVISION = 1
"""Part of every version. Counted up when packing would write other bytes for the same input than it did before."""

_HEADERS = 1024
"""Bytes that a part's tar header and padding add to a shard, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a person may choose for a pack. All of it goes into the version."""

    shard_size: int | None = None
    """Bytes; None: as the recipe says."""
    limit: int | None = None
    """At most so many samples, the first of the source."""
    on_error: OnError = "raise"
    secret: bytes = b""
    """Key of the pseudonyms; only its digest is ever written down."""


DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class PlannedSample:
    """One sample, ready to be read.

    Attributes:
        files: part → file (relative to the raw root), or "" for an adapter that reads none; absent: lacks the part.
        fields: what the adapters need to find it.
        size: about how many bytes it will take in a shard.
    """

    key: str
    split: SplitName
    subject: str | None
    files: Mapping[str, str]
    fields: Fields
    labels: Mapping[str, Label]
    meta: Mapping[str, Value]
    size: int


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """The samples of one tar file, in order."""

    name: str
    split: SplitName
    samples: tuple[PlannedSample, ...]

    @property
    def size(self) -> int:
        """About how many bytes it will have."""
        return sum(sample.size for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Plan:
    """A pack before it begins."""

    recipe: Recipe
    version: str
    root: Path
    parameters: Mapping[str, str | int | float | bool | None]
    shards: tuple[PlannedShard, ...]
    source: str
    """Digest of the raw files' listing."""
    source_files: int
    source_bytes: int
    skipped: Mapping[str, int]
    """Samples left out so far, by reason."""

    @property
    def samples(self) -> int:
        """Samples in all shards."""
        return sum(len(shard.samples) for shard in self.shards)


def make_plan(recipe: Recipe, root: str | Path, settings: Settings = DEFAULTS) -> Plan:
    """Plan a pack.

    Raises:
        SourceError: the raw data does not fit the recipe: a missing or unreadable file, a key twice, a label outside
            the classes, a subject in two splits, no sample at all. The message names the first few.
    """
    problems = Problems(recipe.id, settings.on_error)
    listing = Listing(root, recipe.id)
    try:
        samples = list(_samples(recipe, listing, settings, problems))
    finally:
        close_all()
    for leak in leaks((sample.subject, sample.split) for sample in samples):
        problems.add_fatal(leak)
    problems.raise_found()
    if not samples:
        skipped = "".join(f"; {count} left out: {reason}" for reason, count in problems.skipped.items())
        raise SourceError(f"no sample in {listing.root}{skipped}", dataset=recipe.id)
    parameters = _parameters(recipe, settings)
    digest = listing.digest()
    if recipe.order == "shuffled":
        samples.sort(key=lambda sample: hashlib.sha256(sample.key.encode()).digest())
    return Plan(
        recipe=recipe,
        version=_version(recipe, parameters, digest),
        root=listing.root,
        parameters=parameters,
        shards=tuple(_shards(samples, int(parameters["shard_size"] or 0))),
        source=digest,
        source_files=len(listing.sizes),
        source_bytes=sum(listing.sizes.values()),
        skipped=dict(sorted(problems.skipped.items())),
    )


def inspect(recipe: Recipe, root: str | Path, settings: Settings = DEFAULTS) -> list[str]:
    """All that is wrong with a raw folder, in the words of the plan's errors; empty when it can be packed."""
    problems = Problems(recipe.id, "raise")
    try:
        listing = Listing(root, recipe.id)
        samples = list(_samples(recipe, listing, settings, problems))
    except SourceError as error:
        return [*problems.found, str(error)]
    finally:
        close_all()
    found = [*problems.found, *leaks((sample.subject, sample.split) for sample in samples)]
    return found or ([] if samples else ["no sample in the folder"])


def _samples(recipe: Recipe, listing: Listing, settings: Settings, problems: Problems) -> Iterator[PlannedSample]:
    places: dict[str, tuple[str, int | None]] = {}
    for raw in raw_samples(recipe, listing, problems, settings.secret):
        if settings.limit is not None and len(places) >= settings.limit:
            return
        try:
            sample = _sample(recipe, listing, raw, settings.secret)
        except SampleError as error:
            problems.add(_placed(error, raw))
            continue
        if sample is None:
            continue
        if sample.key in places:
            first = RawSample(*places[sample.key], {}).place
            problems.add_fatal(f"key {sample.key} is there twice: {first} and {raw.place}")
            continue
        places[sample.key] = (raw.path, raw.number)
        yield sample


def _sample(recipe: Recipe, listing: Listing, raw: RawSample, secret: bytes) -> PlannedSample | None:
    fields = derived(recipe, raw.fields)
    if not matches(fields, recipe.source.where):
        return None
    try:
        key = escape_key(fill(recipe.key, fields))
    except FormatError as error:
        raise SampleError(str(error), reason="no key") from error
    subject = _subject(recipe, fields, secret)
    files, size = _files(recipe, listing, raw, fields)
    early = {name: rule for name, rule in recipe.meta.items() if not late(recipe, name)}
    return PlannedSample(
        key=key,
        split=split_of(recipe, fields, subject, key),
        subject=subject,
        files=files,
        fields={name: lookup(fields, name) for part in files for name in _locators(recipe, part)},
        labels=labels(recipe, fields, key),
        meta=meta(early, fields, key),
        size=size,
    )


def _subject(recipe: Recipe, fields: Fields, secret: bytes) -> str | None:
    if recipe.subject is None:
        return None
    raw = fill(recipe.subject.id, fields)
    if not recipe.subject.pseudonym:
        return raw
    return pseudonym(raw, namespace=recipe.subject.namespace or recipe.id, kind="subject", secret=secret)


def _locators(recipe: Recipe, part: str) -> tuple[str, ...]:
    adapter, options = recipe.readers[part]
    return adapter.locators(options)


def _files(recipe: Recipe, listing: Listing, raw: RawSample, fields: Fields) -> tuple[dict[str, str], int]:
    """The file of each part that the sample has, and the estimated size of them all."""
    files: dict[str, str] = {}
    size = 0
    for name, part in recipe.parts.items():
        if not recipe.readers[name][0].needs_file:
            files[name] = ""
            size += _HEADERS + (part.bytes or 4 * len(_locators(recipe, name)))
            continue
        if part.optional and _lacks(listing, part, fields):
            continue
        path = fill(part.file, fields)
        found = listing.add(path)
        files[name] = path
        own = raw.bytes if path == raw.path else None
        size += _HEADERS + (part.bytes or own or found)
    if not files:
        raise SampleError("the sample has none of its parts", reason="missing file")
    return files, size


def _lacks(listing: Listing, part: PartRule, fields: Fields) -> bool:
    """Whether an optional part is not there: its path cannot be filled, or names no file."""
    try:
        path = fill(part.file, fields)
    except SampleError as error:
        if error.reason != "missing value":
            raise
        return True
    return not (listing.root / path).exists()


def _placed(error: SampleError, raw: RawSample) -> SampleError:
    return SampleError(f"{error.args[0]} ({raw.place})", reason=error.reason, key=error.key)


def _shards(samples: list[PlannedSample], shard_size: int) -> Iterator[PlannedShard]:
    """Samples in order, each split cut where a shard would grow past its size. A larger sample has its own shard."""
    for split in SPLITS:
        number, size, run = 0, 0, list[PlannedSample]()
        for sample in samples:
            if sample.split != split:
                continue
            if run and size + sample.size > shard_size:
                yield PlannedShard(f"{split}-{number:06d}.tar", split, tuple(run))
                number, size, run = number + 1, 0, []
            run.append(sample)
            size += sample.size
        if run:
            yield PlannedShard(f"{split}-{number:06d}.tar", split, tuple(run))


def _parameters(recipe: Recipe, settings: Settings) -> dict[str, str | int | float | bool | None]:
    parameters = asdict(settings)
    parameters["shard_size"] = settings.shard_size or parse_size(recipe.shard_size)
    secret = parameters.pop("secret")
    parameters["pseudonyms"] = hashlib.sha256(secret).hexdigest()[:12] if secret else "unkeyed"
    return {**parameters, "revision": REVISION}


def _version(recipe: Recipe, parameters: Mapping[str, object], source: str) -> str:
    """The digest of all that the bytes depend on.

    What a recipe leaves to defaults is left out: a key that a later release adds to the language changes no version.
    """
    said = {f.name: value for f in dataclasses.fields(Card) if (value := getattr(recipe.card, f.name)) != f.default}
    rules = msgspec.to_builtins(recipe) | {"card": said}
    content = {"format": FORMAT, "recipe": rules, "parameters": parameters, "source": source}
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:12]
