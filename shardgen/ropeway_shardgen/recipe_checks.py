"""What a recipe must fulfil beyond the shape of its tables. Problems are ValueErrors that name the key."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from ropeway.errors import RopewayError
from ropeway.keys import check_dataset, check_part
from ropeway_shardgen.adapters import adapter
from ropeway_shardgen.fields import holes
from ropeway_shardgen.recipe import (
    ColumnSplit,
    FieldRule,
    GroupSplit,
    Recipe,
    SubjectHash,
    TaskRule,
    configured,
    place_first,
)
from ropeway_shardgen.sizes import parse_size

RESERVED = ("dataset", "domain", "modality", "split", "subject", "key", "label")
"""Column names of the query language that metadata may not take."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TASK = re.compile(r"[a-z][a-z0-9_-]*")
T = TypeVar("T")


def check(recipe: Recipe) -> None:
    """Raise ValueError when a recipe contradicts itself."""
    _at("id", check_dataset, recipe.id)
    _at("key", holes, recipe.key)
    _at("shard_size", parse_size, recipe.shard_size)
    _check_source(recipe)
    _check_parts(recipe)
    for name, rule in recipe.fields.items():
        _check_field(name, rule)
    for name, task in recipe.tasks.items():
        _check_task(name, task)
    _check_meta(recipe)
    if recipe.subject:
        _at("subject.id", holes, recipe.subject.id)
    _check_split(recipe.split)


def _check_source(recipe: Recipe) -> None:
    source = recipe.source
    if bool(source.table) == bool(source.files):
        raise ValueError("source: give either a table or files")
    if source.table and (source.pattern or source.adapter):
        raise ValueError("source: pattern and adapter are for files, not for a table")
    if len(source.delimiter) > 1:
        raise ValueError("source.delimiter: one character")
    _at("source.pattern", re.compile, source.pattern)
    if source.adapter:
        _check_options("source", source.adapter, source.options)
        if adapter(source.adapter).rows is None:
            raise ValueError(f"source.adapter: {source.adapter!r} cannot list samples")
    elif source.options:
        raise ValueError("source.options: there is no adapter that they are for")


def _check_parts(recipe: Recipe) -> None:
    if not recipe.parts:
        raise ValueError("parts: a sample needs at least one part")
    for name, part in recipe.parts.items():
        _at(f"parts.{name}", check_part, name)
        _check_options(f"parts.{name}", part.adapter, part.options)
        if adapter(part.adapter).needs_file:
            _at(f"parts.{name}.file", holes, part.file)


def _check_options(place: str, name: str, options: object) -> None:
    _at(f"{place}.adapter", adapter, name)
    try:
        configured(name, options)  # type: ignore[arg-type]
    except msgspec.ValidationError as error:
        raise ValueError(place_first(str(error), f"{place}.options")) from error


def _check_field(name: str, rule: FieldRule) -> None:
    if (bool(rule.from_), bool(rule.template), rule.value is not None).count(True) != 1:
        raise ValueError(f"fields.{name}: give one of from, template and value")
    _at(f"fields.{name}.template", holes, rule.template)
    _at(f"fields.{name}.pattern", re.compile, rule.pattern)


def _check_task(name: str, task: TaskRule) -> None:
    place = f"tasks.{name}"
    if not _TASK.fullmatch(name):
        raise ValueError(f"{place}: a task's id is lower-case letters, digits, _ and -")
    if (task.type == "regression") == bool(task.classes):
        raise ValueError(f"{place}.classes: a {task.type} task has {'none' if task.classes else 'at least one'}")
    if task.type == "binary" and len(task.classes) != 2:
        raise ValueError(f"{place}.classes: a binary task has two, the negative one first")
    _check_unique(f"{place}.classes", task.classes)
    unknown = sorted(set(task.map.values()) - set(task.classes)) if task.classes else []
    if unknown:
        raise ValueError(f"{place}.map: {unknown[0]!r} is not one of the classes")
    if (task.type == "multilabel") != bool(task.separator):
        raise ValueError(f"{place}.separator: for multilabel tasks, and needed there")


def _check_meta(recipe: Recipe) -> None:
    for name, rule in recipe.meta.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"meta.{name}: a column's name is letters, digits and _, so that filters can use it")
        if name.lower() in RESERVED:
            raise ValueError(f"meta.{name}: this name already means something in filters; choose another")
        part, dot, _ = rule.from_.partition(".")
        if dot and part not in recipe.parts and recipe.source.files:
            raise ValueError(f"meta.{name}.from: there is no part {part!r}")
    _check_unique("meta (whatever the case)", [name.lower() for name in recipe.meta])


def _check_split(split: SubjectHash | ColumnSplit | GroupSplit) -> None:
    match split:
        case SubjectHash(fractions=fractions):
            if not fractions or min(fractions.values()) < 0 or not math.isclose(sum(fractions.values()), 1):
                raise ValueError("split.fractions: positive numbers that add up to 1")
            _at("split.by", holes, split.by)
        case ColumnSplit(map=words):
            if not words:
                raise ValueError("split.map: say which words mean train, valid and test")
        case GroupSplit():
            groups = [*split.train, *split.valid, *split.test]
            if not groups:
                raise ValueError("split: say which groups are train, valid and test")
            _check_unique("split", groups)


def _check_unique(place: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{place}: {twice[0]!r} is there twice")


def _at(place: str, check: Callable[[str], T], value: str) -> T:
    """Run a check, and name the key in its error."""
    try:
        return check(value)
    except re.error as error:
        raise ValueError(f"{place}: not a regular expression: {error}") from error
    except (ValueError, RopewayError) as error:
        raise ValueError(f"{place}: {error}") from error
