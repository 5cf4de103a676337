"""Which split a sample is in, and the check that no subject is in two."""

from collections.abc import Iterable, Mapping

from ropeway.manifest import SPLITS, SplitName
from ropeway_shardgen.fields import Fields, fill, lookup, text
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.pseudonyms import fraction
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.rules import ColumnSplit, GroupSplit, SubjectHash

DEALT = "ropeway"
"""Seed of the hash that deals subjects whom an official split leaves out."""


def split_of(recipe: Recipe, fields: Fields, subject: str | None, key: str) -> SplitName:
    """The split of a sample, by the recipe's rule.

    Raises:
        SampleError: the rule has no answer for it.
    """
    rule = recipe.split
    match rule:
        case SubjectHash():
            return _dealt(rule.fractions, fill(rule.by, fields) if rule.by else subject or key, rule.seed)
        case ColumnSplit():
            word = text(lookup(fields, rule.from_)) or ""
            if not word and rule.otherwise:
                return _dealt(rule.otherwise, subject or key, DEALT)
            if word not in rule.map:
                raise SampleError(
                    f"split {word!r} in field {rule.from_!r} is none of: {', '.join(rule.map)}",
                    reason="no split",
                    key=key,
                )
            return rule.map[word]
        case GroupSplit():
            found = text(lookup(fields, rule.from_))
            for split in SPLITS:
                if found in getattr(rule, split):
                    return split
            raise SampleError(f"{rule.from_} {found!r} is listed for no split", reason="no split", key=key)


def _dealt(fractions: Mapping[SplitName, float], group: str, seed: str) -> SplitName:
    at, end = fraction(group, seed), 0.0
    last: SplitName = "train"
    for split in SPLITS:
        if (share := fractions.get(split, 0)) > 0:
            last, end = split, end + share
            if at < end:
                break
    return last


def leaks(samples: Iterable[tuple[str | None, SplitName]]) -> list[str]:
    """One problem for each subject (by its pseudonym) that is in more than one split."""
    splits: dict[str, SplitName] = {}
    several: dict[str, set[SplitName]] = {}
    for subject, split in samples:
        if subject is not None and (first := splits.setdefault(subject, split)) != split:
            several.setdefault(subject, {first}).add(split)
    return [
        f"subject {subject} is in the splits {' and '.join(split for split in SPLITS if split in found)}"
        for subject, found in sorted(several.items())
    ]
