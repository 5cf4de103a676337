"""Names of views: given once, and the same for ever."""

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict

from ropeway.saved import SavedView
from ropeway_server import schemas
from ropeway_server.answers import answer
from ropeway_server.asking import ReaderDep

router = APIRouter(prefix="/v1/saved", tags=["views"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What a name is to stand for.

    Attributes:
        view: a view's id.
        tags: words to list it by.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    view: str
    tags: tuple[str, ...] = ()


@router.get(
    "",
    response_model=None,
    summary="The named views",
    responses=schemas.told(list[SavedView], "By name."),
)
def saved_views(request: Request, reader: ReaderDep) -> Response:
    """The names of all views that you may read, with what they hold."""
    return answer(request, reader.names())


@router.put(
    "/{name}",
    response_model=None,
    summary="Name a view",
    responses=schemas.told(SavedView, "The name, as it is from now on."),
)
def name_view(name: str, asked: Naming, request: Request, reader: ReaderDep) -> Response:
    """A name never changes its meaning: giving it to another view is a conflict."""
    return answer(request, reader.name(asked.view, name, asked.tags))
