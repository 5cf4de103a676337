"""Questions and answers made of labels."""

from collections.abc import Callable
from pathlib import Path

import pytest

import ropeway
from raw_trees import raw_trees
from ropeway.catalog import StoreCatalog
from ropeway.errors import UsageError
from ropeway.manifest import Task
from ropeway.questions import NONE, wording
from ropeway.stores.local import LocalStore
from ropeway.view import View
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.recipe import load, loads

RECIPE = """
id = "asked"
key = "{id}"
[card]
title = "Asked"
domain = "test"
modalities = ["table"]
licence = "CC0-1.0"
access = "open"
unit = "row"
[raw]
get = "made"
folder = "rows.csv"
[source]
table = "rows.csv"
[parts.values]
kind = "table"
adapter = "table"
options = { columns = ["age"] }
[split]
rule = "subject-hash"
fractions = { train = 1.0 }
[tasks.grade]
type = "multiclass"
from = "grade"
classes = ["mild", "moderate", "severe"]
question = "How severe is it?"
[tasks.finding]
type = "multilabel"
columns = { oedema = "oedema", nodule = "nodule" }
classes = ["oedema", "nodule", "fracture"]
description = "Findings of the chest."
[tasks.age]
type = "regression"
from = "age"
units = "year"
description = "Age at the exam"
"""
ROWS = "id,grade,oedema,nodule,age\na,mild,1,1,3.5\nb,severe,0,0,70\nc,,-1,0,\nd,moderate,,,1\n"


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    folder = tmp_path_factory.mktemp("asked")
    (folder / "rows.csv").write_text(ROWS)
    pack(loads(RECIPE, "asked.toml"), folder, LocalStore(folder / "store"))
    return StoreCatalog(LocalStore(folder / "store")).query()


def asked(view: View, task: str, seed: int | None = None) -> dict[str, ropeway.Question | None]:
    ask = ropeway.as_qa(view, task, media=["values"], seed=seed)
    batches = list(ropeway.StreamingLoader(view, 2))
    return {key: one for batch in batches for key, one in zip(batch["__key__"], ask(batch), strict=True)}


def test_one_class(view: View) -> None:
    found = asked(view, "grade")
    assert found["c"] is None
    assert found["b"] == ropeway.Question(
        "b", "<table>\nHow severe is it?\nmild\nmoderate\nsevere", ("mild", "moderate", "severe"), "severe", ("values",)
    )


def test_several_classes_leave_out_what_nobody_judged(view: View) -> None:
    found = asked(view, "finding")
    a, b, c = found["a"], found["b"], found["c"]
    assert a is not None
    assert a.prompt == "<table>\nFindings of the chest: which of the following apply?\noedema\nnodule"
    assert a.answer == "oedema, nodule"
    assert b is not None
    assert b.answer == NONE
    assert c is not None
    assert c.choices == ("nodule",)
    assert found["d"] is None


def test_numbers(view: View) -> None:
    found = asked(view, "age")
    one = found["a"]
    assert one is not None
    assert (one.prompt, one.answer) == ("<table>\nAge at the exam: what is the value in year?", "3.5")
    assert found["c"] is None


def test_choices_are_shuffled_by_seed_and_key(view: View) -> None:
    orders = {asked(view, "grade", seed)["a"].choices for seed in range(12)}  # type: ignore[union-attr]
    assert len(orders) > 3
    assert asked(view, "grade", 3) == asked(view, "grade", 3)
    assert {one.choices for one in asked(view, "grade", 3).values() if one}.__len__() > 1


def test_words_of_a_task_without_any() -> None:
    assert wording(Task(id="ef", type="regression")) == "ef: what is the value?"
    assert wording(Task(id="dr-grade", type="multiclass", classes=("a",))) == "dr grade: which of the following is it?"


def test_a_part_that_is_not_there(view: View) -> None:
    with pytest.raises(UsageError, match="no part 'ecg' in this view; there is: values"):
        ropeway.as_qa(view, "grade", media=["ecg"])
    with pytest.raises(UsageError, match="no task 'x'"):
        ropeway.as_qa(view, "x")


@pytest.fixture
def packed(tmp_path: Path) -> Callable[..., View]:
    def of(*recipes: str) -> View:
        for name in recipes:
            (tmp_path / name).mkdir()
            raw_trees()[name](tmp_path / name)
            pack(load(name), tmp_path / name, LocalStore(tmp_path / "store"), Settings(on_error="skip"))
        return StoreCatalog(LocalStore(tmp_path / "store")).query()

    return of


def test_a_text_is_the_answer_where_it_is_the_target(packed: Callable[..., View]) -> None:
    view = packed("mimic-cxr")
    ask = ropeway.as_qa(view, "radiology-report", media=["image"])
    found = {one.key: one for batch in ropeway.StreamingLoader(view, 2, tail="pad") for one in ask(batch) if one}
    reports = {key: text for batch in ropeway.StreamingLoader(view, 1, parts=["report"])
               for key, text in zip(batch["__key__"], batch["report"], strict=True) if text is not None}  # fmt: skip
    assert {key: one.answer for key, one in found.items()} == reports
    assert 0 < len(reports) < view.samples
    assert {one.prompt for one in found.values()} == {"<image>\nWrite the radiology report of this chest X-ray."}
    with pytest.raises(UsageError, match="the answers are the part 'report', which these batches lack: load it too"):
        ask(next(iter(ropeway.StreamingLoader(view, 2, parts=["image"]))))


def test_a_target_may_be_another_part_in_another_dataset(packed: Callable[..., View]) -> None:
    view = packed("geo", "expression-atlas")
    ask = ropeway.as_qa(view, "sample-attribute")
    answers = {one.answer for batch in ropeway.StreamingLoader(view, 3, tail="pad") for one in ask(batch) if one}
    assert {"cirrhosis", "organism part: brain"} <= answers


def test_a_conversation_is_asked_up_to_its_last_answer(packed: Callable[..., View]) -> None:
    view = packed("vital")
    ask = ropeway.as_qa(view, "figure-conversation", media=["image"])
    found = {one.key: one for batch in ropeway.StreamingLoader(view, 1, tail="pad") for one in ask(batch) if one}
    assert (found["000001"].prompt, found["000001"].answer) == ("<image>\nWhat is shown?", "A naïve “shadow”, 3 µm.")
    assert found["000002"].prompt == "<image>\nWhere?\nLeft; then\nright.\nWhere?"
    assert found["000002"].answer == "Left; then\nright."


def test_no_words_answer_for_a_mask(packed: Callable[..., View]) -> None:
    with pytest.raises(UsageError, match="breast-lesion-mask is the part 'mask', a segmentation: no words"):
        ropeway.as_qa(packed("busi"), "breast-lesion-mask")
