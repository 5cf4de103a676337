"""Text burned into pixels: what a header says of it, and what makes it likely.

Names and dates stand in the pixels of many ultrasound images and screen captures, where no header rule removes them
(DICOM PS3.15, Annex E.3.1, leaves them to the Clean Pixel Data Option). Nothing is read from the pixels here.
"""

from typing import Any

from ropeway_shardgen.problems import SampleError

_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage; its multi-frame classes begin with it (PS3.4, B.5)."""
_MODALITIES = {"US": "ultrasound", "IVUS": "ultrasound", "SC": "a screen capture", "DOC": "a document"}

_SCREENS = ("XA", "RF", "OT")
"""Modalities whose secondary images are captures. Those of CT and MR are reformatted volumes, which show no text."""


def sign(dataset: Any) -> str | None:
    """What speaks for text in the pixels, in words; None where nothing does, or the header says that there is none."""
    flag = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if flag == "NO":
        return None
    if flag == "YES":
        return "the header says so"
    modality = str(dataset.get("Modality") or "").strip().upper()
    if modality in _MODALITIES:
        return f"{_MODALITIES[modality]}, and the header does not say that there is none"
    kind = str(dataset.get("SOPClassUID") or "")
    if kind == _CAPTURE or kind.startswith(f"{_CAPTURE}.") or dataset.get("ConversionType"):
        return "a secondary capture, and the header does not say that there is none"
    words = [str(word).strip().upper() for word in _several(dataset.get("ImageType"))]
    if modality in _SCREENS and "SECONDARY" in words[1:2]:
        return "an image made of a screen, and the header does not say that there is none"
    return None


def check(dataset: Any, *, allowed: bool) -> None:
    """Refuse an image that may show text.

    Args:
        dataset: its header.
        allowed: the recipe says that its images were looked at; see the adapter's option `allow_burned_in`.

    Raises:
        SampleError: there is a sign of text, for the reason "burned-in text".
    """
    found = None if allowed else sign(dataset)
    if found:
        raise SampleError(
            f"text may be burned into the pixels: {found}; look at such images, and if they name nobody set "
            "allow_burned_in = true in the options of the recipe's part and say why", reason="burned-in text",
        )  # fmt: skip


def _several(value: Any) -> list[Any]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
