"""Recipes: how one raw dataset becomes samples, declared as data.

A recipe is a TOML file. Everything in it is read into frozen structures (`rules.py`) and checked at the door: an
unknown key, an unknown adapter or a split that cannot be is told with the recipe file and the key, before any raw file
is touched. Template strings such as `"{patient}/{image}"` are filled from a sample's fields (`fields.py`).
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
from ropeway.manifest import Card, Task
from ropeway_shardgen.adapters import Adapter, Options, adapter
from ropeway_shardgen.rules import (
    Climb,
    FieldRule,
    JoinRule,
    MetaRule,
    PartRule,
    Raw,
    Rule,
    Source,
    SplitRule,
    StudyRule,
    SubjectHash,
    SubjectRule,
    TaskRule,
)
from ropeway_shardgen.vocabulary import filled_in

BUILT_IN = Path(__file__).parent / "recipes"


class Recipe(Rule, frozen=True, kw_only=True, dict=True):
    """How one raw dataset becomes samples."""

    id: str
    card: Card
    raw: Raw
    source: Source
    key: str
    """Template of the raw sample id; what a key may not hold is escaped."""
    parts: Mapping[str, PartRule]
    split: SplitRule
    climb: Climb | None = None
    joins: Mapping[str, JoinRule] = {}
    subject: SubjectRule | None = None
    study: StudyRule | None = None
    fields: Mapping[str, FieldRule] = {}
    tasks: Mapping[str, TaskRule] = {}
    meta: Mapping[str, MetaRule] = {}
    shard_size: str = "256MiB"
    order: Literal["shuffled", "source"] = "shuffled"
    """How samples follow each other in shards: dealt by a hash of the key, so that a block holds all sorts; or as in
    the source, where reading a raw file out of order would be slow."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its tables: what they leave to defaults is none of the version's, and must stay so."""
        return msgspec.convert, (msgspec.to_builtins(self), Recipe)

    @cached_property
    def readers(self) -> dict[str, tuple[Adapter[Any], Options]]:
        """Part → its adapter and the adapter's options."""
        return {name: configured(part.adapter, part.options) for name, part in self.parts.items()}

    @cached_property
    def locators(self) -> dict[str, tuple[str, ...]]:
        """Part → the fields that its adapter needs to find a sample."""
        return {name: adapter.locators(options) for name, (adapter, options) in self.readers.items()}

    @cached_property
    def lister(self) -> tuple[Adapter[Any], Options] | None:
        """The adapter that lists the samples of a source file, if there is one."""
        return configured(self.source.adapter, self.source.options) if self.source.adapter else None

    @cached_property
    def labelled(self) -> dict[str, TaskRule]:
        """The tasks whose labels the index holds: not those whose target is a part."""
        return {name: task for name, task in self.tasks.items() if not task.target}

    @property
    def manifest_tasks(self) -> tuple[Task, ...]:
        """The tasks as a manifest holds them."""
        return tuple(
            Task(
                id=name,
                type=task.type,
                classes=task.classes,
                units=task.units,
                description=task.description,
                question=task.question,
                target=task.target,
            )
            for name, task in self.tasks.items()
        )

    @cached_property
    def namespace(self) -> str:
        """Whose identifiers are the same people: its own, or the one it shares with other datasets."""
        return (self.subject.namespace if self.subject else "") or self.id

    @property
    def split_leaks(self) -> str:
        """Why subjects may be in several splits; empty: they may not."""
        return "" if isinstance(self.split, SubjectHash) else self.split.leaks

    @cached_property
    def late(self) -> dict[str, MetaRule]:
        """The metadata columns filled from a part's file, which is only opened when its shard is packed."""
        return {name: rule for name, rule in self.meta.items() if _part_before_dot(rule.from_) in self.parts}

    @cached_property
    def early(self) -> dict[str, MetaRule]:
        """The other metadata columns."""
        return {name: rule for name, rule in self.meta.items() if name not in self.late}

    @property
    def columns(self) -> dict[str, str]:
        """Metadata column → its type, as the index has them."""
        study = {"study": "string"} if self.study else {}
        return study | {name: rule.type for name, rule in self.meta.items()}


def _part_before_dot(field: str) -> str:
    """The part that a field such as `image.width` may be of."""
    part, dot, _ = field.partition(".")
    return part if dot else ""


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
        tables["tasks"] = filled_in(tables.get("tasks", {}))
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


_NAMED = (
    ("joins", JoinRule),
    ("fields", FieldRule),
    ("parts", PartRule),
    ("tasks", TaskRule),
    ("meta", MetaRule),
)


def _check_entries(tables: Mapping[str, Any]) -> None:
    """Check named tables one by one: msgspec does not say which entry of a mapping is wrong."""
    for section, rule in _NAMED:
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
