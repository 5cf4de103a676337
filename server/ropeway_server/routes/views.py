"""Views: made by a query, read in pages, opened by URLs."""

from dataclasses import dataclass, fields
from time import time
from typing import Annotated, Any, ClassVar

import msgspec
from fastapi import APIRouter, Body, Request, Response
from fastapi import Query as QueryParameter
from pydantic import ConfigDict

from ropeway import definition
from ropeway.definition import Definition
from ropeway.errors import NotFound, QueryError
from ropeway.query import Query
from ropeway.view import ViewInfo
from ropeway.wire import ARROW, MEDIA_TYPE, arrow_stream
from ropeway_server import schemas
from ropeway_server.answers import answer
from ropeway_server.asking import ReaderDep, ServiceDep
from ropeway_server.immutable import IMMUTABLE, content_of
from ropeway_server.shard_urls import ShardUrls, wanted

router = APIRouter(prefix="/v1/views", tags=["views"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which URLs are wanted.

    Attributes:
        shards: numbers of shards; null for all that hold samples of the view.
        proxied: for networks that reach only this service.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")  # a misspelt `shards` would give URLs of all

    shards: list[schemas.Whole] | None = None
    proxied: schemas.Flag = False


ALL = Wanted()
Number = QueryParameter(ge=0, le=1 << 31, description="Pages are counted from 0.")


@router.post(
    "",
    response_model=None,
    summary="The view of a query, or of a definition",
    responses={
        **schemas.told(ViewInfo, "A view that somebody asked for before."),
        **schemas.told(ViewInfo, "A view that nobody asked for before.", status=201),
    },
    openapi_extra=schemas.query_body(),
)
def make_view(request: Request, reader: ReaderDep, asked: Annotated[dict[str, Any], Body()]) -> Response:
    """Select samples. The same samples of the same dataset versions always have the same id.

    A body with a `kind` is a definition, as views tell their own: a query pinned to versions, or what is made of views.
    """
    info, new = reader.made(to_definition(asked)) if "kind" in asked else reader.make(to_query(asked))
    answered = answer(request, info, {"Location": f"/v1/views/{info.id}"})
    answered.status_code = 201 if new else 200
    return answered


@router.get(
    "/{view_id}",
    response_model=None,
    summary="A view by its id or name",
    responses=schemas.told(ViewInfo, "What it holds, and how it is made."),
)
def get_view(view_id: str, request: Request, reader: ReaderDep) -> Response:
    """What the view holds and how it is made; null where it was asked over datasets that you may not read."""
    return answer(request, reader.info(view_id))


@router.get(
    "/{view_id}/shards",
    response_model=None,
    summary="The view's shard table and its pages",
    responses=schemas.told(schemas.ViewShards, "Never changes; compressed by Accept-Encoding.", arrow=True),
)
def get_shards(view_id: str, request: Request, reader: ReaderDep, service: ServiceDep) -> Response:
    """`shards` is what the column `shard` counts in; `pages` has the first and one-past-last row of each page of
    samples, `layouts` of each page of the layout. An Arrow IPC stream by Accept has a row for each shard, and the rest
    in its schema's metadata."""
    served, accepted = reader.opened(view_id, "samples listed"), request.headers.get("accept", "")
    if ARROW in accepted:
        return content_of(request, service.views.packed_table(served), f"{view_id}-shards-arrow", ARROW)
    if MEDIA_TYPE in accepted:
        return answer(request, served.table, {"Cache-Control": IMMUTABLE})
    return content_of(request, service.views.table(served), f"{view_id}-shards", "application/json")


@router.get(
    "/{view_id}/samples",
    summary="One page of the view's samples, as columns",
    response_class=Response,
    responses=schemas.PAGE,
)
def get_samples(
    view_id: str, request: Request, reader: ReaderDep, service: ServiceDep, page: Annotated[int, Number] = 0
) -> Response:
    """Columnar msgpack, or an Arrow IPC stream by Accept; compressed by `Accept-Encoding: zstd`.

    Pages never change: they may be cached for ever, and read by range.
    """
    served = reader.opened(view_id, "samples listed")
    if page >= len(served.pages):
        raise NotFound(f"view {view_id} has {len(served.pages)} pages, counted from 0; there is no page {page}")
    return content_of(request, service.views.page(served, page), f"{view_id}-{page}")


@router.get(
    "/{view_id}/columns",
    summary="Index columns of the view's samples",
    response_class=Response,
    responses=schemas.content(ARROW, "An Arrow IPC stream, in row order."),
)
def get_columns(
    view_id: str,
    reader: ReaderDep,
    name: Annotated[
        list[str],
        QueryParameter(
            description="subject, split, key, or metadata by its bare name.",
            examples=[["subject", "age"]],
            max_length=256,
        ),
    ],
) -> Response:
    """Columns with nulls, one row per sample of the view."""
    table = reader.opened(view_id, "columns read").view.columns(name)
    return Response(arrow_stream(table), media_type=ARROW, headers={"Cache-Control": IMMUTABLE})


@router.post(
    "/{view_id}/access",
    response_model=schemas.Access,
    summary="URLs of the view's shards",
)
def access(
    view_id: str,
    request: Request,
    reader: ReaderDep,
    service: ServiceDep,
    asked: Annotated[Wanted, Body()] = ALL,
) -> Response:
    """URLs that can be read by range for so many `seconds`, until `expires` (Unix time); ask again for new ones."""
    served, seconds = reader.opened(view_id, None), service.settings.access_seconds
    numbers = wanted(served, asked.shards)
    base = str(request.base_url).rstrip("/")
    makes = ShardUrls(service.store, service.signatures, seconds, base, asked.proxied)
    urls = {str(number): makes.of(served.shards[number], reader.rights.lasting(), view_id) for number in numbers}
    reader.tell_shards("urls given", [served.shards[number] for number in numbers], view_id)
    given = schemas.Access(urls=urls, expires=int(time()) + seconds, seconds=seconds)
    return answer(request, given, {"Cache-Control": "no-store"})


def to_definition(asked: dict[str, Any]) -> Definition:
    """A request's body as a view's definition.

    Raises:
        QueryError: it is none.
    """
    try:
        return definition.loads(msgspec.json.encode(asked))
    except UnicodeEncodeError as error:
        raise QueryError("a view's definition is Unicode text; this one has half a surrogate pair") from error


def to_query(asked: dict[str, Any]) -> Query:
    """A request's body as a query.

    Raises:
        QueryError: a field that there is not, or of another type.
    """
    known = [field.name for field in fields(Query)]
    unknown = sorted(asked.keys() - set(known))
    if unknown:
        raise QueryError(f"a query has no field {unknown[0]!r}; there is: {', '.join(known)}")
    try:
        return msgspec.convert(asked, Query)
    except msgspec.ValidationError as error:
        raise QueryError(f"not a query: {error}") from error
