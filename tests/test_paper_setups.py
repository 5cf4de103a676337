"""The experiments of CLIMB (arXiv 2503.07667, §4) run from packed stores alone: pretraining on a mix of all domains,
few-shot transfer, and fusion per hospital stay with missing modalities. Tiny data, true formats, real loops."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import ropeway
from raw_trees import raw_trees
from raw_trees.photos import picture
from ropeway.catalog import StoreCatalog
from ropeway.readings import Reading
from ropeway.stores.local import LocalStore
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.recipe import available, load

DOMAINS: Mapping[str, tuple[str, str, str]] = {
    "abide": ("autism", "connectivity", ""),
    "aptos-2019": ("diabetic-retinopathy", "image", "image-224"),
    "brain-tumor": ("brain-tumor-type", "image", "image-224"),
    "chexpert": ("chest-findings", "image", "image-224"),
    "cholec80": ("surgical-phase", "video", "video-8x224"),
    "cmmd": ("breast-malignancy", "image", "image-224"),
    "echonet-dynamic": ("ejection-fraction", "video", "video-8x224"),
    "geo": ("sex", "expression", ""),
    "ham10000": ("skin-lesion", "image", "image-224"),
    "hugadb": ("activity", "imu", ""),
    "lc25000": ("lung-colon-tissue", "image", "image-224"),
    "lndb": ("nodule-size", "ct", "ct-lung-24x256x256"),
    "mimic-iv": ("mortality-48h", "ehr", "ehr-filled"),
    "proteins": ("enzyme", "graph", ""),
    "ptbxl": ("ecg-diagnosis", "ecg", "ecg-8x2500"),
    "tuab": ("eeg-abnormal", "eeg", "eeg-16x2000"),
}
"""Recipe → its task, its part, and the part's form ("": as it is stored), one recipe per domain."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> StoreCatalog:
    folder, trees = tmp_path_factory.mktemp("climb"), raw_trees()
    store = LocalStore(folder / "store")
    for name in DOMAINS:
        raw = folder / name
        raw.mkdir()
        trees[name](raw)
        pack(load(name), raw, store, Settings(on_error="skip"))
    return StoreCatalog(store)


def test_multitask_pretraining_on_a_mix_of_domains(catalog: StoreCatalog) -> None:
    """One loop over all of CLIMB's domains: a step is of one, the same on every rank, small ones oversampled; each has
    a head of its own, and what nobody judged has no loss."""
    core = [recipe for recipe in available() if recipe.climb and recipe.climb.core]
    assert {load(name).card.domain for name in DOMAINS} == {recipe.card.domain for recipe in core}
    whole = [catalog.query(datasets=[name], task=task) for name, (task, _, _) in DOMAINS.items()]
    views = {view.limit(min(view.samples, 8)): 1.0 for view in whole}
    parts: dict[str, Reading | str] = {part: form or ropeway.Whole() for _, part, form in DOMAINS.values()}
    heads = {name: torch.nn.LazyLinear(max(1, len(load(name).tasks[DOMAINS[name][0]].classes))) for name in DOMAINS}
    shapes: dict[str, set[tuple[int, ...]]] = {}
    loader = ropeway.StreamingLoader(ropeway.mix(views, batches="per-source"), 2, parts=parts)
    losses: dict[str, list[torch.Tensor]] = {}
    for batch in loader:
        name = batch["__source__"]
        task, part, form = DOMAINS[name]
        if form:
            shapes.setdefault(name, set()).add(tuple(batch[part].shape[1:]))
        found = loss(heads[name](summary(batch[part])), batch[f"task.{task}"], load(name).tasks[task].type)
        losses.setdefault(name, []).append(found)
    assert set(losses) == set(DOMAINS)
    assert all(len(own) == 1 for own in shapes.values()), shapes
    for own in losses.values():
        torch.stack(own).sum().backward()  # type: ignore[no-untyped-call]
    for name, head in heads.items():
        assert head.weight.grad is not None, name
        assert torch.isfinite(head.weight.grad).all(), name
        assert head.weight.grad.any(), name


def summary(values: Any) -> torch.Tensor:
    """Two numbers of each sample, in place of an encoder: the mean and the spread of what is known."""
    rows = []
    for value in values:
        numbers = value["node_attributes"] if isinstance(value, dict) else value
        known = torch.as_tensor(numbers).float().flatten()
        known = known[torch.isfinite(known)]
        rows.append(torch.stack([known.mean(), known.std(correction=0)]) / (1 + known.abs().max()))
    return torch.stack(rows)


