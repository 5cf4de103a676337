"""The pages for people: the explorer at /, the API's documentation at /docs, and the files that both load."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from mimetypes import types_map
from pathlib import PurePath

from fastapi import APIRouter, Request, Response

from ropeway.errors import NotFound
from ropeway_server import explorer
from ropeway_server.answers import unchanged

router = APIRouter(include_in_schema=False)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""A page runs and shows what this service gives, and pictures that it was given (`blob:`) or that its styles hold."""

_SUFFIXES = (".html", ".css", ".js", ".svg")
_SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    tag: str

    @classmethod
    def read(cls, file: Traversable) -> "_File":
        content = file.read_bytes()
        return cls(content, types_map[PurePath(file.name).suffix], f'"{sha256(content).hexdigest()[:16]}"')


def _files() -> Mapping[str, _File]:
    """What is served, by name: our own files, and Swagger UI, which fastapi-offline brings along."""
    own = [file for file in files(explorer).iterdir() if file.name.endswith(_SUFFIXES)]
    swagger = [files("fastapi_offline") / "static" / name for name in _SWAGGER]
    return {file.name: _File.read(file) for file in [*own, *swagger]}


_FILES = _files()


@router.get("/")
async def explore(request: Request) -> Response:
    """The explorer."""
    return _given(request, "index.html")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The API's documentation."""
    return _given(request, "docs.html")


@router.get("/explorer/{name}")
async def file(name: str, request: Request) -> Response:
    """What the pages load."""
    if name not in _FILES:
        raise NotFound(f"the explorer has no file {name!r}")
    return _given(request, name)


def _given(request: Request, name: str) -> Response:
    found = _FILES[name]
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache", "ETag": found.tag}
    if unchanged(request, found.tag):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
