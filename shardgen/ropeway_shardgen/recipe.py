"""Recipes: how one raw dataset becomes samples, declared as data.

A recipe is a TOML file. Everything in it is read into the frozen structures below and checked at the door: an unknown
key, an unknown adapter or a split that cannot be is told with the recipe file and the key, before any raw file is
touched. Template strings such as `"{patient}/{image}"` are filled from a sample's fields (`fields.py`).
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from ropeway.errors import RecipeError
from ropeway.index import Value
from ropeway.manifest import Card, Kind, Task, TaskType
from ropeway_shardgen.adapters import Adapter, Options, adapter

BUILT_IN = Path(__file__).parent / "recipes"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A table of a recipe file: keys that are not declared are refused."""


class Raw(Rule, frozen=True, kw_only=True):
    """For people: where the raw data is to be had, and what its folder looks like."""

    get: str
    folder: str


class Source(Rule, frozen=True, kw_only=True):
    """Where samples come from: the rows of a table, or files. Paths are relative to the raw root.

    A table gives one sample per row: its columns are fields, and `row` (from 1). Files give one sample each, with the
    fields `path`, `name` and `stem`, or as many as the adapter lists, with the adapter's fields too.
    """

    table: str = ""
    """A .csv or .tsv file, also gzipped (.gz)."""
    delimiter: str = ""
    """One character; left out, a tab for .tsv and a comma for all else."""
    encoding: str = "utf-8-sig"
    missing: tuple[str, ...] = ("",)
    """Words of the table that stand for a missing value."""

    files: tuple[str, ...] = ()
    """Glob patterns; `**` stands for any folders. Each must match something."""
    pattern: str = ""
    """A regular expression that a file's path must match; its named groups are fields."""
    adapter: str = ""
    """Lists the samples of each file; left out, a file is one sample."""
    options: Mapping[str, Any] = {}

    where: Mapping[str, tuple[str, ...]] = {}
    """Only rows whose fields (the derived ones too) have one of these values."""


