"""Who was withdrawn, as digests: enough to know somebody again whom raw data brings back, and to name nobody.

    <store>/<dataset>/<version>/withdrawn.json      all who were withdrawn until that version

It is written before the manifest, never changed, and not served.
"""

import hashlib
from collections.abc import Iterable

import msgspec
import pyarrow as pa

from ropeway.errors import FormatError, NotFound
from ropeway.manifest import Manifest, withdrawn_path
from ropeway.stores import Store

_DIGITS = 32
"""Hex digits of a digest."""

_DIGESTS = msgspec.json.Decoder(list[str])


def digest(dataset: str, subject: str) -> str:
    """What stands for a subject of a dataset."""
    return hashlib.sha256(f"ropeway withdrawn\0{dataset}\0{subject}".encode()).hexdigest()[:_DIGITS]


def load(store: Store, manifest: Manifest) -> frozenset[str]:
    """The digests of all who were withdrawn until a version.

    Raises:
        FormatError: the list is not there, or not as long as the manifest says: who was withdrawn cannot be told.
    """
    if not manifest.withdrawn_subjects:
        return frozenset()
    path = withdrawn_path(manifest.dataset, manifest.version)
    url = f"{store.url}/{path}"
    try:
        data, _ = store.load(path)
        found = frozenset(_DIGESTS.decode(data))
    except NotFound as error:
        raise FormatError("the list of who was withdrawn is missing: restore it from a copy", url=url) from error
    except msgspec.MsgspecError as error:
        raise FormatError(f"not a list of who was withdrawn: {error}", url=url) from error
    if len(found) != manifest.withdrawn_subjects:
        told = f"{len(found):,} subjects are on the list of who was withdrawn, the manifest says"
        raise FormatError(f"{told} {manifest.withdrawn_subjects:,}", url=url)
    return found


def write(store: Store, manifest: Manifest, digests: Iterable[str]) -> None:
    """Write the list of a version that is about to be published."""
    content = msgspec.json.format(msgspec.json.encode(sorted(digests)), indent=1) + b"\n"
    store.put(withdrawn_path(manifest.dataset, manifest.version), content)


def among(rows: pa.Table, dataset: str, digests: frozenset[str]) -> frozenset[str]:
    """Those subjects of index rows who are on the list."""
    return frozenset(subject for subject in subjects(rows) if digest(dataset, subject) in digests)


def subjects(rows: pa.Table) -> list[str]:
    """The different subjects of index rows."""
    found: list[str] = rows.column("subject").drop_null().unique().to_pylist()
    return found
