"""The README's table of CLIMB's datasets, made of the recipes; `python tests/climb_table.py README.md` writes it."""

import sys
from collections.abc import Iterator
from pathlib import Path

from raw_trees import raw_trees
from ropeway_shardgen.recipe import Recipe, available

BEGIN, END = "<!-- climb: made by tests/climb_table.py -->", "<!-- /climb -->"


def table() -> str:
    """The table as Markdown: CLIMB's 45 datasets by domain, then those that only its code reads."""
    known = [recipe for recipe in available() if recipe.climb is not None and recipe.climb.core]
    others = [recipe for recipe in available() if recipe.climb is not None and not recipe.climb.core]
    head = "| recipe | dataset | domain | samples | tasks | licence | access | tested on |"
    return "\n".join([head, "|---|---|---|--:|---|---|---|---|", *_rows(known), *_rows(others)])


def _rows(recipes: list[Recipe]) -> Iterator[str]:
    tested = raw_trees()
    for recipe in sorted(recipes, key=lambda one: (one.card.domain.lower(), one.id)):
        climb, card = recipe.climb, recipe.card
        assert climb is not None
        tree = tested.get(recipe.id)
        place = "" if tree is None else tree.__module__.rpartition(".")[2]
        test = f"[{place}](tests/raw_trees/{place}.py)" if place else "nothing"
        samples = f"{climb.samples:,}" if climb.samples else ""
        title = card.title.partition(":")[0]
        linked = f"[{title}]({card.homepage})" if card.homepage else title
        tasks = ", ".join(recipe.tasks)
        facts = (f"`{recipe.id}`", linked, card.domain, samples, tasks, card.licence, card.access, test)
        yield f"| {' | '.join(facts)} |"


def replaced(readme: str) -> str:
    """A README with the table as it is now."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(replaced(file.read_text()))
