"""`--keep-raw`: the original file beside each part that is stored decoded, as a part `<part>_raw`, without identity.

A recipe that keeps originals is an ordinary recipe with more parts, so plan, shards, index and manifest need no word of
it. A file (or folder) that holds many samples (windows of a recording) is kept once, with the first of them; one that
several parts are read from, with the first of those. Where that sample is left out while shards are packed, the other
samples are in shards of their own, perhaps long finished: the original goes with it, and the pack says so.
"""

import msgspec

from ropeway.content import RAW
from ropeway.errors import UsageError
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.planned import PlannedSample
from ropeway_shardgen.pseudonyms import uid_key
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.rules import PartRule

ADAPTER = "raw"
LOST = ", and with it the original of its file"
"""What is added to the reason for which a sample is left out that holds an original for others too."""


def with_originals(recipe: Recipe, secret: bytes = b"") -> Recipe:
    """The recipe that also keeps the original files.

    Parts that are stored as the file itself (JPEG, video, text) have no other original.

    Args:
        recipe: what is packed.
        secret: key of the pseudonyms.

    Raises:
        UsageError: no part of the recipe has an original to keep, or a part already has such a name.
    """
    parts: dict[str, PartRule] = {}
    together = _together(recipe)
    for name, rule in recipe.parts.items():
        parts[name] = rule
        if name not in together:
            continue
        if f"{name}{RAW}" in recipe.parts:
            raise UsageError(
                f"recipe {recipe.id} has a part {name}{RAW} of its own: it cannot keep originals of {name}"
            )
        own = tuple(recipe.parts[part].options for part in together[name])
        parts[f"{name}{RAW}"] = PartRule(
            kind=rule.kind,
            adapter=ADAPTER,
            file=rule.file,
            options={"adapter": rule.adapter, "key": uid_key(secret).hex(), "parts": own},
            optional=True,
            bytes=1 if _shared(recipe, name) else None,
        )
    if len(parts) == len(recipe.parts):
        raise UsageError(f"recipe {recipe.id} stores its files as they are, or no adapter of it can keep originals")
    return msgspec.structs.replace(recipe, parts=parts)


def _together(recipe: Recipe) -> dict[str, list[str]]:
    """The first part of each file that can be kept → all parts that the same adapter reads from it."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, rule in recipe.parts.items():
        if recipe.readers[name][0].raw is not None:
            found.setdefault((rule.adapter, rule.paths), []).append(name)
    return {names[0]: names for names in found.values()}


def _shared(recipe: Recipe, part: str) -> bool:
    """Whether one file of a part may hold many samples."""
    adapter, options = recipe.readers[part]
    return bool(adapter.locators(options))


def holds_shared(recipe: Recipe, sample: PlannedSample) -> bool:
    """Whether a sample has the original of a file that may hold others too."""
    return any(part in sample.files for part in _shared_originals(recipe))


def _shared_originals(recipe: Recipe) -> list[str]:
    names = [name for name, rule in recipe.parts.items() if rule.adapter == ADAPTER]
    return [name for name in names if _shared(recipe, name.removesuffix(RAW))]


class Once:
    """Leaves each original file that holds many samples with the first sample that is read from it."""

    def __init__(self, recipe: Recipe, listing: Listing) -> None:
        self._parts = _shared_originals(recipe)
        self._recipe, self._listing = recipe, listing
        self._kept: set[tuple[str, str]] = set()

    def __call__(self, sample: PlannedSample) -> PlannedSample:
        """The sample without those originals that an earlier one has, and with the sizes of its own."""
        if not self._parts:
            return sample
        originals = {part: sample.files[part] for part in self._parts if part in sample.files}
        own = {part: path for part, path in originals.items() if (part, path) not in self._kept}
        if not originals:
            return sample
        files = {part: path for part, path in sample.files.items() if part not in originals or part in own}
        size = sample.size + sum(self._size(*one) for one in own.items())
        return msgspec.structs.replace(sample, files=files, size=size)

    def keep(self, sample: PlannedSample) -> None:
        """The originals of a sample that is planned: no later one gets them."""
        if self._parts:
            self._kept.update((part, sample.files[part]) for part in self._parts if part in sample.files)

    def _size(self, part: str, path: str) -> int:
        """Bytes of an original: of its file or folder, and of what is kept with it."""
        adapter, options = self._recipe.readers[part]
        return self._listing.add(path) + self._listing.add_companions(path, adapter, options)
