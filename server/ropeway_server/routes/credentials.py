"""Credentials of the object store for a view, beside the URLs of `routes.views`."""

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from ropeway_server.answers import answer
from ropeway_server.asking import ReaderDep, ServiceDep
from ropeway_server.credentials import Credentials, scoped
from ropeway_server.schemas import Whole
from ropeway_server.shard_urls import wanted

router = APIRouter(prefix="/v1/views", tags=["bytes"])


@router.post("/{view_id}/credentials", response_model=Credentials, summary="S3 credentials for the view's shards")
def credentials(
    view_id: str,
    request: Request,
    reader: ReaderDep,
    service: ServiceDep,
    shards: Annotated[list[Whole] | None, Body(embed=True, description="Shard numbers; all by default.")] = None,
) -> Response:
    """For programs that want credentials rather than URLs. They read these shards and nothing else, for a short time.

    Where the service has a role to assume (`role` in its settings); a session policy names each shard, so that about
    twenty fit.
    """
    served, settings = reader.opened(view_id, None), service.settings
    refs = [served.shards[number] for number in wanted(served, shards)]
    given = scoped(settings.role, service.store.url, refs, reader.principal.shown, settings.access_seconds)
    reader.tell_shards("credentials given", refs, view_id)
    return answer(request, given, {"Cache-Control": "no-store"})
