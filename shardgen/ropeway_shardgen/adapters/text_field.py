"""A column of words, such as a caption or a report in a table, as a text. There is no file."""

from pathlib import Path

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload
from ropeway_shardgen.adapters.text import text_payload
from ropeway_shardgen.fields import Fields, lookup, text
from ropeway_shardgen.problems import SampleError


class TextFieldOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which column."""

    field: str


def read(_path: Path, fields: Fields, options: TextFieldOptions) -> Payload:
    """The field's words as UTF-8; their number of `characters` is a field.

    Raises:
        SampleError: the field is empty.
    """
    words = text(lookup(fields, options.field))
    if not words:
        raise SampleError(f"field {options.field!r} is empty: no text", reason="missing value")
    return text_payload(words)


ADAPTER = Adapter(options=TextFieldOptions, read=read, locators=lambda options: (options.field,), needs_file=False)
