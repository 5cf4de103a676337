"""shardgen/RECIPES.md: its recipe is as long as it says, packs, and the page names every key of the language."""

import re
from pathlib import Path

import msgspec

from ropeway.catalog import StoreCatalog
from ropeway.stores.local import LocalStore
from ropeway_shardgen import rules
from ropeway_shardgen.pack import pack
from ropeway_shardgen.recipe import loads
from shardgen_raw import png

PAGE = (Path(__file__).parents[1] / "shardgen" / "RECIPES.md").read_text()


def test_the_folder_of_pictures_packs_in_fifteen_lines(tmp_path: Path) -> None:
    [text] = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(text.splitlines()) <= 15
    (tmp_path / "images").mkdir()
    words = ("nevus", "melanoma")
    rows = [(f"m{number}", f"p{number // 2}", 90 + number, words[number % 2]) for number in range(8)]
    lines = [",".join(map(str, row)) for row in rows]
    (tmp_path / "labels.csv").write_text("\n".join(["image,patient,age,diagnosis", *lines]) + "\n")
    for number, (image, *_) in enumerate(rows):
        (tmp_path / "images" / f"{image}.jpg").write_bytes(png(number))
    store = LocalStore(tmp_path / "store")
    pack(loads(text, "moles.toml"), tmp_path, store)
    view = StoreCatalog(store).query(task="skin-lesion")
    assert view.label_counts("skin-lesion") == {"NV": 4, "MEL": 4}
    assert set(view.table().keys.to_pylist()) == {row[0] for row in rows}


def test_the_page_tells_of_every_rule_of_tasks_fields_and_splits() -> None:
    for rule in (rules.TaskRule, rules.FieldRule, rules.ColumnSplit, rules.GroupRule):
        for field in msgspec.structs.fields(rule):
            if field.encode_name not in ("description", "units"):
                assert re.search(rf"\b{field.encode_name}\b", PAGE), (rule.__name__, field.encode_name)
