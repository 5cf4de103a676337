"""Where the voxels of a volume lie in the body, said in one way whatever the format.

The affine takes an array's index, in the order of its axes, to millimetres, with x growing to the patient's left in the
LPS convention of DICOM and MetaImage and to the right in RAS, which is NIfTI's and the one that is stored.
"""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway.index import Value

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_CODES = (("L", "R"), ("P", "A"), ("I", "S"))


def from_lps(columns: npt.NDArray[Any], origin: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The affine (RAS, 4×4) of steps and an origin in LPS.

    Args:
        columns: (3, 3), mm: the step along each axis of the array, one per column.
        origin: (3,), mm: the centre of the first voxel.
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = columns, origin
    return np.asarray(_LPS_TO_RAS @ affine, np.float64)


def orientation(affine: npt.NDArray[Any]) -> str:
    """Which way each axis of the array runs, such as SPL: to the side that its step is nearest to.

    An axis that does not run along a direction of its own is `?`.
    """
    steps = np.asarray(affine, np.float64)[:3, :3]
    taken: set[int] = set()
    codes = []
    for step in steps.T:
        side = int(np.argmax(np.abs(step)))
        if not np.isfinite(step).all() or step[side] == 0 or side in taken:
            codes.append("?")
            continue
        taken.add(side)
        codes.append(_CODES[side][int(step[side] > 0)])
    return "".join(codes)


def geometry(affine: npt.NDArray[Any]) -> dict[str, Value]:
    """The fields `affine` (JSON, array index → mm, RAS) and `orientation`."""
    rows = (np.asarray(affine, np.float64) + 0.0).tolist()  # + 0.0: no negative zeros
    return {"affine": json.dumps(rows), "orientation": orientation(affine)}
