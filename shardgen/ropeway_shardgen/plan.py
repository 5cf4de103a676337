"""The plan of a pack: which samples there are, which shard each goes into, and the version they will be.

Everything that can be known without reading sample content is decided and checked here, in one process: the same raw
folder, recipe and settings give the same plan, on any machine. What is left is packing shards, each on its own.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from ropeway.errors import FormatError, SourceError
from ropeway.index import Value
from ropeway.keys import escape_key
from ropeway.manifest import FORMAT, Card
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.fields import Fields, fill, lookup, matches
from ropeway_shardgen.filling import shards_of
from ropeway_shardgen.joins import Join, read_joins
from ropeway_shardgen.keep_raw import Once
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.planned import PlannedSample, PlannedShard, outline, stow
from ropeway_shardgen.problems import OnError, Problems, SampleError
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.references import used_columns
from ropeway_shardgen.resolved import Rules, resolved
from ropeway_shardgen.rules import PartRule
from ropeway_shardgen.sizes import parse_size
from ropeway_shardgen.source import RawSample, raw_samples
from ropeway_shardgen.splits import leaks, split_of
from ropeway_shardgen.values import labels, meta

REVISION = 1
"""Part of every version. Counted up when packing would write other bytes for the same input than the last release."""

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
        return sum(map(len, self.shards))


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
    for leak in _leaks(recipe, samples):
        problems.add_fatal(leak)
    problems.raise_found()
    if not samples:
        skipped = "".join(f"; {count} left out: {reason}" for reason, count in problems.skipped.items())
        raise SourceError(f"no sample in {listing.root}{skipped}", dataset=recipe.id)
    parameters = _parameters(recipe, settings)
    digest = listing.digest()
    if recipe.order == "shuffled":
        samples.sort(key=lambda sample: hashlib.sha256(outline(sample).key.encode()).digest())
    return Plan(
        recipe=recipe,
        version=_version(recipe, parameters, digest),
        root=listing.root,
        parameters=parameters,
        shards=tuple(shards_of(samples, int(parameters["shard_size"] or 0))),
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
        return [*problems.found, str(error.args[0])]
    finally:
        close_all()
    found = [*problems.found, *_leaks(recipe, samples)]
    return found or ([] if samples else ["no sample in the folder"])


def _leaks(recipe: Recipe, samples: list[bytes]) -> list[str]:
    """Subjects in several splits, unless the recipe says why the official split has them there."""
    if recipe.split_leaks:
        return []
    return leaks((sample.subject, sample.split) for sample in map(outline, samples))


def _samples(recipe: Recipe, listing: Listing, settings: Settings, problems: Problems) -> Iterator[bytes]:
    """The samples, stowed; what is wrong with others is told to `problems`."""
    rules = Rules(recipe, _joins(recipe, listing, problems), settings.secret)
    once, places = Once(recipe, listing), dict[str, tuple[str, int | None]]()
    for raw in raw_samples(recipe, listing, problems, settings.secret):
        if settings.limit is not None and len(places) >= settings.limit:
            return
        try:
            found = _stowed(rules, listing, once, raw)
        except SampleError as error:
            problems.add(error)
            continue
        if found is None:
            continue
        sample, stowed = found
        if sample.key in places:
            first = RawSample(*places[sample.key], {})
            problems.add_fatal(f"key {sample.key} is there twice: {first.place} and {raw.place}")
            continue
        places[sample.key] = (raw.path, raw.number)
        once.keep(sample)
        yield stowed
    _check_joins(rules.joins.values(), problems)


def _joins(recipe: Recipe, listing: Listing, problems: Problems) -> dict[str, Join]:
    try:
        return read_joins(recipe.joins, lambda join: used_columns(recipe, join), listing, problems)
    except SampleError as error:
        raise SourceError(str(error), dataset=recipe.id) from error


def _check_joins(joins: Iterable[Join], problems: Problems) -> None:
    """After all samples have asked them."""
    for join in joins:
        if join.beside:
            problems.add_fatal(
                f"joins.{join.name}: not one sample has a row in {' or '.join(join.rule.tables)}: are its keys written "
                "as the samples' are?"
            )


def _stowed(rules: Rules, listing: Listing, once: Once, raw: RawSample) -> tuple[PlannedSample, bytes] | None:
    """A sample, and what is stowed of it; None where the recipe does not want it.

    Raises:
        SampleError: it cannot be packed; the message says where it is.
    """
    try:
        sample = _sample(rules, listing, raw)
        if sample is None:
            return None
        sample = once(sample)
        return sample, stow(sample)
    except SampleError as error:
        raise SampleError(f"{error.args[0]} ({raw.place})", reason=error.reason, key=error.key) from error


def _sample(rules: Rules, listing: Listing, raw: RawSample) -> PlannedSample | None:
    recipe = rules.recipe
    fields = resolved(raw.fields, rules)
    if not matches(fields, recipe.source.where):
        return None
    try:
        key = escape_key(fill(recipe.key, fields))
    except FormatError as error:
        raise SampleError(str(error), reason="no key") from error
    subject = _subject(rules, fields)
    files, size = _files(recipe, listing, raw, fields)
    return PlannedSample(
        key=key,
        split=split_of(recipe, fields, subject, key),
        subject=subject,
        files=files,
        fields={name: lookup(fields, name) for part in files for name in recipe.locators[part]},
        labels=labels(recipe, fields, key),
        meta=_study(rules, fields) | meta(recipe.early, fields, key),
        size=size,
    )


def _subject(rules: Rules, fields: Fields) -> str | None:
    rule = rules.recipe.subject
    if rule is None:
        return None
    raw = fill(rule.id, fields)
    return rules.pseudonym(raw, "subject") if rule.pseudonym else raw


def _study(rules: Rules, fields: Fields) -> dict[str, Value]:
    rule = rules.recipe.study
    return {"study": rules.pseudonym(fill(rule.id, fields), "study")} if rule else {}


def _files(recipe: Recipe, listing: Listing, raw: RawSample, fields: Fields) -> tuple[dict[str, str], int]:
    """The file of each part that the sample has, and the estimated size of them all."""
    files: dict[str, str] = {}
    size = 0
    for name, part in recipe.parts.items():
        adapter, options = recipe.readers[name]
        if not adapter.needs_file:
            locators = recipe.locators[name]
            if part.optional and any(lookup(fields, one) is None for one in locators):
                continue
            files[name] = ""
            size += _HEADERS + (part.bytes or 4 * len(locators))
            continue
        path = _file_of(listing, part, fields)
        if path is None:
            continue
        found = listing.add(path) + listing.add_companions(path, adapter, options)
        files[name] = path
        own = raw.bytes if path == raw.path else None
        size += _HEADERS + (part.bytes or own or found)
    if not files:
        raise SampleError("the sample has none of its parts", reason="missing file")
    return files, size


def _file_of(listing: Listing, part: PartRule, fields: Fields) -> str | None:
    """The first of a part's paths that is there; None for an optional part of which none is, or none can be filled."""
    templates = part.paths
    if len(templates) == 1 and not part.optional:
        return fill(templates[0], fields)  # whoever adds it to the listing finds it missing
    paths = []
    for template in templates:
        try:
            paths.append(fill(template, fields))
        except SampleError as error:
            if error.reason != "missing value":
                raise
    for path in paths:
        if (listing.root / path).exists():
            return path
    if part.optional:
        return None
    raise SampleError(f"raw file missing: {' or '.join(paths) or 'its path has an empty field'}", reason="missing file")


def _parameters(recipe: Recipe, settings: Settings) -> dict[str, str | int | float | bool | None]:
    parameters = asdict(settings)
    parameters["shard_size"] = settings.shard_size or parse_size(recipe.shard_size)
    secret = parameters.pop("secret")
    parameters["pseudonyms"] = hashlib.sha256(secret).hexdigest()[:12] if secret else "unkeyed"
    return {**parameters, "revision": REVISION}


def _version(recipe: Recipe, parameters: Mapping[str, object], source: str) -> str:
    """The digest of all that the bytes depend on.

    What is said of CLIMB is for people only.
    What a recipe leaves to defaults is left out: a key that a later release adds to the language changes no version.
    """
    said = {f.name: value for f in dataclasses.fields(Card) if (value := getattr(recipe.card, f.name)) != f.default}
    rules = msgspec.to_builtins(recipe) | {"card": said}
    rules.pop("climb", None)
    content = {"format": FORMAT, "recipe": rules, "parameters": parameters, "source": source}
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:12]
