"""Dependencies of routes: who asks, and what they may see. No route under /v1 is without one of these."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from ropeway.errors import AccessDenied
from ropeway_server.principals import NotIdentified
from ropeway_server.reader import Reader
from ropeway_server.service import Service

_BEARER = HTTPBearer(auto_error=False, description="A token of `ropeway token create`, or a JWT of the OIDC issuer.")
"""Only told to /docs: it would take a header of another scheme for none."""


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]


def _reader(request: Request, service: ServiceDep, _: Annotated[object, Security(_BEARER)]) -> Reader:
    return Reader(service, service.identities.identify(request.headers.get("authorization")))


ReaderDep = Annotated[Reader, Depends(_reader)]
"""The service as the requester sees it."""


def _shard_reader(path: str, request: Request, service: ServiceDep, _: Annotated[object, Security(_BEARER)],
                  by: str | None = None) -> Reader:  # fmt: skip
    if by is None:
        return Reader(service, service.identities.identify(request.headers.get("authorization")))
    given = service.signatures.open(path, by)
    return Reader(service, service.identities.again(given.principal), given.view)


ShardReaderDep = Annotated[Reader, Depends(_shard_reader)]
"""The service as the requester of one shard sees it, whom `by` in a URL of ours may name."""


def _admin(reader: ReaderDep) -> str:
    who = reader.principal
    if not who.name:
        raise NotIdentified("only admins do this: give the token of one")
    if not who.admin or who.only is not None:
        raise AccessDenied("only admins do this, by a token that is not limited to some datasets")
    return who.name


AdminDep = Annotated[str, Depends(_admin)]
"""The name of an admin; everybody else is refused."""
