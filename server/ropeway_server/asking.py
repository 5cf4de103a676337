"""Dependencies of routes: who asks, and what they may see. No route under /v1 is without one of these."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from ropeway_server.principals import NotIdentified, Principal, Refused
from ropeway_server.reader import Reader
from ropeway_server.service import Service


async def _service(request: Request) -> Service:  # async, as what needs no database: it waits for no thread
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]


class Bearer(HTTPBearer):
    """Who asks, as a bearer token says. A `HTTPBearer` for /docs only: that takes a header of another scheme for none.

    It asks for nothing by further dependencies, of which FastAPI takes as long to think as for a small answer.
    """

    async def __call__(self, request: Request) -> Reader:  # type: ignore[override]  # what it finds is our own
        service: Service = request.app.state.service
        given, identities = request.headers.get("authorization"), service.identities
        who = identities.nobody() if given is None else await run_in_threadpool(identities.identify, given)
        return _known(request, Reader(service, who))


_BEARER = Bearer(
    scheme_name="HTTPBearer", description="A token of `ropeway token create`, or a JWT of the OIDC issuer."
)


def _known(request: Request, reader: Reader) -> Reader:
    """Leaves the reader where an error's handler finds it."""
    request.state.reader = reader
    return reader


ReaderDep = Annotated[Reader, Security(_BEARER)]
"""The service as the requester sees it."""


class BearerOrUrl(Bearer):
    """The same, or who is named by a URL that the service gave."""

    async def __call__(self, request: Request, path: str, by: str | None = None) -> Reader:  # type: ignore[override]
        if by is None:
            return await super().__call__(request)
        return _known(request, await run_in_threadpool(_signed, request.app.state.service, path, by))


def _signed(service: Service, path: str, by: str) -> Reader:
    given = service.signatures.open(path, by)
    return Reader(service, service.identities.again(given.principal), given.view)


ShardReaderDep = Annotated[
    Reader, Security(BearerOrUrl(scheme_name=_BEARER.scheme_name, description=_BEARER.model.description))
]
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
