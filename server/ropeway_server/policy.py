"""The rule: what a principal may read. Pure.

A dataset of the tier `open` may be read by everybody whom the service lets in; any other by those who hold a grant for
it or for its tier, and by admins. A token that is limited to some datasets reads none but those, whoever holds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ropeway.manifest import Access
from ropeway_server.grants import Grant
from ropeway_server.principals import Principal


@dataclass(frozen=True, slots=True)
class Rights:
    """A principal and what it holds now."""

    principal: Principal
    grants: Sequence[Grant]

    def reads(self, dataset: str, tier: Access) -> bool:
        """Whether it may read a dataset of that tier: samples, bytes, exact counts."""
        if not self._within(dataset):
            return False
        return tier == "open" or self.principal.admin or bool(self.by(dataset, tier))

    def counts(self, dataset: str, tier: Access) -> bool:
        """Whether it may know that there is such a dataset, and its counts without small cells."""
        held = any(_covers(grant, dataset, tier) for grant in self.grants)
        return self.reads(dataset, tier) or (self._within(dataset) and held)

    def by(self, dataset: str, tier: Access) -> list[Grant]:
        """The grants by which it may read a dataset."""
        return [grant for grant in self.grants if grant.level == "read" and _covers(grant, dataset, tier)]

    def lasting(self) -> Principal:
        """The principal with no more than it takes to know its rights again: it travels in URLs."""
        who = self.principal
        if not who.name or who.token:  # the token is looked up again
            return Principal(name=who.name, token=who.token)
        named = {grant.holder.removeprefix("group:") for grant in self.grants if grant.holder.startswith("group:")}
        return replace(who, groups=frozenset(), claimed=who.claimed & named)  # the other groups are looked up again

    def _within(self, dataset: str) -> bool:
        only = self.principal.only
        return only is None or dataset in only


def _covers(grant: Grant, dataset: str, tier: Access) -> bool:
    return grant.dataset == dataset if grant.dataset is not None else grant.tier == tier
