"""The command `ropeway recipes`: what can be packed, where it is to be had, and what its folder must look like."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ropeway_shardgen.recipe import Recipe


def recipes_command(
    recipe: Annotated[str, typer.Argument(help="Tell more about this one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the built-in recipes, or tell where one gets its raw data and what the folder must look like."""
    import msgspec
    from rich.console import Console

    from ropeway_shardgen import recipe as recipes

    chosen = [recipes.load(recipe)] if recipe else recipes.available()
    if as_json:
        told: Any = [described(one) for one in chosen]
        typer.echo(msgspec.json.format(msgspec.json.encode(told[0] if recipe else told), indent=2))
    elif recipe:
        _show_one(Console(), chosen[0])
    else:
        _show_all(Console(), chosen)


def described(recipe: "Recipe") -> dict[str, Any]:
    """A recipe as plain values, for programs."""
    card, climb = recipe.card, recipe.climb
    return {
        "id": recipe.id,
        "title": card.title,
        "domain": card.domain,
        "modalities": card.modalities,
        "unit": card.unit,
        "samples": climb.samples if climb else None,
        "core": bool(climb and climb.core),
        "licence": card.licence,
        "access": card.access,
        "shareable": card.shareable,
        "tasks": [
            {"id": task.id, "type": task.type, "classes": task.classes, "target": task.target}
            for task in recipe.manifest_tasks
        ],
        "parts": [{"name": name, "kind": part.kind, "adapter": part.adapter} for name, part in recipe.parts.items()],
        "meta": list(recipe.columns),
        "split": split_in_words(recipe),
        "raw": {"get": recipe.raw.get, "folder": recipe.raw.folder},
        "departs": climb.departs.strip() if climb else "",
        "description": card.description,
        "citation": card.citation,
        "homepage": card.homepage,
    }


def split_in_words(recipe: "Recipe") -> str:
    """How samples are dealt to splits, in a few words."""
    from ropeway_shardgen.rules import ColumnSplit, GroupSplit

    match recipe.split:
        case ColumnSplit(from_=name):
            return f"as released (field {name})"
        case GroupSplit(from_=name):
            return f"listed by {name}"
        case rule:
            shares = ", ".join(f"{split} {share:g}" for split, share in rule.fractions.items())
            return f"by {rule.by or ('subject' if recipe.subject else 'key')}: {shares}"


def _show_all(console: Any, recipes: "Sequence[Recipe]") -> None:
    from rich.table import Column, Table

    name = Column("recipe", no_wrap=True, style="bold")
    samples = Column("samples", justify="right", no_wrap=True)
    columns = (name, "domain", "modality", "parts", samples, "one is", "tasks", "licence", "access")
    table = Table(*columns, box=None, pad_edge=False)
    for recipe in sorted(recipes, key=lambda one: (one.climb is None, one.card.domain.lower(), one.id)):
        card = recipe.card
        count = recipe.climb.samples if recipe.climb else None
        table.add_row(
            recipe.id, card.domain, ", ".join(card.modalities), ", ".join(recipe.parts),
            f"{count:,}" if count else "-", card.unit, ", ".join(recipe.tasks) or "-", card.licence, card.access,
        )  # fmt: skip
    console.print(table)
    console.print(
        "\nsamples: as CLIMB counts them. `ropeway recipes ID` tells where to get the raw data; your own recipe is a "
        ".toml file",
        highlight=False,
    )


def _show_one(console: Any, recipe: "Recipe") -> None:
    card = recipe.card
    parts = ", ".join(f"{name} ({part.kind})" for name, part in recipe.parts.items())
    lines = [
        f"{recipe.id}: {card.title}",
        f"{card.domain}; one sample is one {card.unit}; licence {card.licence}; access {card.access}",
        *([] if card.shareable else ["not to be passed on in packed form: its licence bars that, or states nothing"]),
        *(["", card.description.strip()] if card.description else []),
        *("", "Where to get it:", *_indented(recipe.raw.get)),
        *("", "What the folder looks like:", *_indented(recipe.raw.folder)),
        *("", f"Parts: {parts}"),
        *(f"Task {task.id} ({task.type}): {_answer(task)}" for task in recipe.manifest_tasks),
        f"Splits {split_in_words(recipe)}",
        *(_departs(recipe)),
        *("", f"Pack it: ropeway pack {recipe.id} --root RAW --store URL"),
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=not console.is_terminal)


def _answer(task: Any) -> str:
    return ", ".join(task.classes) or task.units or (f"the part {task.target}" if task.target else "a number")


def _departs(recipe: "Recipe") -> list[str]:
    if recipe.climb is None or not recipe.climb.departs:
        return []
    return ["", "Otherwise than CLIMB's own loader:", *_indented(recipe.climb.departs)]


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.strip().splitlines()]
