"""`--keep-raw`: the original file beside each part that is stored decoded, as a part `<part>_raw`, without identity.

A recipe that keeps originals is an ordinary recipe with more parts, so plan, shards, index and manifest need no word of
it. A file that holds many samples (windows of a recording) is kept once, with the first of them; one that several parts
are read from, with the first of those.
"""

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from ropeway.content import RAW
from ropeway.errors import UsageError
from ropeway_shardgen.planned import PlannedSample
from ropeway_shardgen.pseudonyms import uid_key
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.rules import PartRule

ADAPTER = "raw"


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
    files: set[tuple[str, ...]] = set()
    for name, rule in recipe.parts.items():
        parts[name] = rule
        if recipe.readers[name][0].raw is None or rule.paths in files:
            continue
        if f"{name}{RAW}" in recipe.parts:
            raise UsageError(
                f"recipe {recipe.id} has a part {name}{RAW} of its own: it cannot keep originals of {name}"
            )
        files.add(rule.paths)
        parts[f"{name}{RAW}"] = PartRule(
            kind=rule.kind,
            adapter=ADAPTER,
            file=rule.file,
            options={"adapter": rule.adapter, "key": uid_key(secret).hex()},
            optional=True,
            bytes=1 if _shared(recipe, name) else None,
        )
    if len(parts) == len(recipe.parts):
        raise UsageError(f"recipe {recipe.id} stores its files as they are, or no adapter of it can keep originals")
    return msgspec.structs.replace(recipe, parts=parts)


def _shared(recipe: Recipe, part: str) -> bool:
    """Whether one file of a part may hold many samples."""
    adapter, options = recipe.readers[part]
    return bool(adapter.locators(options))


class Once:
    """Leaves each original file that holds many samples with the first sample that is read from it."""

    def __init__(self, recipe: Recipe, sizes: Mapping[str, int]) -> None:
        names = [name for name, rule in recipe.parts.items() if rule.adapter == ADAPTER]
        self._parts = [name for name in names if _shared(recipe, name.removesuffix(RAW))]
        self._sizes = sizes
        self._kept: set[tuple[str, str]] = set()

    def __call__(self, sample: PlannedSample) -> PlannedSample:
        """The sample without those originals that an earlier one has, and with the sizes of its own."""
        originals = {part: sample.files[part] for part in self._parts if part in sample.files}
        own = {part: path for part, path in originals.items() if (part, path) not in self._kept}
        if not originals:
            return sample
        self._kept.update(own.items())
        files = {part: path for part, path in sample.files.items() if part not in originals or part in own}
        return replace(sample, files=files, size=sample.size + sum(self._sizes[path] for path in own.values()))
