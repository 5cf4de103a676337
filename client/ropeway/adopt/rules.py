"""What an adoption is told: which fields of the tars are parts, labels and metadata. A TOML file, or a few options.

key = "{shard}/{key}"              # keys that repeat from shard to shard
drop = ["pyd"]                     # fields to leave where they are

[card]
title = "Chest photographs"
licence = "CC-BY-4.0"

[parts.image]
fields = ["jpg", "png"]

[tasks.finding]
from = "cls"                       # a part's text, or a place in a part's JSON: "json.report.finding"
classes = ["none", "opacity"]

[meta.age]
from = "json.age"
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from ropeway.errors import FormatError, RecipeError
from ropeway.keys import check_part, check_task
from ropeway.manifest import Access, Kind

Words: TypeAlias = tuple[str, ...]


UNKNOWN = "none stated"
"""The licence of shards whose rules name none."""


_COLUMNS = ("dataset", "domain", "modality", "split", "subject", "key", "label")
"""What filters know already; metadata has other names."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A table of the file: keys that are not declared are refused."""


class CardRules(_Table, frozen=True, kw_only=True):
    """What people are told; `title` is the dataset's name unless it is given."""

    title: str = ""
    domain: str = "adopted"
    modalities: Words = ()
    licence: str = UNKNOWN
    access: Access = "registered"
    """Nobody said that it is open: whoever knows better says so."""
    unit: str = "sample"
    citation: str = ""
    homepage: str = ""
    description: str = ""


class PartRules(_Table, frozen=True, kw_only=True):
    """A part made of one field or several, of which a sample has one."""

    fields: Words
    kind: Kind | None = None
    units: str = ""
    sampling_rate: float | None = None
    axes: Words = ()


class TaskRules(_Table, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A task; what is left out is seen from the values: whole numbers and words are classes, fractions are numbers."""

    from_: str
    """A part's name for its text, or `part.place.in.its` for a value in its JSON."""
    type: Literal["binary", "multiclass", "multilabel", "regression"] | None = None
    classes: Words = ()
    """By position, for labels that are numbers, or by name; left out, those that occur."""
    units: str = ""
    description: str = ""
    question: str = ""


class MetaRules(_Table, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A metadata column; its type is seen from the values unless it is given."""

    from_: str
    type: Literal["string", "integer", "number", "boolean"] | None = None


class Rules(_Table, frozen=True, kw_only=True):
    """All that an adoption is told, but for where the shards are."""

    key: str = "{key}"
    drop: Words = ()
    subject: str = ""
    """Where the pseudonym of the patient is, as in tasks. It is stored as it is: never name a raw identifier."""
    leaks: str = ""
    """Why subjects are in more than one split; without a reason that is an error."""
    card: CardRules = CardRules()
    parts: Mapping[str, PartRules] = {}
    tasks: Mapping[str, TaskRules] = {}
    meta: Mapping[str, MetaRules] = {}

    @property
    def named(self) -> dict[str, str]:
        """Field → part, for the parts that are named."""
        return {field.lower(): part for part, rules in self.parts.items() for field in rules.fields}

    @property
    def values(self) -> tuple[str, ...]:
        """Where labels and metadata are, each place once."""
        places = [task.from_ for task in self.tasks.values()] + [meta.from_ for meta in self.meta.values()]
        return tuple(dict.fromkeys([*places, self.subject] if self.subject else places))


def load(path: Path) -> Rules:
    """Rules from a file.

    Raises:
        RecipeError: it is not there or not well-formed; the message names the file and the key.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Rules)
    except OSError as error:
        raise RecipeError(f"{path}: can't be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise RecipeError(f"{path}: {error}") from error


def check(rules: Rules) -> None:
    """Raise RecipeError when rules contradict themselves or name what can't be a name here."""
    problem = ""
    fields = [field.lower() for part in rules.parts.values() for field in part.fields]
    if "{key}" not in rules.key:
        problem = f"key = {rules.key!r} holds no {{key}}: all samples would be one"
    elif len(set(fields)) < len(fields):
        problem = "a field is in two parts"
    for name in rules.meta:
        if not name.isidentifier() or name != name.lower() or name in _COLUMNS:
            problem = f"{name!r} can't name metadata: small letters, digits and _, and none of {', '.join(_COLUMNS)}"
    if problem:
        raise RecipeError(problem)
    try:
        for part in rules.parts:
            check_part(part)
        for task in rules.tasks:
            check_task(task)
    except FormatError as error:
        raise RecipeError(str(error)) from error
