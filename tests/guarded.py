"""A store with one dataset of each licence tier, whose every name and value betrays where it comes from; and tokens and
grants for it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import urllib3

import tiny_store
from ropeway import manifest as m
from ropeway.manifest import Access
from ropeway.stores import Store
from ropeway_server.database import Database
from ropeway_server.grants import Grants, NewGrant
from ropeway_server.principals import Principal
from ropeway_server.tokens import Tokens
from tiny_store import Sample

TODAY = datetime.now(UTC).date()
_http = urllib3.PoolManager()


class Kind(NamedTuple):
    """A dataset's tier and licence."""

    access: Access
    licence: str


KINDS = {
    "free": Kind("open", "CC-BY-4.0"),
    "alike": Kind("open", "CC BY-NC-SA 4.0"),
    "signup": Kind("registered", "CC0-1.0"),
    "trained": Kind("credentialed", "PhysioNet Credentialed Health Data License 1.5.0"),
    "closed": Kind("restricted", "PPMI Data Use Agreement"),
}
"""Dataset id → what it is under."""

PEOPLE, EACH = 13, 2
"""Subjects of a dataset, and samples of each; one more subject has a single sample, of the rare class."""


def build(store: Store, dataset: str, version: str = tiny_store.VERSION) -> m.Manifest:
    """Publish one dataset. Its part, task, classes, metadata, keys, subjects and contents all have its id in them."""
    numbers = [(person, time) for person in range(PEOPLE) for time in range(EACH)]
    samples = [_sample(dataset, person, time, rare=False) for person, time in numbers]
    task = m.Task(id=f"task-{dataset}", type="multiclass", classes=(f"common-{dataset}", f"rare-{dataset}"))
    made = tiny_store.build(
        store, dataset, [*samples, _sample(dataset, PEOPLE, 0, rare=True)], version=version, tasks=[task],
        meta={f"meta_{dataset}": "integer", "age": "integer"}, domain=f"domain-{dataset}",
    )  # fmt: skip
    kind = KINDS[dataset]
    card = replace(made.card, title=f"title-{dataset}", access=kind.access, licence=kind.licence)
    found = replace(made, card=card)
    store.put(m.manifest_path(dataset, version), m.dumps(found))
    return found


def build_all(store: Store) -> None:
    """Publish every dataset of `KINDS`."""
    for dataset in KINDS:
        build(store, dataset)


def _sample(dataset: str, person: int, time: int, *, rare: bool) -> Sample:
    return Sample(
        key=f"key-{dataset}-{person:02d}-{time}",
        parts={f"part-{dataset}": ("txt", f"content-{dataset}-{person}-{time}".encode())},
        subject=f"person-{dataset}-{person:02d}",
        labels={f"task-{dataset}": int(rare)},
        meta={f"meta_{dataset}": person, "age": 40 + person},
    )


def make_token(database: str, name: str = "ann", **how: Any) -> str:
    """A new token in the database at a URL."""
    state = Database(database)
    try:
        return Tokens(state).create(name, by=Principal(name="test"), **how)[1]
    finally:
        state.close()


def make_grant(database: str, holder: str = "ann", **what: Any) -> int:
    """The number of a new grant in the database at a URL."""
    state = Database(database)
    try:
        return (
            Grants(state)
            .add(NewGrant(holder=holder, agreement="DUA 1", signed=TODAY, **what), by=Principal(name="test"))
            .id
        )
    finally:
        state.close()


def call(method: str, url: str, token: str | None = None, body: object = None, **headers: str) -> Any:
    """The answer to one request, asked once."""
    content = None if body is None else json.dumps(body)
    who = {} if token is None else {"Authorization": f"Bearer {token}"}
    return _http.request(method, url, body=content, headers={**headers, **who}, retries=False)
