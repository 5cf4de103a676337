"""What the members of an adopted shard are called here, by the rules that its manifest keeps."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from ropeway.adopt.names import key_of, part_of, split
from ropeway.adopt.places import shard_name
from ropeway.adopt.rules import Rules
from ropeway.errors import FormatError
from ropeway.manifest import Manifest, Shard

Namer: TypeAlias = Callable[[str], tuple[str, str, str] | None]
"""Member name → key, part and format; None for what is no sample's, or was dropped."""


def namer(manifest: Manifest, shard: Shard) -> Namer:
    """How the members of one shard are named.

    Raises:
        FormatError: the manifest does not say by which rules the shard was adopted.
    """
    try:
        rules = msgspec.json.decode(str(manifest.provenance.parameters.get("rules")), type=Rules)
    except msgspec.MsgspecError as error:
        raise FormatError("the manifest does not say how the shard was adopted: adopt it again",
                          dataset=manifest.dataset, shard=shard.path) from error  # fmt: skip
    named, name = rules.named, shard_name(shard.path)

    def of(member: str) -> tuple[str, str, str] | None:
        one = split(member)
        if one is None:
            return None
        part, form = part_of(one.field, named)
        dropped = one.field in rules.drop or part in rules.drop
        return None if dropped else (key_of(rules.key, name, one.key), part, form)

    return of
