"""One adoption: list the shards, read those that nobody has read yet, publish."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import msgspec

from ropeway import manifest
from ropeway.adopt import kept as scans
from ropeway.adopt.kept import Kept
from ropeway.adopt.places import Place, find
from ropeway.adopt.publish import build
from ropeway.adopt.reading import THROUGH, Job, Manner, Outcomes, read_all
from ropeway.adopt.rules import Rules, check
from ropeway.adopt.scan import Broken
from ropeway.errors import AlreadyExists
from ropeway.keys import check_dataset
from ropeway.manifest import Manifest, SplitName
from ropeway.publishing import check_not_erased, point_latest, published, withdrawn_from
from ropeway.stores import Store

REVISION = 1
"""Part of every version. Counted up when the same shards and rules would give another index than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What an adoption made, and what it took.

    Attributes:
        read: bytes of shards that were read, each once at most; shards whose scan was kept are not read again.
        requests: range requests; 0 for local files.
        seconds: from beginning to end.
        kept: shards that an earlier, stopped adoption had read.
        ignored: members that belong to no sample.
        broken: problems of the shards that were left out, by shard.
        withdrawn: subjects who were withdrawn from the dataset: its current version, a later one, is without them.
    """

    manifest: Manifest
    read: int
    requests: int
    seconds: float
    kept: int
    ignored: int
    broken: Mapping[str, tuple[str, ...]]
    withdrawn: int


def adopt(
    store: Store,
    dataset: str,
    shards: Mapping[SplitName, Iterable[str]],
    rules: Rules | None = None,
    *,
    manner: Manner = THROUGH,
    skip_broken: bool = False,
    processes: int | None = None,
    listed: Callable[[int], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> Adopted:
    """Make a dataset of WebDataset tars that stay where they are.

    The version is a digest of the shards' places, sizes and tags and of the rules: the same adoption again finds its
    version there; one that was stopped goes on; shards that were replaced give a new version.

    Args:
        store: where index and manifest go.
        dataset: the new dataset's id.
        shards: split → patterns: local globs, `{000..999}` ranges, URLs of objects.
        rules: what is in the shards; by default every field is a part, and there are no tasks.
        manner: how shards are read: `THROUGH`, or by their `HEADERS`, without checksums.
        skip_broken: leave broken shards out, and count them in the manifest.
        processes: that read shards, at most; by default as many as there are cores. Far stores may want more.
        listed: told the bytes of all shards, once.
        advance: told the bytes of each piece read, for a progress bar.

    Raises:
        UsageError: patterns that match nothing or a shard twice, keys that repeat, subjects in two splits; or this very
            version was erased, because subjects were withdrawn.
        RecipeError: rules that don't fit the values.
        Broken: a shard is broken; `problems` has one line for each problem of each shard.
        StoreError: a shard or the store can't be read or written.
    """
    begun, rules = monotonic(), rules or Rules()
    check_dataset(dataset)
    check(rules)
    places = find(shards)
    listed(sum(place.bytes for place in places))
    version, source = _version(dataset, places, rules, manner)
    job = Job(store, scans.folder(dataset, version), rules, manner)
    check_not_erased(store, dataset, version)
    there = published(store, dataset, version)
    outcomes = Outcomes({}, 0)
    if there is None:
        outcomes = read_all(job, places, processes or len(os.sched_getaffinity(0)), advance)
        broken, sound = _sorted(outcomes)
        _check_broken(broken, sound, skip_broken)
        made = build(store, dataset, version, rules, sound, broken, _parameters(rules, shards, manner), source)
        there = _publish(store, made)
    withdrawn = withdrawn_from(store, there, point_latest(store, dataset, version))
    for stat in list(store.objects(job.folder)):
        store.delete(stat.path)
    return _told(there, outcomes, monotonic() - begun, withdrawn)


def _sorted(outcomes: Outcomes) -> tuple[list[Broken], list[Kept]]:
    found = [outcomes.shards[number].found for number in sorted(outcomes.shards)]
    return [one for one in found if isinstance(one, Broken)], [one for one in found if isinstance(one, Kept)]


def _told(there: Manifest, outcomes: Outcomes, seconds: float, withdrawn: int) -> Adopted:
    broken, sound = _sorted(outcomes)
    return Adopted(
        manifest=there,
        read=sum(outcome.read for outcome in outcomes.shards.values()),
        requests=outcomes.requests,
        seconds=seconds,
        kept=sum(not outcome.read for outcome in outcomes.shards.values()),
        ignored=sum(one.ignored for one in sound),
        broken={one.shard or "": one.problems for one in broken},
        withdrawn=withdrawn,
    )


def _check_broken(broken: Sequence[Broken], sound: Sequence[Kept], skip: bool) -> None:
    if broken and (not skip or not sound):
        problems = tuple(f"{problem} [shard {one.shard}]" for one in broken for problem in one.problems)
        hint = "mend or leave them out; the others need not be read again" if sound else "nothing is left to adopt"
        raise Broken(f"{len(broken)} of {len(broken) + len(sound)} shards are broken: {hint}", problems=problems)


def _publish(store: Store, made: Manifest) -> Manifest:
    try:
        store.create(manifest.manifest_path(made.dataset, made.version), manifest.dumps(made))
    except AlreadyExists:  # somebody adopted the same meanwhile
        there = published(store, made.dataset, made.version)
        if there is None:
            raise
        return there
    return made


def _version(dataset: str, places: Sequence[Place], rules: Rules, manner: Manner) -> tuple[str, str]:
    """The version, and the digest of what was listed."""
    listing = [(place.url, place.split, place.bytes, place.tag) for place in places]
    source = hashlib.sha256(msgspec.json.encode(listing)).hexdigest()
    content = {"format": manifest.FORMAT, "revision": REVISION, "dataset": dataset, "rules": rules, "source": source}
    if manner != THROUGH:
        content["read"] = manner.name
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:12], source


def _parameters(rules: Rules, shards: Mapping[SplitName, Iterable[str]], manner: Manner) -> dict[str, str | int]:
    patterns = {f"shards_{split}": " ".join(given) for split, given in shards.items()}
    return {"rules": msgspec.json.encode(rules).decode(), "revision": REVISION, "read": manner.name, **patterns}