def loss(given: torch.Tensor, label: torch.Tensor, kind: str) -> torch.Tensor:
    """Of labels that are known; zero where none is."""
    functional = torch.nn.functional
    if kind == "regression":
        known = ~torch.isnan(label)
        return functional.mse_loss(given[:, 0][known], label[known].float(), reduction="sum")
    if kind == "multilabel":
        known = label >= 0
        return functional.binary_cross_entropy_with_logits(given[known], label[known].float(), reduction="sum")
    return functional.cross_entropy(given, label.long(), ignore_index=-1, reduction="sum")


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> StoreCatalog:
    """HAM10000 with 700 pictures of one kind of lesion, 200 of another, 40 of a third, 6 of a fourth."""
    raw = tmp_path_factory.mktemp("ham")
    kinds = ["nv"] * 700 + ["mel"] * 200 + ["bcc"] * 40 + ["vasc"] * 6
    rows = [f"HAM_{n // 2:07},ISIC_{n:07},{kind},histo,40.0,male,back,x" for n, kind in enumerate(kinds)]
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
    (raw / "HAM10000_metadata").write_text("\n".join([header, *rows]) + "\n")
    for n in range(len(kinds)):
        picture(raw / "HAM10000_images_part_1" / f"ISIC_{n:07}.jpg", np.full((4, 5, 3), n % 256, np.uint8))
    store = LocalStore(raw / "store")
    pack(load("ham10000"), raw, store)
    return StoreCatalog(store)


@pytest.mark.parametrize("shots", [8, 64, 256])
def test_few_shot_transfer(lesions: StoreCatalog, shots: int) -> None:
    """k labelled samples per class, drawn by seed, as a stored view: another job streams the same by its name alone."""
    train = lesions.query(task="skin-lesion", split="train")
    few = train.few_shot("skin-lesion", per_class=shots, seed=0)
    whole = train.label_counts("skin-lesion")
    assert whole["NV"] > 256
    assert few.label_counts("skin-lesion") == {name: min(count, shots) for name, count in whole.items()}
    lesions.save(few, f"skin-lesion-{shots}-shot", tags=["few-shot"])
    stored = lesions.view(f"skin-lesion-{shots}-shot")
    assert stored.info == few.info
    loader = ropeway.StreamingLoader(stored, 50, parts={"image": "image-224"}, tail="pad")
    seen: Counter[str] = Counter()
    for batch in loader:
        assert batch["image"].shape == (50, 224, 224, 3)
        named = [train.task("skin-lesion").classes[label] for label in batch["task.skin-lesion"].tolist()]
        seen.update(name for name, real in zip(named, batch["__mask__"].tolist(), strict=True) if real)
    assert seen == {name: count for name, count in few.label_counts("skin-lesion").items() if count}
    assert set(few.columns(["split"]).column("split").to_pylist()) == {"train"}
    assert few.id != train.few_shot("skin-lesion", per_class=shots, seed=1).id


def test_fusion_per_stay_with_missing_modalities(catalog: StoreCatalog) -> None:
    """A step of training on EHR, ECG and X-ray, where absent modalities are masked out by what the batch says."""
    view = catalog.query(datasets=["mimic-iv"], task="mortality-48h")
    parts: dict[str, Reading | str] = {
        "ehr": "ehr-filled",
        "ecg": "ecg-8x2500",
        "cxr": "image-224-grey",
        "text": ropeway.Whole(),
    }
    heads = {name: torch.nn.LazyLinear(4) for name in ("ehr", "ecg", "cxr")}
    absent = 0
    for batch in ropeway.StreamingLoader(view, 2, parts=parts, tail="pad"):
        assert len(batch["text"]) == 2
        fused = torch.zeros(2, 4)
        for name, head in heads.items():
            there = batch["__present__"].get(name, torch.ones(2, dtype=torch.bool))
            values = batch[name].float().flatten(1)
            assert not values[~there].any()
            fused = fused + head(values) * there[:, None]
            absent += int((~there).sum())
        label = batch["task.mortality-48h"]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            fused.mean(1)[label >= 0], label[label >= 0].float()
        )
        loss.backward()  # type: ignore[no-untyped-call]
        assert torch.isfinite(loss)
    assert absent


def test_few_shots_of_a_length_of_stay_are_drawn_by_the_day(catalog: StoreCatalog) -> None:
    view = catalog.query(datasets=["mimic-iv"], task="length-of-stay")
    days = [round(value) for batch in ropeway.StreamingLoader(view, 1, parts=[]) for value in label_of(batch)]
    assert len(set(days)) < len(days)
    for shots in (1, 2):
        few = view.few_shot("length-of-stay", per_class=shots)
        drawn = [round(value) for batch in ropeway.StreamingLoader(few, 1, parts=[]) for value in label_of(batch)]
        assert Counter(drawn) == {day: min(count, shots) for day, count in Counter(days).items()}


def label_of(batch: Mapping[str, Any]) -> list[float]:
    found: list[float] = batch["task.length-of-stay"].tolist()
    return found
