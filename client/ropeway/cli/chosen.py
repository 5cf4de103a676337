"""Which view a command is about: one that has a name or an id, or the one that its options ask for."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ropeway.cache import DiskCache
    from ropeway.catalog import Catalog
    from ropeway.view import View

_OPTIONS = {"datasets": "--dataset", "parts": "--part"}
"""Arguments of `Catalog.query` whose options are not called like them."""


def chosen_view(
    catalog: "Catalog", named: str | None, query: Mapping[str, Any], *, beside: Collection[str] = ()
) -> "View":
    """The view of a name or id; where there is none, the view of a query.

    Args:
        catalog: where it is.
        named: a view's name or id, or None.
        query: arguments of `Catalog.query`, from options that may have been left out.
        beside: those of them that mean something for a named view too.

    Raises:
        UsageError: a view is named, and a query is asked that would not be looked at.
    """
    if named is None:
        return catalog.query(**query)
    unused = [_OPTIONS.get(name, f"--{name}") for name, value in query.items() if value and name not in beside]
    if unused:
        from ropeway.errors import UsageError

        raise UsageError(f"{named!r} names one view: leave out {', '.join(unused)}, or the name")
    return catalog.view(named)


def streamed_view(store: str, named: str | None, query: Mapping[str, Any], cache: "DiskCache | None") -> "View":
    """The view that a command streams, whose `parts` are also the ones to be read.

    Args:
        store: where it is: of the store, or of a service, whose answers the cache keeps then.
        named, query: as `chosen_view` has them.
        cache: of ranges of shards, or None.
    """
    from ropeway.catalog import connect, is_service

    return chosen_view(connect(store, cache=cache if is_service(store) else None), named, query, beside=["parts"])
