"""What answers and bodies look like, for /docs; and the answers that only the service has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI

from ropeway.definition import Definition
from ropeway.query import Query
from ropeway.samples import ShardRef
from ropeway.saved import SavedView
from ropeway.view import ViewInfo
from ropeway.wire import ARROW, MEDIA_TYPE


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
    """How the service is, or that something was done."""

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


VIEW: dict[str, Any] = {
    "id": "92be659254fd2bc5", "samples": 17418, "bytes": 423624704, "datasets": {"ptbxl": "0123456789ab"},
    "definition": {
        "kind": "query", "query": {"task": "ecg-diagnosis", "split": "train"}, "versions": {"ptbxl": "0123456789ab"},
    },
    "tasks": [{"id": "ecg-diagnosis", "type": "multilabel", "classes": ["NORM", "MI"]}],
    "parts": [{"name": "ecg", "kind": "signal", "format": "npy", "dtype": "<i2", "shape": [12, 5000]}],
    "label_counts": {"ecg-diagnosis": {"NORM": 9438, "MI": 5469}}, "namespaces": {},
}  # fmt: skip

SAVED: dict[str, Any] = {
    "name": "ecg-5-shot", "view": "92be659254fd2bc5", "tags": ["paper"], "created": "2026-11-25T20:00:00Z",
    "datasets": {"ptbxl": "0123456789ab"}, "samples": 25, "bytes": 608000,
}  # fmt: skip

SHARDS: dict[str, Any] = {
    "shards": [{"dataset": "ptbxl", "version": "0123456789ab", "path": "ptbxl/0123456789ab/train-000000.tar",
                "bytes": 268435456, "sha256": "0" * 64}],
    "pages": [[0, 17418]],
}  # fmt: skip

_TOLD: list[Any] = [Query, Definition, ViewInfo, SavedView, ViewShards]

_REF = "#/components/schemas/{name}"

_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

PAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Columnar msgpack, see ropeway/wire.py; or the same columns as an Arrow IPC stream.",
        "content": {MEDIA_TYPE: _BYTES, ARROW: _BYTES},
    },
    206: {"description": "The bytes asked for.", "content": {MEDIA_TYPE: _BYTES, ARROW: _BYTES}},
    304: {"description": "Unchanged."},
    416: {"description": "No such range."},
}


def query_body() -> dict[str, Any]:
    """The OpenAPI request body of a query, or of a definition."""
    schema = {**msgspec.json.schema_components([Query], ref_template=_REF)[1]["Query"], "additionalProperties": False}
    (definition,), _ = msgspec.json.schema_components([Definition], ref_template=_REF)
    examples = {
        "query": {"value": {"task": "ecg-diagnosis", "split": "train", "where": "age >= 60 and label in ('MI')"}},
        "definition": {"value": {"kind": "limit", "count": 1000, "seed": 0, "of": VIEW["definition"]}},
    }
    body = {"schema": {"anyOf": [schema, definition]}, "examples": examples}
    return {"requestBody": {"required": True, "content": {"application/json": body}}}


def told(kind: Any, description: str, *, status: int = 200, example: Any) -> dict[int | str, dict[str, Any]]:
    """A route's answer, by the type that it is encoded from; that type is one of `_TOLD`, or a list of them."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    media = {"schema": schema, "example": example}
    return {status: {"description": description, "content": {"application/json": media, MEDIA_TYPE: media}}}


_OPEN = {"catalog", "views", "licences", "samples", "bytes"}
"""Tags of routes that are answered without a token, where the service has open datasets for anybody; but names are
given, and licences accepted, by somebody."""


def install(app: FastAPI, *, anonymous: bool) -> None:
    """Have the OpenAPI document hold the schemas that `told` refers to, and say what takes no token."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        _, components = msgspec.json.schema_components(_TOLD, ref_template=_REF)
        document["components"]["schemas"].update(components)
        for methods in document["paths"].values():
            for method, described in methods.items():
                named = method == "put" or (method == "post" and "licences" in described.get("tags", ()))
                if anonymous and not named and _OPEN & set(described.get("tags", ())):
                    described["security"] = [{}, *(one for one in described["security"] if one)]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def example(value: Any, description: str = "Successful Response") -> dict[int | str, dict[str, Any]]:
    """An example of a route's answer."""
    return {200: {"description": description, "content": {"application/json": {"example": value}}}}


def content(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """A route's answer in one media type that is not JSON."""
    return {200: {"description": description,
                  "content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}}  # fmt: skip
