"""Which fields a recipe asks for: to read only those columns of joined tables, and to find rules that go in circles."""

from graphlib import CycleError, TopologicalSorter

from ropeway_shardgen.fields import holes
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.rules import FieldRule, SubjectHash


def used_columns(recipe: Recipe, join: str) -> frozenset[str]:
    """The columns of a joined table that the recipe needs."""
    before = f"{join}."
    asked = {name.removeprefix(before) for name in _asked(recipe) if name.startswith(before)}
    return frozenset(asked | set(recipe.joins[join].collect))


def check_order(recipe: Recipe) -> None:
    """Raise ValueError when fields and joins need each other in a circle."""
    needs: dict[str, set[str]] = {f"fields.{name}": _places(recipe, of(rule)) for name, rule in recipe.fields.items()}
    for name in recipe.fields:
        needs[f"fields.{name}"].discard(f"fields.{name}")  # a rule that refines the raw field of its own name
    for name, join in recipe.joins.items():
        needs[f"joins.{name}"] = _places(recipe, [hole for template in join.on.values() for hole in holes(template)])
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        raise ValueError(f"{error.args[1][0]}: needs itself, by way of {' and '.join(error.args[1][1:-1])}") from None


def of(rule: FieldRule) -> list[str]:
    """The fields that a derived field is made of."""
    return [*([rule.from_] if rule.from_ else []), *rule.first, *holes(rule.template)]


def _places(recipe: Recipe, names: list[str]) -> set[str]:
    found = set[str]()
    for name in names:
        if name in recipe.fields:
            found.add(f"fields.{name}")
        elif (join := name.partition(".")[0]) in recipe.joins and "." in name:
            found.add(f"joins.{join}")
    return found


def _asked(recipe: Recipe) -> list[str]:
    """Every name that a rule of the recipe looks up."""
    split = recipe.split
    templates = [
        recipe.key,
        *([recipe.subject.id] if recipe.subject else []),
        *([recipe.study.id] if recipe.study else []),
        *([split.by] if isinstance(split, SubjectHash) else []),
        *(path for part in recipe.parts.values() for path in part.paths),
        *(template for join in recipe.joins.values() for template in join.on.values()),
    ]
    tasks = recipe.tasks.values()
    return [
        *(hole for template in templates for hole in holes(template)),
        *(name for rule in recipe.fields.values() for name in of(rule)),
        *(name for task in tasks for name in (task.from_, *task.columns.values(), *task.where)),
        *(rule.from_ for rule in recipe.meta.values()),
        *recipe.source.where,
        *([] if isinstance(split, SubjectHash) else [split.from_]),
        *(name for adapter, options in recipe.readers.values() for name in adapter.locators(options)),
    ]
