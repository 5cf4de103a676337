"""Text burned into pixels: what a header says of it, and what makes it likely.

Names and dates stand in the pixels of many ultrasound images and screen captures, where no header rule removes them
(DICOM PS3.15, Annex E.3.1, leaves them to the Clean Pixel Data Option). A recipe says what happens to such images:

    refuse    those whose header speaks for text are bad samples (unless it says otherwise, this)
    read      every image is read by RapidOCR, whatever its header says, and those with text are bad samples
    allow     all are packed: somebody looked at them, and the recipe says why they name nobody
"""

from functools import cache
from typing import Any, Literal, TypeAlias

from ropeway.privacy_pixels import TextReader
from ropeway.privacy_rules import masked
from ropeway.samples import Array
from ropeway_shardgen.problems import SampleError

BurnedIn: TypeAlias = Literal["refuse", "read", "allow"]

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


def check(dataset: Any, burned_in: BurnedIn) -> None:
    """Refuse an image whose header speaks for text, where the recipe neither reads nor allows such images.

    Raises:
        SampleError: it does, for the reason "burned-in text".
    """
    found = sign(dataset) if burned_in == "refuse" else None
    if found:
        raise SampleError(
            f"text may be burned into the pixels: {found}; in the options of the recipe's part, burned_in = 'read' "
            "reads every image (a second each), and burned_in = 'allow' is for images that somebody looked at",
            reason="burned-in text",
        )


def look(pixels: Array, burned_in: BurnedIn) -> None:
    """Refuse an image that shows text, where the recipe wants it read.

    Args:
        pixels: (height, width), or (height, width, 3) of uint8, or several of them on a first axis.
        burned_in: what the recipe says.

    Raises:
        SampleError: it shows some, for the reason "burned-in text"; the message has its shape and not its letters.
        UsageError: RapidOCR is not installed.
    """
    if burned_in != "read":
        return
    words = [masked(words.text) for words in _reader().words(pixels)]
    if words:
        shown = ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")
        raise SampleError(f"text stands in the pixels: {shown}", reason="burned-in text")


@cache
def _reader() -> TextReader:
    return TextReader()


def _several(value: Any) -> list[Any]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
