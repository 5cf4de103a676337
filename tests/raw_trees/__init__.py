"""Tiny raw folders, one per recipe, in the true layout and the true file formats, and what must come out of each.

A function writes a tree, reads the values back with a reader that is not ours, and returns what it expects.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway_shardgen import pseudonyms

__all__ = ["Content", "Expected", "Frames", "Tree", "pseudonym", "raw_tree", "raw_trees"]


@dataclass(frozen=True, slots=True)
class Frames:
    """A video that is not byte for byte a raw file: grey levels of the frames that it must show."""

    grey: npt.NDArray[np.generic]


Content: TypeAlias = npt.NDArray[np.generic] | Mapping[str, npt.NDArray[np.generic]] | Frames | bytes | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a packed tree must hold.

    Attributes:
        splits: samples per split.
        subjects: how many there are; 0 where the recipe names none.
        labels: key → task → class name, names, number, or None; for a multilabel task with classes nobody judged
            `{"positive": [...], "unknown": [...]}`.
        parts: key → part → the array exactly as stored, the arrays of an npz by name, the bytes of the file, text, or
            the frames of a video; None: the sample lacks it.
        meta: key → some of its metadata.
        skipped: samples left out, by reason. If there are any, packing that does not skip must fail.
    """

    splits: Mapping[str, int]
    subjects: int
    labels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Content | None]] = field(default_factory=dict)
    meta: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)


Tree: TypeAlias = Callable[[Path], Expected]
_TREES: dict[str, Tree] = {}


def raw_tree(recipe: str) -> Callable[[Tree], Tree]:
    """Register the function that writes a recipe's tree into an empty folder."""

    def register(tree: Tree) -> Tree:
        assert recipe not in _TREES, recipe
        _TREES[recipe] = tree
        return tree

    return register


def raw_trees() -> dict[str, Tree]:
    """Every recipe's tree."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return dict(sorted(_TREES.items()))


def pseudonym(namespace: str, kind: str, raw: str) -> str:
    """The pseudonym that packing without a secret gives."""
    return pseudonyms.pseudonym(raw, namespace=namespace, kind=kind, secret=b"")
