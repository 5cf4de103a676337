"""The experiments of CLIMB (arXiv 2503.07667, §4) run from packed stores alone: pretraining on a mix of all domains,
few-shot transfer, and fusion per hospital stay with missing modalities. Tiny data, true formats, real loops."""

from collections.abc import Mapping

import pytest
import torch

import ropeway
from raw_trees import raw_trees
from ropeway.catalog import StoreCatalog
from ropeway.readings import Reading
from ropeway.stores.local import LocalStore
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.recipe import load

DOMAINS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "ptbxl": ("ecg-diagnosis", {"ecg": "ecg-8x2500"}),
    "tuab": ("abnormal-eeg", {"eeg": "eeg-16x2000"}),
    "chexpert": ("chest-findings", {"image": "image-224-grey"}),
    "ham10000": ("skin-lesion", {"image": "image-224"}),
    "busi": ("breast-ultrasound", {"image": "image-224"}),
    "echonet-dynamic": ("ejection-fraction", {"video": "video-8x224"}),
    "lndb": ("", {"ct": "ct-lung-24x256x256"}),
    "mimic-iv": ("mortality-48h", {"ehr": "ehr-filled"}),
}
"""Recipe → task and the form of its part, one per domain."""


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
    """One loop over all domains: a step is of one domain, the same on every rank, small domains oversampled."""
    views = {catalog.query(datasets=[name]): 1.0 for name in DOMAINS}
    parts = {part: form for _, forms in DOMAINS.values() for part, form in forms.items()}
    seen: dict[str, set[tuple[int, ...]]] = {}
    mix = ropeway.mix(views, batches="per-source")
    for batch in ropeway.StreamingLoader(mix, 2, parts=parts):
        [part] = DOMAINS[batch["__source__"]][1]
        seen.setdefault(batch["__source__"], set()).add(tuple(batch[part].shape[1:]))
    assert set(seen) == set(DOMAINS)
    assert all(len(shapes) == 1 for shapes in seen.values()), seen


@pytest.mark.parametrize("per_class", [8, 64, 256])
def test_few_shot_transfer(catalog: StoreCatalog, per_class: int) -> None:
    """k labelled samples per class, drawn by seed: the same view, with the same id, wherever it is asked for."""
    view = catalog.query(datasets=["ham10000"], task="skin-lesion", split="train")
    few = view.few_shot("skin-lesion", per_class=per_class, seed=0)
    assert few.id == catalog.query(datasets=["ham10000"], task="skin-lesion", split="train").few_shot(
        "skin-lesion", per_class=per_class, seed=0
    ).id  # fmt: skip
    whole = view.label_counts("skin-lesion")
    assert few.label_counts("skin-lesion") == {name: min(count, per_class) for name, count in whole.items()}
    [batch] = ropeway.StreamingLoader(few, few.samples, parts={"image": "image-224"})
    assert batch["image"].shape == (few.samples, 224, 224, 3)


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
