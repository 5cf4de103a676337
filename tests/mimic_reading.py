"""The adapter of MIMIC-IV, asked as packing asks it."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from mimic_tree import Tree
from ropeway_shardgen.adapters import Payload
from ropeway_shardgen.recipe import configured

SUBJECT, HADM = 10_000_001, 20_000_001
FEATURES: dict[str, dict[str, Any]] = {
    "creatinine": {"items": [50912], "units": "mg/dL", "plausible": [0.001, 150]},
    "heart_rate": {"items": [220045], "units": "/min", "plausible": [1, 300]},
    "temperature": {"items": [223761], "plausible": [10, 50], "convert": [[223761, 5 / 9, -160 / 9]]},
}


def stays_options(**changed: Any) -> dict[str, Any]:
    ecg, cxr = "../../mimic-iv-ecg/1.0", "../../mimic-cxr-jpg/2.1.0"
    return {"unit": "hospital", "window": [0, 48], "ecg": ecg, "cxr": cxr, "features": FEATURES} | changed


def listed(admissions: Path, **changed: Any) -> list[dict[str, Any]]:
    adapter, options = configured("mimic-iv", {"stays": stays_options(**changed)})
    assert adapter.rows is not None
    return [dict(row.fields) for row in adapter.rows(admissions, options)]


def read(admissions: Path, fields: dict[str, Any], form: str) -> Payload:
    adapter, options = configured("mimic-iv", {"form": form})
    needed = adapter.locators(options)
    return adapter.read(admissions, {name: fields[name] for name in needed}, options)


def values(payload: Payload) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.load(io.BytesIO(payload.content), allow_pickle=False)
    return array


def grid(admissions: Path, fields: dict[str, Any]) -> dict[tuple[int, str], float]:
    """The cells that hold something."""
    found = values(read(admissions, fields, "grid"))
    return {(int(hour), list(FEATURES)[column]): float(found[hour, column])
            for hour, column in zip(*np.nonzero(~np.isnan(found)), strict=True)}  # fmt: skip


def one_stay(hours: float = 100, **known: Any) -> Tree:
    tree = Tree()
    tree.patient(SUBJECT)
    tree.admission(SUBJECT, HADM, hours, **known)
    return tree