class FieldRule(Rule, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A derived field: taken from another one, from a template, or constant; then cut out, then mapped."""

    from_: str = ""
    template: str = ""
    value: Value = None
    pattern: str = ""
    """The first group (or all) of what this regular expression finds; it must match."""
    map: Mapping[str, str] = {}
    """Raw word → word; a word that is not here is an error."""


class PartRule(Rule, frozen=True, kw_only=True):
    """One part: which file it comes from, and which adapter reads it."""

    kind: Kind
    adapter: str
    file: str = "{path}"
    """Template of the file's path; not used by an adapter that reads no file."""
    options: Mapping[str, Any] = {}
    optional: bool = False
    """Whether a sample may lack the part: its file is not there, or a field of the path is empty."""
    bytes: int | None = None
    """About how many bytes one sample's part has packed, where the file's size says little."""


class TaskRule(Rule, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A task and where its labels come from."""

    type: TaskType
    from_: str
    """The field that holds the raw label."""
    classes: tuple[str, ...] = ()
    map: Mapping[str, str] = {}
    """Raw label → class; left out, raw labels are class names."""
    separator: str = ""
    """For multi-label tasks: what stands between the labels in the field."""
    missing: tuple[str, ...] = ()
    """Raw labels that mean unlabelled; an empty field always does."""
    where: Mapping[str, tuple[str, ...]] = {}
    """Only samples whose fields have one of these values are labelled."""
    units: str = ""
    description: str = ""


class MetaRule(Rule, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A metadata column. `from` is a field, or `part.field` for what an adapter finds in the part's file."""

    from_: str
    type: Literal["string", "integer", "number", "boolean"]
    missing: tuple[str, ...] = ()


class SubjectRule(Rule, frozen=True, kw_only=True):
    """Who or what a sample is of; samples of one subject are never in two splits."""

    id: str
    """Template of the raw identifier."""
    pseudonym: bool = True
    """False only where the identifier names nobody (a row number, a well)."""
    namespace: str = ""
    """Datasets that share patients name one namespace; left out, it is the recipe's id."""


class SubjectHash(Rule, frozen=True, kw_only=True, tag_field="rule", tag="subject-hash"):
    """Subjects are dealt to splits by a keyed hash: no list to keep, and the same answer for data that grows."""

    fractions: Mapping[Literal["train", "valid", "test"], float]
    by: str = ""
    """Template of a coarser group that is kept together (a site); left out, the subject."""
    seed: str = "ropeway"


class ColumnSplit(Rule, frozen=True, kw_only=True, tag_field="rule", tag="column", rename={"from_": "from"}):
    """The raw data says which split a sample is in."""

    from_: str
    map: Mapping[str, Literal["train", "valid", "test"]]


class GroupSplit(Rule, frozen=True, kw_only=True, tag_field="rule", tag="groups", rename={"from_": "from"}):
    """Each value of a field (patients, sites, wells) is listed for one split."""

    from_: str
    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


class Recipe(Rule, frozen=True, kw_only=True, dict=True):
    """How one raw dataset becomes samples."""

    id: str
    card: Card
    raw: Raw
    source: Source
    key: str
    """Template of the raw sample id; what a key may not hold is escaped."""
    parts: Mapping[str, PartRule]
    split: SubjectHash | ColumnSplit | GroupSplit
    subject: SubjectRule | None = None
    fields: Mapping[str, FieldRule] = {}
    tasks: Mapping[str, TaskRule] = {}
    meta: Mapping[str, MetaRule] = {}
    shard_size: str = "256MiB"
    order: Literal["shuffled", "source"] = "shuffled"
    """How samples follow each other in shards: dealt by a hash of the key, so that a block holds all sorts; or as in
    the source, where reading a raw file out of order would be slow."""

    @cached_property
    def readers(self) -> dict[str, tuple[Adapter[Any], Options]]:
        """Part → its adapter and the adapter's options."""
        return {name: configured(part.adapter, part.options) for name, part in self.parts.items()}

    @cached_property
    def lister(self) -> tuple[Adapter[Any], Options] | None:
        """The adapter that lists the samples of a source file, if there is one."""
        return configured(self.source.adapter, self.source.options) if self.source.adapter else None

    @property
    def manifest_tasks(self) -> tuple[Task, ...]:
        """The tasks as a manifest holds them."""
        return tuple(
            Task(id=name, type=task.type, classes=task.classes, units=task.units, description=task.description)
            for name, task in self.tasks.items()
        )


def configured(name: str, options: Mapping[str, Any]) -> tuple[Adapter[Any], Options]:
    """An adapter and its options as a recipe gives them."""
    found = adapter(name)
    return found, msgspec.convert(options, found.options)


def available() -> list[Recipe]:
    """The built-in recipes, by id."""
    return [load(path) for path in sorted(BUILT_IN.glob("*.toml"))]


def load(recipe: str | Path) -> Recipe:
    """A recipe by its id, or from a file.

    Raises:
        RecipeError: no such recipe, or it is not well-formed; the message names the file and the key.
    """
    path = Path(recipe)
    if isinstance(recipe, str) and path.suffix != ".toml" and not path.exists():
        path = BUILT_IN / f"{recipe}.toml"
        if path.parent != BUILT_IN or not path.exists():
            raise RecipeError(f"no recipe {recipe!r}{_suggestion(recipe)}")
    try:
        return loads(path.read_text("utf-8"), str(recipe))
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise RecipeError(f"recipe {path}: cannot be read: {problem}") from error


def loads(text: str, name: str) -> Recipe:
    """A recipe from TOML text; `name` says in errors where it came from."""
    from ropeway_shardgen.recipe_checks import check

    try:
        tables = tomllib.loads(text)
        _check_card(tables.get("card"))
        _check_entries(tables)
        recipe = msgspec.convert(tables, Recipe)
        check(recipe)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {name}: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise RecipeError(f"recipe {name}: {place_first(str(error))}") from error
    except ValueError as error:
        raise RecipeError(f"recipe {name}: {error}") from error
    return recipe


def _check_card(card: object) -> None:
    known = {field.name for field in dataclass_fields(Card)}
    unknown = sorted(set(card) - known) if isinstance(card, dict) else []
    if unknown:
        raise ValueError(f"card: unknown key {unknown[0]!r}; there is: {', '.join(sorted(known))}")


def _check_entries(tables: Mapping[str, Any]) -> None:
    """Check named tables one by one: msgspec does not say which entry of a mapping is wrong."""
    for section, rule in (("parts", PartRule), ("fields", FieldRule), ("tasks", TaskRule), ("meta", MetaRule)):
        entries = tables.get(section, {})
        for name, table in entries.items() if isinstance(entries, dict) else ():
            try:
                msgspec.convert(table, rule)
            except msgspec.ValidationError as error:
                raise ValueError(place_first(str(error), f"{section}.{name}")) from error


def place_first(problem: str, section: str = "") -> str:
    """A message of msgspec, "problem - at `$.key`", as "section.key: problem"."""
    words, _, path = problem.partition(" - at ")
    words = words.replace("Object contains unknown field", "unknown key").replace("Object missing", "missing")
    place = section + path.strip("`").removeprefix("$")
    return f"{place.lstrip('.') or 'recipe'}: {words}"


def _suggestion(recipe: str) -> str:
    known = sorted(path.stem for path in BUILT_IN.glob("*.toml"))
    close = difflib.get_close_matches(recipe, known, 1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f" (a file is named by its path, ending in .toml); there is: {', '.join(known)}"
