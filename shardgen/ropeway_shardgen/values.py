"""Derived fields, labels and metadata columns: raw words turned into what the index holds."""

import math
from collections.abc import Mapping

from ropeway.index import Label, Value
from ropeway_shardgen.fields import Fields, extract, fill, lookup, matches, text
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import FieldRule, MetaRule, Recipe, TaskRule

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def derived(recipe: Recipe, fields: Fields) -> dict[str, Value]:
    """A row's fields and those that the recipe derives from them, in the recipe's order."""
    found = dict(fields)
    for name, rule in recipe.fields.items():
        found[name] = _derive(name, rule, found)
    return found


def _derive(name: str, rule: FieldRule, fields: Fields) -> Value:
    value = lookup(fields, rule.from_) if rule.from_ else fill(rule.template, fields) if rule.template else rule.value
    if rule.pattern:
        value = extract(value, rule.pattern, name)
    if rule.map and value is not None:
        value = _mapped(f"field {name!r}", text(value) or "", rule.map)
    return value


def labels(recipe: Recipe, fields: Fields, key: str) -> dict[str, Label]:
    """Every task's label: class positions or a number; None where the sample is unlabelled.

    Raises:
        SampleError: a raw label is none of the classes; the message says which, where, and what would be.
    """
    return {name: _label(task, fields, key) for name, task in recipe.tasks.items()}


def _label(task: TaskRule, fields: Fields, key: str) -> Label:
    raw = text(lookup(fields, task.from_))
    if raw is None or raw in task.missing or not matches(fields, task.where):
        return None
    if task.type == "regression":
        return _float(raw, f"field {task.from_!r}", key)
    if task.type == "multilabel":
        words = [word.strip() for word in raw.split(task.separator)]
        return sorted({_position(task, word, key) for word in words if word})
    return _position(task, raw, key)


def _position(task: TaskRule, raw: str, key: str) -> int:
    name = task.map.get(raw) if task.map else raw
    if name not in task.classes:
        known = ", ".join(task.map or task.classes)
        raise SampleError(
            f"label {raw!r} in field {task.from_!r} is none of: {known}", reason="label outside the classes", key=key
        )
    return task.classes.index(name)


def meta(rules: Mapping[str, MetaRule], fields: Fields, key: str) -> dict[str, Value]:
    """Metadata columns by rule, typed; None where the raw value is missing.

    Raises:
        SampleError: a value is not of its column's type.
    """
    return {name: _typed(lookup(fields, rule.from_), rule, name, key) for name, rule in rules.items()}


def _typed(value: Value, rule: MetaRule, name: str, key: str) -> Value:
    raw = text(value)
    if raw is None or raw in rule.missing:
        return None
    match rule.type:
        case "string":
            return raw
        case "boolean":
            return _boolean(raw, name, key)
        case "number":
            return _float(raw, f"metadata {name!r}", key)
        case "integer":
            number = _float(raw, f"metadata {name!r}", key)
            if number != int(number):
                raise SampleError(f"metadata {name!r}: {raw!r} is not a whole number", key=key)
            return int(raw) if raw.lstrip("+-").isdecimal() else int(number)


def _boolean(raw: str, name: str, key: str) -> bool:
    if raw.lower() not in _BOOLEANS:
        raise SampleError(f"metadata {name!r}: {raw!r} is neither true nor false", key=key)
    return _BOOLEANS[raw.lower()]


def _float(raw: str, what: str, key: str) -> float:
    try:
        number = float(raw)
    except ValueError:
        raise SampleError(f"{what}: {raw!r} is not a number", key=key) from None
    if not math.isfinite(number):
        raise SampleError(f"{what}: {raw!r} is not a finite number (list it as missing)", key=key)
    return number


def _mapped(what: str, raw: str, words: Mapping[str, str]) -> str:
    if raw not in words:
        raise SampleError(f"{what}: {raw!r} is none of: {', '.join(words)}")
    return words[raw]


def late(recipe: Recipe, name: str) -> bool:
    """Whether a metadata column is filled from a part's file, which is only opened when its shard is packed."""
    part, dot, _ = recipe.meta[name].from_.partition(".")
    return bool(dot) and part in recipe.parts


def late_meta(recipe: Recipe, found: Mapping[str, Fields], key: str) -> dict[str, Value]:
    """The metadata columns that come from parts' files. A part that the sample lacks leaves them empty.

    Args:
        recipe: whose columns.
        found: part → what its adapter found.
        key: the sample, for errors.
    """
    fields: dict[str, Value] = {f"{part}.{name}": value for part, own in found.items() for name, value in own.items()}
    columns = {name: rule for name, rule in recipe.meta.items() if late(recipe, name)}
    for rule in columns.values():
        if rule.from_.partition(".")[0] not in found:
            fields[rule.from_] = None
    return meta(columns, fields, key)
