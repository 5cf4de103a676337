"""Vocabularies: the classes of a task that several datasets share, and which raw codes mean them.

A vocabulary is a TOML file named after its task. What a recipe says itself wins over it; the two maps are merged.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "vocabularies"


def filled_in(tasks: Any) -> Any:
    """The `tasks` table of a recipe, with what the named vocabularies add.

    Raises:
        ValueError: there is no vocabulary of that name.
    """
    if not isinstance(tasks, dict):
        return tasks
    return {name: _filled_in(name, task) for name, task in tasks.items()}


def _filled_in(name: str, task: Any) -> Any:
    if not isinstance(task, dict) or "vocabulary" not in task:
        return task
    try:
        shared = vocabulary(task["vocabulary"])
    except ValueError as error:
        raise ValueError(f"tasks.{name}.vocabulary: {error}") from error
    merged = {**shared, **task}
    if "map" in shared or "map" in task:
        merged["map"] = {**shared.get("map", {}), **task.get("map", {})}
    return merged


@cache
def vocabulary(name: str) -> dict[str, Any]:
    """What a vocabulary says, as keys of a recipe's task.

    Raises:
        ValueError: there is none of that name.
    """
    known = vocabularies()
    if name not in known:
        raise ValueError(f"no vocabulary {name!r}; there is: {', '.join(known) or 'none'}")
    return tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))


@cache
def vocabularies() -> tuple[str, ...]:
    """The names of all vocabularies."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
