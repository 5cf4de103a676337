"""What a recipe must fulfil beyond the shape of its tables. Problems are ValueErrors that name the key."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from ropeway.errors import RopewayError
from ropeway.keys import check_dataset, check_part
from ropeway.manifest import SplitName
from ropeway_shardgen.adapters import adapter
from ropeway_shardgen.fields import holes
from ropeway_shardgen.recipe import Recipe, configured, place_first
from ropeway_shardgen.references import check_order
from ropeway_shardgen.rules import ColumnSplit, FieldRule, GroupSplit, SplitRule, SubjectHash, TableRule, TaskRule
from ropeway_shardgen.sizes import parse_size

RESERVED = ("dataset", "domain", "modality", "split", "subject", "key", "label")
"""Column names of the query language that metadata may not take."""

_CLASSED = ("binary", "multiclass", "multilabel")
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
    _check_joins(recipe)
    check_order(recipe)
    for name, task in recipe.tasks.items():
        _check_task(name, task, recipe)
    _check_meta(recipe)
    if recipe.subject:
        _at("subject.id", holes, recipe.subject.id)
    if recipe.study:
        _at("study.id", holes, recipe.study.id)
    _check_split(recipe.split)


def _check_source(recipe: Recipe) -> None:
    source = recipe.source
    if (bool(source.table), bool(source.files), bool(source.folders)).count(True) != 1:
        raise ValueError("source: give one of table, files and folders")
    if source.table and source.adapter:
        raise ValueError("source: an adapter is for files and folders, not for a table")
    _check_table("source", source)
    if source.adapter:
        _check_options("source", source.adapter, source.options)
        if adapter(source.adapter).rows is None:
            raise ValueError(f"source.adapter: {source.adapter!r} cannot list samples")
    elif source.options:
        raise ValueError("source.options: there is no adapter that they are for")
    if source.group and not source.group.by:
        raise ValueError("source.group.by: name the fields that the rows of one sample share")


def _check_joins(recipe: Recipe) -> None:
    for name, join in recipe.joins.items():
        place = f"joins.{name}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"{place}: a join's name is letters, digits and _")
        if name in recipe.parts:
            raise ValueError(f"{place}: there is a part of that name too, and {name}.column could mean either")
        if not join.table or not join.on:
            raise ValueError(f"{place}: give a table, and with `on` which of its columns must equal what")
        _check_table(place, join)
        for column, template in join.on.items():
            _at(f"{place}.on.{column}", holes, template)


def _check_table(place: str, rule: TableRule) -> None:
    if len(rule.delimiter) > 1:
        raise ValueError(f"{place}.delimiter: one character")
    _at(f"{place}.pattern", re.compile, rule.pattern)
    _check_unique(f"{place}.columns", rule.columns)


def _check_parts(recipe: Recipe) -> None:
    if not recipe.parts:
        raise ValueError("parts: a sample needs at least one part")
    for name, part in recipe.parts.items():
        _at(f"parts.{name}", check_part, name)
        _check_options(f"parts.{name}", part.adapter, part.options)
        if adapter(part.adapter).needs_file:
            for path in part.paths:
                _at(f"parts.{name}.file", holes, path)
        if len(part.mean) != len(part.std) or min(part.std, default=1) <= 0:
            raise ValueError(f"parts.{name}.std: one positive number for each of mean")


def _check_options(place: str, name: str, options: object) -> None:
    _at(f"{place}.adapter", adapter, name)
    try:
        configured(name, options)  # type: ignore[arg-type]
    except msgspec.ValidationError as error:
        raise ValueError(place_first(str(error), f"{place}.options")) from error


def _check_field(name: str, rule: FieldRule) -> None:
    if (bool(rule.from_), bool(rule.template), bool(rule.first), rule.value is not None).count(True) != 1:
        raise ValueError(f"fields.{name}: give one of from, first, template and value")
    _at(f"fields.{name}.template", holes, rule.template)
    _at(f"fields.{name}.pattern", re.compile, rule.pattern)


def _check_task(name: str, task: TaskRule, recipe: Recipe) -> None:
    place = f"tasks.{name}"
    if not _TASK.fullmatch(name):
        raise ValueError(f"{place}: a task's id is lower-case letters, digits, _ and -")
    if (bool(task.from_), bool(task.columns), bool(task.target)).count(True) != 1:
        raise ValueError(f"{place}: give one of from, columns and target")
    if task.target and task.target not in recipe.parts:
        raise ValueError(f"{place}.target: there is no part {task.target!r}")
    if task.type in ("segmentation", "text", "link") and not task.target:
        raise ValueError(f"{place}.target: a {task.type} task names the part that is its target")
    _check_classes(place, task)
    if task.type == "multilabel" and task.from_ and bool(task.separator) == bool(task.words):
        raise ValueError(f"{place}.separator: what stands between the labels in the field, or words that finds them")
    _at(f"{place}.words", re.compile, task.words)
    if task.separator and task.type != "multilabel":
        raise ValueError(f"{place}.separator: for multilabel tasks")
    if task.cap is not None and task.type != "regression":
        raise ValueError(f"{place}.cap: for regression tasks")
    if task.unjudged and task.type != "multilabel":
        raise ValueError(f"{place}.unjudged: for multilabel tasks")


def _check_classes(place: str, task: TaskRule) -> None:
    classes = set(task.classes)
    if (task.type in _CLASSED and not classes) or (task.type == "regression" and classes):
        raise ValueError(f"{place}.classes: a {task.type} task has {'none' if classes else 'at least one'}")
    if task.type == "binary" and len(task.classes) != 2:
        raise ValueError(f"{place}.classes: a binary task has two, the negative one first")
    _check_unique(f"{place}.classes", task.classes)
    for raw, named in task.map.items():
        names = (named,) if isinstance(named, str) else named
        if len(names) > 1 and task.type != "multilabel":
            raise ValueError(f"{place}.map: {raw!r} means several classes, which only a multilabel task can have")
        _check_known(f"{place}.map", names, classes)
    _check_known(f"{place}.columns", task.columns, classes)
    _check_known(f"{place}.unjudged", task.unjudged, classes)


def _check_known(place: str, names: Iterable[str], classes: set[str]) -> None:
    unknown = sorted(set(names) - classes) if classes else []
    if unknown:
        raise ValueError(f"{place}: {unknown[0]!r} is not one of the classes")


def _check_meta(recipe: Recipe) -> None:
    for name, rule in recipe.meta.items():
        if name.lower() == "study" and recipe.study:
            raise ValueError("meta.study: it is the pseudonym of [study] already")
        if not _NAME.fullmatch(name):
            raise ValueError(f"meta.{name}: a column's name is letters, digits and _, so that filters can use it")
        if name.lower() in RESERVED:
            raise ValueError(f"meta.{name}: this name already means something in filters; choose another")
        part, dot, _ = rule.from_.partition(".")
        if dot and not {part, rule.from_} & {*recipe.parts, *recipe.joins, *recipe.fields} and not recipe.source.table:
            raise ValueError(f"meta.{name}.from: there is no part or join {part!r}")
    _check_unique("meta (whatever the case)", [name.lower() for name in recipe.meta])


def _check_split(split: SplitRule) -> None:
    match split:
        case SubjectHash(fractions=fractions):
            _check_fractions("split.fractions", fractions)
            _at("split.by", holes, split.by)
        case ColumnSplit(map=words):
            if not words:
                raise ValueError("split.map: say which words mean train, valid and test")
            if split.otherwise:
                _check_fractions("split.otherwise", split.otherwise)
        case GroupSplit():
            groups = [*split.train, *split.valid, *split.test]
            if not groups:
                raise ValueError("split: say which groups are train, valid and test")
            _check_unique("split", groups)


def _check_fractions(place: str, fractions: Mapping[SplitName, float]) -> None:
    if not fractions or min(fractions.values()) < 0 or not math.isclose(sum(fractions.values()), 1):
        raise ValueError(f"{place}: positive numbers that add up to 1")


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
