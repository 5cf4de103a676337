"""From a request's Authorization header to who asks."""

from dataclasses import replace

from ropeway_server.database import Database
from ropeway_server.groups import groups_of
from ropeway_server.oidc import OidcTokens
from ropeway_server.principals import ANONYMOUS, NotIdentified, Principal
from ropeway_server.settings import Settings
from ropeway_server.tokens import PREFIX, Tokens

_WHO = "who asks? Give a token: set ROPEWAY_TOKEN, or ropeway.connect(url, token=…), or send Authorization: Bearer …"


class Identities:
    """Knows everybody by a token of the service or of its OIDC issuer."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._anonymous, self._database = settings.anonymous, database
        self._tokens = Tokens(database)
        self._oidc = OidcTokens(settings.oidc) if settings.oidc else None

    def identify(self, authorization: str | None) -> Principal:
        """Who sends this header; one that does not hold never counts as none.

        Raises:
            NotIdentified: nobody that is known, or nobody where somebody is wanted.
        """
        if authorization is None:
            return self.nobody()
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotIdentified(f"only bearer tokens are taken; {_WHO}", "no bearer token")
        if self._oidc is None or token.startswith(PREFIX):
            return self._tokens.identify(token.strip())
        found = self._oidc.identify(token.strip())
        return self._with_groups(found)

    def again(self, principal: Principal) -> Principal:
        """The same principal as it is now, where something was signed for it before.

        What an OIDC token said of its groups and of an admin holds as long as what was signed.

        Raises:
            NotIdentified: what it came by holds no more.
        """
        if not principal.name:
            return self.nobody()
        return self._tokens.principal(principal.token) if principal.token else self._with_groups(principal)

    def nobody(self) -> Principal:
        """Somebody without a token.

        Raises:
            NotIdentified: the service wants one.
        """
        if not self._anonymous:
            raise NotIdentified(_WHO, "no token")
        return ANONYMOUS

    def _with_groups(self, principal: Principal) -> Principal:
        """Somebody by OIDC, with the groups that they are in here."""
        return replace(principal, groups=principal.claimed | groups_of(self._database, principal.name))
