"""What answers and bodies look like, for /docs; and the answers that only the service has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ropeway.query import Query
from ropeway.samples import ShardRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem document (RFC 9457).

    Attributes:
        type: the name of the error that the Python client raises.
        detail: what is wrong, and what would be right.
    """

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the service is."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewShards:
    """A view's shard table and pages.

    Attributes:
        shards: what the column `shard` of the samples counts in.
        pages: first and one-past-last row of each page.
    """

    shards: tuple[ShardRef, ...]
    pages: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """URLs of a view's shards.

    Attributes:
        urls: by shard number; each can be read by range.
        expires: Unix seconds, by the service's clock.
        seconds: how long they hold from now on, for requesters with another clock.
    """

    urls: Mapping[str, str]
    expires: int
    seconds: int


_TAR: dict[str, Any] = {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}
SHARD: dict[str, Any] = {"description": "Bytes of a tar file.", "content": _TAR}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem document (RFC 9457).",
        "content": {
            "application/problem+json": {
                "schema": msgspec.json.schema_components([Problem])[1]["Problem"],
                "example": {
                    "type": "QueryError", "title": "Unprocessable Entity", "status": 422,
                    "detail": "unknown column 'height' in the filter; there is: age, sex, split",
                },
            }
        },
    }
}  # fmt: skip


def query_body() -> dict[str, Any]:
    """The OpenAPI request body of a query."""
    schema = {**msgspec.json.schema_components([Query])[1]["Query"], "additionalProperties": False}
    example = {"task": "ecg-diagnosis", "split": "train", "where": "age >= 60 and label in ('MI', 'STTC')"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def example(value: Any, description: str = "Successful Response") -> dict[int | str, dict[str, Any]]:
    """An example of a route's answer."""
    return {200: {"description": description, "content": {"application/json": {"example": value}}}}


def content(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """A route's answer in one media type that is not JSON."""
    return {200: {"description": description,
                  "content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}}  # fmt: skip
