"""Labels and metadata columns: raw words turned into what the index holds."""

import math
from collections.abc import Mapping

from ropeway.index import Label, Value
from ropeway_shardgen.fields import Fields, compiled, lookup, matches, text
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.rules import MetaRule, TaskRule

_BOOLEANS = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}


def labels(recipe: Recipe, fields: Fields, key: str) -> dict[str, Label]:
    """Every task's label: class positions or a number; None where the sample is unlabelled.

    A multilabel label lists the positions of the classes that apply, and −(position + 1) of those nobody judged. Tasks
    whose target is a part have no label.

    Raises:
        SampleError: a raw label is none of the classes; the message says which, where, and what would be.
    """
    return {name: _label(task, fields, key) for name, task in recipe.labelled.items()}


def _label(task: TaskRule, fields: Fields, key: str) -> Label:
    if not matches(fields, task.where):
        return None
    if task.columns:
        return _label_of_columns(task, fields, key)
    raw = text(lookup(fields, task.from_))
    if raw is None or raw in task.missing:
        return None
    if task.type == "regression":
        return _capped(_float(raw, f"field {task.from_!r}", key), task.cap)
    if task.type == "multilabel":
        return _label_of_words(task, raw, key)
    positions = _positions(task, raw, key)
    return positions[0] if positions else None


def _label_of_words(task: TaskRule, raw: str, key: str) -> Label:
    words = _words(task, raw, key)
    if task.unmapped == "ignore" and all(_named(task, word) is None for word in words):
        return None
    positive = {position for word in words for position in _positions(task, word, key)}
    return _multilabel(task, positive, {task.classes.index(name) for name in task.unjudged})


def _words(task: TaskRule, raw: str, key: str) -> list[str]:
    """The labels in a field. One that is not empty and holds none is an error: nothing said is not all negative."""
    found = compiled(task.words).findall(raw) if task.words else [word.strip() for word in raw.split(task.separator)]
    words = [word for word in found if word]
    if not words:
        told = f"field {task.from_!r} is not empty, but there is no label in it (list as missing what means unlabelled)"
        raise SampleError(told, reason="label outside the classes", key=key)
    return words


def _positions(task: TaskRule, raw: str, key: str) -> list[int]:
    """The classes that a raw label means; none where it is outside the map and may be."""
    named = _named(task, raw)
    if named is None:
        if task.unmapped == "ignore":
            return []
        known = ", ".join(task.map or task.classes)
        raise SampleError(
            f"label {raw!r} in field {task.from_!r} is none of: {known}", reason="label outside the classes", key=key
        )
    if isinstance(named, str):
        return [task.classes.index(named)]
    return [task.classes.index(name) for name in named]


def _named(task: TaskRule, raw: str) -> str | tuple[str, ...] | None:
    if task.map:
        return task.map.get(raw)
    return raw if raw in task.classes else None


def _label_of_columns(task: TaskRule, fields: Fields, key: str) -> Label:
    positive, unknown = set[int](), set[int]()
    for position, name in enumerate(task.classes):
        raw = (text(lookup(fields, task.columns[name])) or "") if name in task.columns else None
        if raw is None or name in task.unjudged or raw in task.unknown:
            unknown.add(position)
        elif raw in task.positive:
            positive.add(position)
        elif raw not in task.negative:
            told = f"{raw!r} in field {task.columns[name]!r} is none of the words for positive, negative and unknown"
            raise SampleError(f"label {told}", reason="label outside the classes", key=key)
    if task.type == "multilabel":
        return _multilabel(task, positive, unknown)
    if len(positive) > 1 or not (positive or unknown):
        told = f"{len(positive)} of {', '.join(task.columns.values())} are positive, not one"
        raise SampleError(f"label: {told}", reason="label outside the classes", key=key)
    return next(iter(positive), None)


def _multilabel(task: TaskRule, positive: set[int], unknown: set[int]) -> Label:
    if len(unknown - positive) == len(task.classes):
        return None
    return [*sorted(positive), *(-(position + 1) for position in sorted(unknown - positive))]


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
            return _capped(_float(raw, f"metadata {name!r}", key), rule.cap)
        case "integer":
            number = _float(raw, f"metadata {name!r}", key)
            if number != int(number):
                raise SampleError(f"metadata {name!r}: {raw!r} is not a whole number", key=key)
            return int(_capped(int(raw) if raw.lstrip("+-").isdecimal() else int(number), rule.cap))


def _capped(number: float, cap: float | None) -> float:
    return number if cap is None else min(number, cap)


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


def late_meta(recipe: Recipe, found: Mapping[str, Fields], key: str) -> dict[str, Value]:
    """The metadata columns that come from parts' files. A part that the sample lacks leaves them empty.

    Args:
        recipe: whose columns.
        found: part → what its adapter found.
        key: the sample, for errors.
    """
    fields: dict[str, Value] = {f"{part}.{name}": value for part, own in found.items() for name, value in own.items()}
    for rule in recipe.late.values():
        if rule.from_.partition(".")[0] not in found:
            fields[rule.from_] = None
    return meta(recipe.late, fields, key)
