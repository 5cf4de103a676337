"""One row of a recipe's source becomes one planned sample: what it is called, where it goes, and which files it has."""

from dataclasses import dataclass
from typing import Any

from ropeway.errors import FormatError
from ropeway.index import Value
from ropeway.keys import escape_key
from ropeway_shardgen.adapters import Adapter, Options
from ropeway_shardgen.fields import Fields, fill, lookup, matches
from ropeway_shardgen.keep_raw import Once
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.planned import PlannedSample, stow
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.resolved import Rules, resolved
from ropeway_shardgen.rules import PartRule
from ropeway_shardgen.source import RawSample
from ropeway_shardgen.splits import split_of
from ropeway_shardgen.values import labels, meta

_HEADERS = 1024
"""Bytes that a part's tar header and padding add to a shard, about."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What planning asks of one part of a recipe."""

    name: str
    rule: PartRule
    paths: tuple[str, ...]
    adapter: Adapter[Any]
    options: Options
    locators: tuple[str, ...]


class Sampler:
    """Plans the samples of a pack, one after the other. What is the same for all of them is looked up once."""

    def __init__(self, rules: Rules, listing: Listing) -> None:
        self._rules, self._listing = rules, listing
        self._parts = _parts(rules.recipe)
        self._located = {part.name: part.locators for part in self._parts if part.locators}
        self._once = Once(rules.recipe, listing)

    def stowed(self, raw: RawSample) -> tuple[PlannedSample, bytes] | None:
        """A sample, and what is stowed of it; None where the recipe does not want it.

        Raises:
            SampleError: it cannot be packed; the message says where it is.
        """
        try:
            sample = self._sample(raw)
            if sample is None:
                return None
            sample = self._once(sample)
            return sample, stow(sample)
        except SampleError as error:
            raise SampleError(f"{error.args[0]} ({raw.place})", reason=error.reason, key=error.key) from error

    def keep(self, sample: PlannedSample) -> None:
        """A sample is in the plan: no later one gets the originals that it has."""
        self._once.keep(sample)

    def _sample(self, raw: RawSample) -> PlannedSample | None:
        recipe = self._rules.recipe
        fields = resolved(raw.fields, self._rules)
        if not matches(fields, recipe.source.where):
            return None
        try:
            key = escape_key(fill(recipe.key, fields))
        except FormatError as error:
            raise SampleError(str(error), reason="no key") from error
        subject = self._subject(fields)
        files, size = self._files(raw, fields)
        return PlannedSample(
            key=key,
            split=split_of(recipe, fields, subject, key),
            subject=subject,
            files=files,
            fields={name: lookup(fields, name) for part in files for name in self._located.get(part, ())},
            labels=labels(recipe, fields, key),
            meta=self._meta(fields, key),
            size=size,
        )

    def _subject(self, fields: Fields) -> str | None:
        rule = self._rules.recipe.subject
        if rule is None:
            return None
        raw = fill(rule.id, fields)
        return self._rules.pseudonym(raw, "subject") if rule.pseudonym else raw

    def _meta(self, fields: Fields, key: str) -> dict[str, Value]:
        """The study, and the metadata columns that are known before a part's file is read."""
        recipe = self._rules.recipe
        if recipe.study is None:
            return meta(recipe.early, fields, key)
        study = self._rules.pseudonym(fill(recipe.study.id, fields), "study")
        return {"study": study} | meta(recipe.early, fields, key)

    def _files(self, raw: RawSample, fields: Fields) -> tuple[dict[str, str], int]:
        """The file of each part that the sample has, and the estimated size of them all."""
        files: dict[str, str] = {}
        size = 0
        for part in self._parts:
            if not part.adapter.needs_file:
                if part.rule.optional and any(lookup(fields, one) is None for one in part.locators):
                    continue
                files[part.name] = ""
                size += _HEADERS + (part.rule.bytes or 4 * len(part.locators))
                continue
            path = _file_of(self._listing, part, fields)
            if path is None:
                continue
            found = self._listing.add(path) + self._listing.add_companions(path, part.adapter, part.options)
            files[part.name] = path
            own = raw.bytes if path == raw.path else None
            size += _HEADERS + (part.rule.bytes or own or found)
        if not files:
            raise SampleError("the sample has none of its parts", reason="missing file")
        return files, size


def _parts(recipe: Recipe) -> tuple[_Part, ...]:
    return tuple(
        _Part(name, rule, rule.paths, *recipe.readers[name], recipe.locators[name])
        for name, rule in recipe.parts.items()
    )


def _file_of(listing: Listing, part: _Part, fields: Fields) -> str | None:
    """The first of a part's paths that is there; None for an optional part of which none is, or none can be filled."""
    if len(part.paths) == 1 and not part.rule.optional:
        return fill(part.paths[0], fields)  # whoever adds it to the listing finds it missing
    paths = []
    for template in part.paths:
        try:
            paths.append(fill(template, fields))
        except SampleError as error:
            if error.reason != "missing value":
                raise
    for path in paths:
        if (listing.root / path).exists():
            return path
    if part.rule.optional:
        return None
    raise SampleError(f"raw file missing: {' or '.join(paths) or 'its path has an empty field'}", reason="missing file")
