"""The session's cookie among those of a request: read, told to the browser, taken out. Pure."""

from __future__ import annotations

from gateway.auth.session_options import SessionOptions
from gateway.errors import GatewayError, Kind
from gateway.exchange import Headers


class SessionCookie:
    """The cookie of a session. Immutable.

    Pairs are read as RFC 6265bis §5.7.3 has browsers write them: between semicolons, without quoting. What has no `=`
    counts as the name, since some services read it so. `cleared` is the Set-Cookie that takes it from the browser.
    `challenge` is the WWW-Authenticate that RFC 9110 §15.5.2 wants of a 401: no scheme for cookies is registered, and
    browsers pass over one that they do not know; this one is draft-broyer-http-cookie-auth's.
    """

    __slots__ = ("_attributes", "_login", "_name", "challenge", "cleared")

    def __init__(self, options: SessionOptions, realm: str) -> None:
        name = self._name = options.cookie
        self._login = options.login.path
        self._attributes = f"; Path=/{'; Secure' if options.secure else ''}; HttpOnly; SameSite={options.same_site}"
        self.cleared = f"{name}={self._attributes}; Max-Age=0"
        self.challenge = f'Cookie realm="{realm}", form-action="{self._login}", cookie-name="{name}"'

    def given(self, value: str) -> str:
        """The Set-Cookie that gives it to the browser, until that is closed."""
        return f"{self._name}={value}{self._attributes}"

    def read(self, headers: Headers) -> tuple[str | None, list[str] | None]:
        """Its value, and the Cookie fields that are left without it, byte for byte; None twice without one.

        GatewayError UNAUTHENTICATED, with status 400, where it comes more than once: one was planted (cookie tossing),
        and nobody can tell which.
        """
        name = self._name
        value, others = None, None
        fields = headers.get_all("cookie")
        for number, field in enumerate(fields):
            at = field.find(name)
            while at >= 0:
                start = field.rfind(";", 0, at) + 1
                end = field.find(";", at)
                if end < 0:
                    end = len(field)
                key, _, text = field[start:end].partition("=")
                if key.strip(" \t") == name:
                    if value is not None:
                        raise GatewayError(Kind.UNAUTHENTICATED, f"the cookie {name} comes twice", status=400)
                    value = text.strip(" \t")
                    rest = field[: start - 1] + field[end:] if start else field[end + 1 :].lstrip(" \t")
                    others = [*fields[:number], *([rest] if rest else ()), *fields[number + 1 :]]
                at = field.find(name, end)
        return value, others

    @staticmethod
    def leave(headers: Headers, others: list[str]) -> None:
        """Let only these Cookie fields go on."""
        if len(others) == 1:
            headers.set("Cookie", others[0])
        else:
            headers.remove("Cookie")
            for field in others:
                headers.add("Cookie", field)

    def missing(self, sent: bool) -> GatewayError:
        """401 for a request without a session; the cookie goes if one was `sent`."""
        headers = {"WWW-Authenticate": self.challenge}
        if sent:
            headers["Set-Cookie"] = self.cleared
        why = "the session is over" if sent else "a session is needed"
        return GatewayError(Kind.UNAUTHENTICATED, f"{why}: log in at {self._login}", headers=headers)
