"""How a view is made, in full: what a saved view keeps, and what a job's report says it trained on.

As JSON, a definition is an object whose `kind` says which of these it is; `of` holds the view it is made of.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from ropeway.errors import QueryError
from ropeway.query import Query

DEEPEST = 32
"""Steps from a definition down to its queries, at most."""

Missing: TypeAlias = Literal["drop", "keep"]
"""What becomes of a sample without a partner in a join: it is left out, or stays and lacks the partner's parts."""


class Selected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="query"):
    """The samples that a query selects; `versions` are all that it was asked over, by dataset."""

    query: Query
    versions: Mapping[str, str]


class Limited(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="limit"):
    """So many samples, drawn by seed."""

    of: "Definition"
    count: int
    seed: int = 0


class FewShot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="few-shot"):
    """So many samples of each class of a task, drawn by seed."""

    of: "Definition"
    task: str
    per_class: int
    seed: int = 0


class Balanced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="balanced"):
    """All samples, those of rarer classes repeated."""

    of: "Definition"
    task: str
    seed: int = 0


class Without(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="without"):
    """The samples whose content is not in another view."""

    of: "Definition"
    other: "Definition"


class Joined(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="join"):
    """Samples with a partner of another view; see `View.join`. `within` is in seconds."""

    of: "Definition"
    other: "Definition"
    on: tuple[str, ...]
    within: float | None = None
    time: str = "time"
    missing: Missing = "drop"


Definition: TypeAlias = Selected | Limited | FewShot | Balanced | Without | Joined


_DECODER: msgspec.json.Decoder[Definition] = msgspec.json.Decoder(Definition)  # once: see `manifest_reading`


def of_query(query: Query, versions: Mapping[str, str]) -> Selected:
    """The definition of a query's view; of the versions it was asked over, those of datasets that it names, if any."""
    named = versions if query.datasets is None else query.datasets
    return Selected(query=query, versions={found: version for found, version in versions.items() if found in named})


def loads(data: bytes) -> Definition:
    """A definition from JSON.

    Raises:
        QueryError: it is none, or nested too deeply.
    """
    try:
        found: Definition = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise QueryError(f"not a view's definition: {error}") from error
    except RecursionError as error:
        raise QueryError(f"a view's definition has at most {DEEPEST} steps") from error
    selections(found)
    return found


def selections(definition: Definition) -> list[Selected]:
    """The queries that a view is made of, in the order they are named.

    Raises:
        QueryError: they lie deeper than `DEEPEST` steps.
    """
    return list(_selections(definition, DEEPEST))


def _selections(definition: Definition, left: int) -> Iterator[Selected]:
    if left == 0:
        raise QueryError(f"a view's definition has at most {DEEPEST} steps")
    if isinstance(definition, Selected):
        yield definition
        return
    yield from _selections(definition.of, left - 1)
    if isinstance(definition, (Without, Joined)):
        yield from _selections(definition.other, left - 1)
