"""Model-ready forms of parts, by name: what the models of CLIMB (arXiv 2503.07667) and BenchMD (arXiv 2304.08486) take.

`StreamingLoader(view, 64, parts={"ecg": "ecg-12x5000", "image": "image-224"})`. A name stands for a reading; another
size, rate or window is the reading itself: `{"ecg": Leads(("II", "V5"), rate=125, seconds=8)}`. They are worked out at
read time, in the loader's threads, and depend on nothing but the sample's own bytes. Nothing is baked into shards.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ropeway.errors import UsageError
from ropeway.model_ready.pictures import Picture
from ropeway.model_ready.records import Filled, LastValues
from ropeway.model_ready.signals import EIGHT_LEADS, LONGITUDINAL, TWELVE_LEADS, Leads, Montage
from ropeway.model_ready.videos import Frames
from ropeway.model_ready.volumes import Hounsfield
from ropeway.readings import Reading

__all__ = ["FORMS", "Filled", "Frames", "Hounsfield", "LastValues", "Leads", "Montage", "Picture", "form"]

FORMS: Mapping[str, Reading] = MappingProxyType(
    {
        # BenchMD's Input2dSpec(224, 224) with CLIMB's fitting: the longer side to 224, zeros around the shorter.
        "image-224": Picture(224),
        "image-224-grey": Picture(224, channels=1),
        # BenchMD's Input1dSpec(5000, 12): ten seconds at 500 Hz, divided by the record's range.
        "ecg-12x5000": Leads(TWELVE_LEADS, rate=500, seconds=10),
        # ECG-JEPA (arXiv 2410.13867), which CLIMB pretrains: the eight independent leads at 250 Hz.
        "ecg-8x2500": Leads(EIGHT_LEADS, rate=250, seconds=10),
        # BIOT (arXiv 2305.10351): the longitudinal bipolar montage at 200 Hz; windows of ten and of five seconds.
        "eeg-16x2000": Montage(LONGITUDINAL, values=2000, rate=200),
        "eeg-16x1000": Montage(LONGITUDINAL, values=1000, rate=200),
        # BenchMD's Input3dSpec(256, 256, 24), with the windows of CLIMB's loaders of LIDC and LNDb, RSNA, and RSPECT.
        "ct-lung-24x256x256": Hounsfield(-600, 1500),
        "ct-vessels-24x256x256": Hounsfield(400, 1000),
        "ct-soft-24x256x256": Hounsfield(80, 700),
        # CLIMB's vision encoders take videos as frames of 224 × 224.
        "video-8x224": Frames(8, 224),
        "video-16x224": Frames(16, 224),
        # Of MIMIC-IV stays: the last observation carried forward; and CLIMB's line of last values for a text encoder.
        "ehr-filled": Filled(),
        "ehr-text": LastValues(),
    }
)
"""Name → reading."""


def form(name: str) -> Reading:
    """The reading of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in FORMS:
        raise UsageError(f"no form {name!r}; there is: {', '.join(FORMS)}")
    return FORMS[name]
