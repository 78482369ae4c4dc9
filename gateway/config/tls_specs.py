"""What a configuration says about TLS: with clients at a listener, and with the endpoints of an upstream."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, Strict, model_validator

from gateway.config.fields import MatchedHost, OwnHeaderName, Port, Text
from gateway.config.spec import Spec, not_scalar, or_short

TlsVersion = Literal["1.2", "1.3"]
PROPERTIES = ("subject", "fingerprint", "san", "certificate")


class CertificateSpec(Spec):
    """A certificate with its key, both PEM files, their paths relative to this file's folder."""

    cert: Text = Field(description="the certificate, with the intermediate ones behind it")
    key: Text | None = Field(None, description="its private key, not encrypted; absent is in the file of cert")
    names: tuple[MatchedHost, ...] = Field(
        (), description="the server names it is for, such as *.example.com; absent are the certificate's own"
    )


class ClientHeadersSpec(Spec):
    """The header that tells upstreams each property of a client's certificate; clients' own copies are removed."""

    subject: OwnHeaderName | None = Field(None, description="the distinguished name (RFC 4514)")
    fingerprint: OwnHeaderName | None = Field(None, description="SHA-256 of the certificate in hexadecimal")
    san: OwnHeaderName | None = Field(None, description="alternative names, such as DNS:a.example, URI:spiffe://b/c")
    certificate: OwnHeaderName | None = Field(None, description="all of it, as in Client-Cert (RFC 9440)")

    def names(self) -> dict[str, str]:
        """The headers that are set, by property."""
        return {one: header for one in PROPERTIES if (header := getattr(self, one)) is not None}


class ListenerTlsSpec(Spec):
    """TLS with clients."""

    certificates: tuple[CertificateSpec, ...] = Field(
        min_length=1, description="chosen by the server name that the client asks for; the first serves all others"
    )
    client_ca: Text | None = Field(
        None, description="a PEM file of the authorities whose client certificates are accepted; absent asks for none"
    )
    client_auth: Literal["required", "optional"] = Field(
        "required", description="whether a client without a certificate may connect; with client_ca only"
    )
    client_headers: ClientHeadersSpec = Field(
        ClientHeadersSpec(), description="headers that tell upstreams of the client's certificate"
    )
    min_version: TlsVersion = Field("1.2", description="the oldest version of TLS that is spoken")

    @model_validator(mode="after")
    def _asks(self) -> Self:
        for key in ("client_auth", "client_headers"):
            if self.client_ca is None and key in self.model_fields_set:
                raise ValueError(f"{key} is for clients with certificates; add client_ca")
        return self


class HttpsRedirectSpec(Spec):
    """Every request is sent to the same host and path by HTTPS: `https` alone, or a mapping."""

    model_config = ConfigDict(json_schema_extra=or_short({"const": "https"}))

    https: Port = Field(443, description="the port to go to")
    status: Literal[301, 302, 307, 308] = Field(308, description="the status of the answer")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {} if value == "https" else not_scalar(value, "https")


class UpstreamTlsSpec(Spec):
    """TLS with endpoints whose URL begins with https://."""

    ca: Text | None = Field(
        None, description="a PEM file of the authorities to believe; absent are those of the system"
    )
    cert: Text | None = Field(None, description="a PEM file with the certificate that the gateway shows")
    key: Text | None = Field(None, description="its private key, not encrypted; absent is in the file of cert")
    server_name: MatchedHost | None = Field(
        None, description="the name to ask for (SNI) and to find in the certificate; absent is the endpoint's host"
    )
    verify: Annotated[bool, Strict()] = Field(True, description="whether the certificate and its name have to hold")
    min_version: TlsVersion = Field("1.2", description="the oldest version of TLS that is spoken")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.key is not None and self.cert is None:
            raise ValueError("key without cert; add cert")
        if self.ca is not None and not self.verify:
            raise ValueError("ca has no meaning with verify: false; leave one of them out")
        if self.server_name is not None and self.server_name.startswith("*."):
            raise ValueError("server_name is one name; write one such as api.example.com")
        return self
