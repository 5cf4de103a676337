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

from ropeway.errors import SourceError
from ropeway.manifest import FORMAT, Card
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.filling import shards_of
from ropeway_shardgen.joins import Join, read_joins
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.planned import PlannedShard, outline
from ropeway_shardgen.problems import OnError, Problems, SampleError
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.references import used_columns
from ropeway_shardgen.resolved import Rules
from ropeway_shardgen.sampling import Sampler
from ropeway_shardgen.sizes import parse_size
from ropeway_shardgen.source import RawSample, raw_samples
from ropeway_shardgen.splits import leaks

REVISION = 1
"""Part of every version. Counted up when packing would write other bytes for the same input than the last release."""


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
    sampler, places = Sampler(rules, listing), dict[str, tuple[str, int | None]]()
    for raw in raw_samples(recipe, listing, problems, settings.secret):
        if settings.limit is not None and len(places) >= settings.limit:
            return
        try:
            found = sampler.stowed(raw)
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
        sampler.keep(sample)
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
