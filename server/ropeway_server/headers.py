"""Headers that tell browsers and caches what they may do with an answer.

After the OWASP HTTP Headers Cheat Sheet (cheatsheetseries.owasp.org): an API is no page, so everything is refused. The
few pages that there are say themselves what they load (`routes.explorer`).
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # URLs may hold a capability
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

DEFAULTS = {"Content-Security-Policy": _NOTHING, "Cache-Control": "no-store"}
"""Where a route says nothing else. An answer depends on who asks: no cache may keep it."""


class SecurityHeaders:
    """Adds them to every answer; over TLS, also that it must stay so (RFC 6797)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ALWAYS)
                headers.add_vary_header("Authorization")  # the next person at a browser has other rights
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        await self._app(scope, receive, with_headers)
