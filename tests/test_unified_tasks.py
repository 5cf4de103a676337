"""One task, one meaning: what recipes that share a task have in common, and that all of CLIMB's datasets are here."""

from collections import defaultdict
from functools import cache

import pytest

from raw_trees import raw_trees
from ropeway_shardgen.recipe import BUILT_IN, Recipe, load
from ropeway_shardgen.rules import TaskRule
from ropeway_shardgen.vocabulary import vocabularies, vocabulary

CORE = (
    "ptbxl", "chapman-shaoxing", "georgia", "cpsc2018", "iiic", "tuab", "tuev", "mimic-cxr", "chexpert", "vindr-cxr",
    "covid19-cxr", "coronahack", "vindr-mammo", "cbis-ddsm", "cmmd", "isic-2020", "ham10000", "pad-ufes-20",
    "messidor-2", "aptos-2019", "jichi", "lndb", "inspect", "kits23", "ct-hemorrhage", "rspect", "echonet-dynamic",
    "busi", "covid-blues", "covid-us", "brain-tumor", "brain-mri", "abcd", "abide", "ppmi", "proteins", "ppi",
    "lc25000", "bcss", "cholec80", "hugadb", "expression-atlas", "geo", "vital", "mimic-iv",
)  # fmt: skip
"""The 45 datasets of CLIMB's Dataset_Info.md (DDVD233/CLIMB; Dai et al., arXiv 2503.07667)."""

NAMES = sorted(path.stem for path in BUILT_IN.glob("*.toml"))


@cache
def recipe(name: str) -> Recipe:
    """A built-in recipe."""
    return load(name)


def tasks() -> list[tuple[str, str, TaskRule]]:
    """Recipe, task and its rule, of all recipes."""
    return [(name, task, rule) for name in NAMES for task, rule in recipe(name).tasks.items()]


def test_every_dataset_of_climb_has_a_recipe() -> None:
    assert len(set(CORE)) == 45
    assert sorted(set(CORE) - set(NAMES)) == []
    assert sorted(set(CORE) - set(raw_trees())) == [], "and a raw tree that it is tested from"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_knows_whether_its_dataset_is_one_of_the_45(name: str) -> None:
    climb = recipe(name).climb
    assert recipe(name).id == name
    assert (climb is not None and climb.core) == (name in CORE)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_has_the_classes_of_its_vocabulary(name: str) -> None:
    for task, rule in recipe(name).tasks.items():
        if not rule.vocabulary:
            assert task not in vocabularies(), "classes of its own for a task that has a vocabulary"
            continue
        shared = vocabulary(rule.vocabulary)
        assert (rule.vocabulary, rule.type) == (task, shared["type"])
        assert list(rule.classes) == list(shared.get("classes", ())), task


def test_tasks_of_one_name_are_one_task() -> None:
    meanings: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = defaultdict(dict)
    for name, task, rule in tasks():
        meanings[task][name] = (rule.type, rule.classes)
    assert {task: own for task, own in meanings.items() if len(set(own.values())) > 1} == {}


@pytest.mark.parametrize("name", vocabularies())
def test_a_vocabulary_is_one_of_a_recipe(name: str) -> None:
    assert any(rule.vocabulary == name for _, _, rule in tasks())
    shared = vocabulary(name)
    assert not set(shared) & {"from", "columns", "target", "where", "vocabulary"}, (
        "where labels are is a recipe's to say"
    )
    classes = set(shared.get("classes", ()))
    for meant in shared.get("map", {}).values():
        assert {meant} <= classes if isinstance(meant, str) else set(meant) <= classes
