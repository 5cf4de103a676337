"""Who has accepted the licence of which view."""

from datetime import UTC, datetime

import sqlalchemy as sa

from ropeway.licences import Licence
from ropeway_server import tables
from ropeway_server.audit import Event, write
from ropeway_server.database import Database
from ropeway_server.principals import Principal, Refused


def unaccepted(what: str, licence: Licence, principal: Principal) -> Refused:
    """What is told of a licence that has to be accepted first."""
    names = ", ".join(f"{one.dataset} ({one.licence}; {one.access})" for one in licence.datasets if one.terms)
    who = "" if principal.name else ", with a token (ROPEWAY_TOKEN)"
    problem = (
        f"the licence of {what} has terms to accept first, once: {', '.join(licence.terms)} of {names}. Read them "
        f"with `ropeway licence VIEW`, then add --accept{who}"
    )
    return Refused(problem, "licence not accepted")


class Acceptances:
    """Kept per principal and view, with each dataset's licence as it was called then."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, principal: Principal, view: str, licence: Licence) -> datetime:
        """Remember that a principal accepts; the first time counts."""
        now, columns = datetime.now(UTC), tables.acceptances.c
        rows = [{"principal": principal.name, "view": view, "dataset": one.dataset, "licence": one.licence[:512],
                 "accepted": now} for one in licence.datasets]  # fmt: skip
        mine = (columns.principal == principal.name, columns.view == view)
        event = Event(
            principal=principal.name, token=principal.token, action="licence accepted", view=view,
            datasets=tuple(one.dataset for one in licence.datasets),
            agreements=tuple(dict.fromkeys(one.licence for one in licence.datasets)),
            detail={"terms": " ".join(licence.terms), "conflicts": "; ".join(licence.conflicts)},
        )  # fmt: skip
        with self._database.alone() as connection:
            before = connection.execute(sa.select(columns.accepted).where(*mine).limit(1)).scalar()
            if before is None:
                connection.execute(tables.acceptances.insert(), rows)
                write(connection, [event])
        return before or now

    def of_view(self, principal: Principal, view: str) -> datetime | None:
        """When a principal accepted a view's licence."""
        columns = tables.acceptances.c
        asked = sa.select(columns.accepted).where(columns.principal == principal.name, columns.view == view).limit(1)
        with self._database.reading() as connection:
            return connection.execute(asked).scalar()

    def of_dataset(self, principal: Principal, dataset: str, licence: str) -> bool:
        """Whether a principal accepted that licence of a dataset, with any view of it."""
        columns = tables.acceptances.c
        mine = (columns.principal == principal.name, columns.dataset == dataset, columns.licence == licence[:512])
        with self._database.reading() as connection:
            return connection.execute(sa.select(columns.view).where(*mine).limit(1)).first() is not None
