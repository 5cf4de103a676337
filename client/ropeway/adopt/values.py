"""Labels and metadata out of the members of a sample: raw values while scanning, labels once all of them are known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from ropeway.adopt.rules import MetaRules, TaskRules
from ropeway.errors import FormatError, RecipeError
from ropeway.index import Label, Value
from ropeway.manifest import Task, TaskType

Raw: TypeAlias = str
"""A value as JSON text: values of any type in one column, and equal where they are equal."""

MOST_CLASSES = 10_000
"""A place with more words than that is no label: it is a caption, or a name."""

_LONGEST = 64
"""Characters of a value that an error tells."""


def raw_values(places: Sequence[str], contents: Mapping[str, memoryview], forms: Mapping[str, str]) -> dict[str, Raw]:
    """The values at some places of a sample; those that it has none at are left out.

    Args:
        places: a part's name for its text, or `part.a.b` for what is at `a`, `b` in its JSON.
        contents: part → content.
        forms: part → format.

    Raises:
        FormatError: a part is neither text nor JSON, or its content is not, or a value is an object.
    """
    decoded: dict[str, Any] = {}
    found: dict[str, Raw] = {}
    for place in places:
        part, *steps = place.split(".")
        if part not in contents:
            continue
        if part not in decoded:
            decoded[part] = _decoded(part, contents[part], forms[part])
        value = decoded[part]
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, dict):
            raise FormatError(f"{place!r} is an object: name a place within it")
        if value is not None and value != "":
            found[place] = msgspec.json.encode(value).decode()
    return found


def _decoded(part: str, content: memoryview, form: str) -> Any:
    try:
        if form == "json":
            return msgspec.json.decode(content)
        if form == "txt":
            return str(content, "utf-8").strip()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"part {part!r} is not {form}: it is damaged, or not UTF-8") from error
    raise FormatError(f"part {part!r} is {form}: labels and metadata are taken from txt and json members")


def task_of(task_id: str, rules: TaskRules, raws: Sequence[Raw]) -> tuple[Task, dict[Raw, Label]]:
    """A task and the label of each raw value.

    Args:
        raws: the distinct values.

    Raises:
        RecipeError: values that fit no type, or none of the classes that the rules list.
    """
    values = [_plain(msgspec.json.decode(raw)) for raw in raws]
    kind = rules.type or _kind(task_id, values)
    if kind == "regression":
        classes: tuple[str, ...] = ()
        labels: list[Label] = [_number(task_id, value) for value in values]
    else:
        classes = rules.classes or _classes(task_id, kind, values)
        labels = [_label(task_id, kind, value, classes) for value in values]
    task = Task(id=task_id, type=kind, classes=classes, units=rules.units, description=rules.description,
                question=rules.question)  # fmt: skip
    return task, dict(zip(raws, labels, strict=True))


def column_of(name: str, rules: MetaRules, raws: Sequence[Raw]) -> tuple[str, dict[Raw, Value]]:
    """A metadata column's type and the value of each raw value; raises as `task_of`."""
    values = [msgspec.json.decode(raw) for raw in raws]
    kinds = {type(value) for value in values}
    seen = next((kind for kind, types in _COLUMNS.items() if kinds and kinds <= types), "string")
    kind = rules.type or seen
    convert = _CONVERT[kind]
    made: dict[Raw, Value] = {}
    for raw, value in zip(raws, values, strict=True):
        try:
            made[raw] = convert(value)
        except (ValueError, TypeError) as error:
            raise RecipeError(f"meta {name!r} is a {kind}, and {_shown(value)} is not") from error
    return kind, made


_COLUMNS: dict[str, set[type]] = {"boolean": {bool}, "integer": {int}, "number": {int, float}}


def _plain(value: Any) -> Any:
    """The text of a `cls` member is a number more often than not."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bool):
        return str(value).lower()
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value


def _kind(task_id: str, values: Sequence[Any]) -> TaskType:
    if any(isinstance(value, list) for value in values):
        return "multilabel"
    if any(isinstance(value, float) for value in values):
        return "regression"
    if not values:
        raise RecipeError(f"task {task_id!r}: no sample has a value there: is `from` right?")
    return "multiclass"


def _classes(task_id: str, kind: str, values: Sequence[Any]) -> tuple[str, ...]:
    """The classes that occur: numbers from 0 up to the largest, or the words in their order."""
    each = [one for value in values for one in (value if isinstance(value, list) else [value])]
    if each and all(isinstance(one, int) and one >= 0 for one in each):
        count = max(max(each) + 1, 2 if kind == "binary" else 1)
        words = [str(number) for number in range(min(count, MOST_CLASSES + 1))]
    else:
        words = sorted({str(one) for one in each})
    if len(words) > MOST_CLASSES:
        raise RecipeError(f"task {task_id!r} has more than {MOST_CLASSES:,} classes: take type = \"regression\", list "
                          "the classes, or make it a metadata column")  # fmt: skip
    return tuple(words)


def _label(task_id: str, kind: str, value: Any, classes: Sequence[str]) -> Label:
    if kind == "multilabel":
        each = value if isinstance(value, list) else [value]
        return sorted({_position(task_id, one, classes) for one in each})
    return _position(task_id, value, classes)


def _position(task_id: str, value: Any, classes: Sequence[str]) -> int:
    if str(value) in classes:
        return classes.index(str(value))
    if isinstance(value, int) and 0 <= value < len(classes):
        return value
    raise RecipeError(f"task {task_id!r}: {_shown(value)} is none of its {len(classes)} classes")


def _number(task_id: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"task {task_id!r} is a regression, and {_shown(value)} is no number") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _truth(value: Any) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError(word)
    return words[word]


_CONVERT: dict[str, Callable[[Any], Value]] = {"string": _text, "integer": int, "number": float, "boolean": _truth}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
