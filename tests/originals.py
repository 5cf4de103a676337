"""Originals as `--keep-raw` keeps them, and what the privacy check finds in a file."""

from pathlib import Path
from typing import Any

from ropeway.privacy_rules import NAME, Identifiers, shapes
from ropeway.privacy_texts import texts
from ropeway_shardgen.adapters import Payload
from ropeway_shardgen.recipe import configured

KEY = bytes(range(32))
_RECIPE = """
id = "kept"
[card]
title = "Kept"
domain = "EEG"
modalities = ["signal"]
licence = "CC0-1.0"
access = "open"
unit = "recording"
[raw]
get = "made by a test"
folder = "files"
[split]
rule = "subject-hash"
fractions = { train = 1.0 }
"""


def described(key: str, source_and_parts: str) -> str:
    """The text of a recipe `kept` of one split, whose samples have such keys."""
    return f"key = '{key}'\n{_RECIPE}{source_and_parts}"


def original(name: str, path: Path, /, *parts: dict[str, Any]) -> Payload:
    """The original of a file that an adapter reads for parts of these options; none given: one part, as by default."""
    readers = [configured(name, part) for part in parts or ({},)]
    keep, options = readers[0][0].raw, [told for _, told in readers]
    assert keep is not None
    found = keep(path, KEY, options)
    assert keep(path, KEY, options).content == found.content, "other bytes the second time"
    return found


def findings(form: str, content: bytes, *names: str) -> list[str]:
    """What the privacy check, which knows nothing of allow-lists, finds in a file."""
    listed = Identifiers(name for name in names if sum(map(str.isalnum, name)) > 3)
    found = []
    for words in texts(form, memoryview(content)):
        hits = [words.rule] if words.rule else [hit.rule for hit in shapes(words.text)]
        hits = [hit for hit in hits if not words.noise or hit != NAME]
        hits += [hit.rule for hit in listed.found(words.text)]
        found += [f"{words.place}: {hit}" for hit in hits]
    return found
