"""Withdrawing subjects: a new version of the same shards, whose index does not have them any more."""

from collections.abc import Mapping
from dataclasses import dataclass

from ropeway.errors import UsageError
from ropeway.lifecycle import withdrawn
from ropeway.lifecycle.subjects import Named
from ropeway.lifecycle.versions import Announce, current, point, publish, rows_of, unannounced
from ropeway.lifecycle.without import Without, indexed, without
from ropeway.manifest import Manifest
from ropeway.stores import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What a withdrawal did, or would do.

    Attributes:
        parent: the version that had them, empty where nothing was left to do.
        version: the current version now; of a dry run the one that there would be.
        subjects: withdrawn by this.
        already: of those asked for, withdrawn before.
        samples: left out, by split.
        shards: that hold them until the dataset is compacted.
        bytes: of those shards.
    """

    dataset: str
    parent: str
    version: str
    subjects: int
    already: int
    samples: Mapping[str, int]
    shards: int
    bytes: int


def withdraw(
    store: Store, dataset: str, named: Named, *, dry_run: bool = False, announce: Announce = unannounced
) -> Withdrawal:
    """Take subjects out of every later view of a dataset, at once.

    A new version is published whose index does not have them; its shards are those of the version before, and hold
    their bytes until the dataset is compacted. The same again finds its own work.

    Args:
        store: where the dataset lies.
        dataset: its id.
        named: the subjects.
        dry_run: only find out what would be done.
        announce: told before the new version becomes the current one.

    Raises:
        NotFound: no such dataset.
        UsageError: some are not in the dataset, or cannot be meant; then nothing is done.
        StoreError, FormatError: the store or what is in it can't be read or written.
    """
    while True:
        now = current(store, dataset)
        asked, before = named.subjects(now.manifest), withdrawn.load(store, now.manifest)
        rows = rows_of(store, now.manifest)
        there = asked.intersection(withdrawn.subjects(rows))
        already = {subject for subject in asked - there if withdrawn.digest(dataset, subject) in before}
        _check_known(now.manifest, len(asked), len(asked - there - already))
        if not there:
            return _told("", now.manifest, 0, len(already))
        digests = before | {withdrawn.digest(dataset, subject) for subject in there}
        made = without(now.manifest, rows, there, digests)
        if dry_run:
            return _told(now.manifest.version, made.manifest, len(there), len(already), made)
        published = indexed(store, made)
        publish(store, published, digests)
        announce(published, {"subjects": len(there), "samples": sum(made.lost.values())})
        if point(store, now, published.version):
            return _told(now.manifest.version, published, len(there), len(already), made)


def _check_known(manifest: Manifest, asked: int, unknown: int) -> None:
    if unknown:
        raise UsageError(
            f"{unknown:,} of the {asked:,} subjects are not in version {manifest.version}, and nobody was withdrawn: "
            "give pseudonyms as in the index's column subject, or say that they are original ids",
            dataset=manifest.dataset,
        )  # fmt: skip


def _told(parent: str, new: Manifest, subjects: int, already: int, made: Without | None = None) -> Withdrawal:
    shards = made.shards if made else ()
    return Withdrawal(
        dataset=new.dataset, parent=parent, version=new.version, subjects=subjects, already=already,
        samples=dict(made.lost) if made else {}, shards=len(shards), bytes=sum(shard.bytes for shard in shards),
    )  # fmt: skip
