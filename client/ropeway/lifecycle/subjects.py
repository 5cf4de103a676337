"""Who is meant: subjects as a steward names them, by pseudonym or as the raw data has them."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from ropeway.errors import UsageError
from ropeway.manifest import Manifest

UNKEYED = "unkeyed"
"""What a manifest's parameter `pseudonyms` says where there was no key; else it has 12 hex digits of its sha256."""

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Named:
    """Subjects as they are given.

    Attributes:
        names: pseudonyms, as in the index's column `subject`; or original ids.
        original: whether they are original ids, as the recipe's `subject.id` makes them of raw data.
        key: the secret that keyed the pseudonyms; empty for none.
    """

    names: Sequence[str]
    original: bool = False
    key: bytes = b""

    def subjects(self, manifest: Manifest) -> frozenset[str]:
        """Their names in the index of a version.

        Raises:
            UsageError: there are none, or original ids mean nothing here, or the key is another one.
        """
        if not self.names:
            raise UsageError("name at least one subject")
        if not self.original:
            return frozenset(self.names)
        made = manifest.provenance
        if not made.namespace or "pseudonyms" not in made.parameters:
            raise UsageError("no pseudonyms were made of this dataset's subjects: give them as they are in its index",
                             dataset=manifest.dataset)  # fmt: skip
        _check_key(manifest, self.key)
        return frozenset(pseudonym(name, made.namespace, self.key) for name in self.names)


def pseudonym(original: str, namespace: str, key: bytes) -> str:
    """What packing calls a subject."""
    words = "\0".join((namespace, "subject", original)).encode()
    return hmac.digest(key, words, "sha256").hex()[:_DIGITS]


def _check_key(manifest: Manifest, key: bytes) -> None:
    used = manifest.provenance.parameters["pseudonyms"]
    given = hashlib.sha256(key).hexdigest()[:12] if key else UNKEYED
    if used == given:
        return
    if not key:
        raise UsageError("it was packed with a pseudonym key: give that, or pseudonyms", dataset=manifest.dataset)
    told = "without a pseudonym key: leave it out" if used == UNKEYED else "with another pseudonym key"
    raise UsageError(f"it was packed {told}", dataset=manifest.dataset)
