"""Dependencies of routes: who asks, and what they may see. No route under /v1 is without one of these."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from ropeway_server.principals import NotIdentified, Principal, Refused
from ropeway_server.reader import Reader
from ropeway_server.service import Service

_BEARER = HTTPBearer(auto_error=False, description="A token of `ropeway token create`, or a JWT of the OIDC issuer.")
"""Only told to /docs: it would take a header of another scheme for none."""


async def _service(request: Request) -> Service:  # async, as what needs no database: it waits for no thread
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]


async def _reader(request: Request, service: ServiceDep, _: Annotated[object, Security(_BEARER)]) -> Reader:
    given, identities = request.headers.get("authorization"), service.identities
    who = identities.nobody() if given is None else await run_in_threadpool(identities.identify, given)
    return _known(request, Reader(service, who))


def _known(request: Request, reader: Reader) -> Reader:
    """Leaves the reader where an error's handler finds it."""
    request.state.reader = reader
    return reader


ReaderDep = Annotated[Reader, Depends(_reader)]
"""The service as the requester sees it."""


async def _shard_reader(path: str, request: Request, service: ServiceDep, _: Annotated[object, Security(_BEARER)],
                        by: str | None = None) -> Reader:  # fmt: skip
    if by is None:
        return await _reader(request, service, None)
    return _known(request, await run_in_threadpool(_signed, service, path, by))


def _signed(service: Service, path: str, by: str) -> Reader:
    given = service.signatures.open(path, by)
    return Reader(service, service.identities.again(given.principal), given.view)


ShardReaderDep = Annotated[Reader, Depends(_shard_reader)]
"""The service as the requester of one shard sees it, whom `by` in a URL of ours may name."""


def _admin(reader: ReaderDep) -> Principal:
    who = reader.principal
    if not who.name:
        raise NotIdentified("only admins do this: give the token of one", "no token")
    if not who.admin or who.only is not None:
        raise Refused("only admins do this, by a token that is not limited to some datasets", "not an admin")
    return who


AdminDep = Annotated[Principal, Depends(_admin)]
"""An admin; everybody else is refused."""
