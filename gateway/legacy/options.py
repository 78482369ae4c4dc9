"""What configuration says of a format."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.legacy.namespaces import Namespaces

Scalar = Literal["number", "integer", "boolean"]
# SOAP 1.1 §3 and SOAP 1.2 part 1, §1.1.
ENVELOPES = {"1.1": "http://schemas.xmlsoap.org/soap/envelope/", "1.2": "http://www.w3.org/2003/05/soap-envelope"}
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")
_ACTION = re.compile(r"[!#-\[\]-~]*")


@dataclass(frozen=True)
class XmlOptions:
    """How XML becomes JSON (see gateway.legacy.xml).

    What the `root` element holds is the whole value; without it the value is an object of one key, the root's name.
    `namespace` is that of elements without a prefix in JSON, `namespaces` are the others by the prefixes of JSON.
    `lists` are elements that are lists even when there is one, `types` those that are not text; both name elements
    as JSON does, `types` also attributes (`@id`) and, by the element's name, the text beside attributes. `item` names
    what has no name of its own when JSON is written: the entries of a list in a list, or of one that is the whole
    value. `content_type` is what a written body is called.
    """

    root: str | None = None
    namespace: str | None = None
    namespaces: dict[str, str] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    types: dict[str, Scalar] = field(default_factory=dict)
    item: str = "item"
    content_type: str = "application/xml"

    def __post_init__(self) -> None:
        names = Namespaces(self.namespace, self.namespaces)
        for name in (*self.lists, self.item, *((self.root,) if self.root is not None else ())):
            names.check_name(name)
        _check_types(names, self.types)
        if not _MEDIA_TYPE.fullmatch(self.content_type):
            raise ValueError(f"{self.content_type!r} is no content type; write one such as text/xml")


@dataclass(frozen=True)
class SoapOptions:
    """One operation of a SOAP service (see gateway.legacy.soap).

    `operation` is the name of the element in the request's Body, `namespace` its own and that of everything without a
    prefix. `action` is the SOAPAction of 1.1 and the content type's action of 1.2. `header` are elements of the Header,
    as JSON. `faults` are statuses by the code of a fault, or by the name of the element in its detail; `fault_detail`
    shows clients that detail. The others are as for XML.
    """

    operation: str
    namespace: str | None = None
    version: str | float = "1.1"
    action: str | None = None
    header: dict[str, Any] = field(default_factory=dict)
    namespaces: dict[str, str] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    types: dict[str, Scalar] = field(default_factory=dict)
    item: str = "item"
    faults: dict[str, int] = field(default_factory=dict)
    fault_detail: bool = False

    def __post_init__(self) -> None:
        if str(self.version) not in ("1.1", "1.2"):
            raise ValueError(f"the version of SOAP is 1.1 or 1.2, not {self.version}")
        names = self.names
        for name in (self.operation, self.item, *self.lists):
            names.check_name(name)
        _check_types(names, self.types)
        if self.action is not None and not _ACTION.fullmatch(self.action):
            raise ValueError(f"{self.action!r} is no action; write a URI such as urn:example:GetPrice")
        for code, status in self.faults.items():
            if not 400 <= status <= 599:
                raise ValueError(f"the status of the fault {code!r} is 400 to 599, such as 404")

    @property
    def names(self) -> Namespaces:
        """The namespaces of a request's Body, and of an answer."""
        return Namespaces(self.namespace, self.namespaces, tuple(ENVELOPES.values()), "soap")


@dataclass(frozen=True)
class FormOptions:
    """Forms are `application/x-www-form-urlencoded`; `lists` are fields that are lists even when there is one."""

    lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class FormatOptions:
    """One format with its options: `xml: {root: order}`, `soap: {operation: GetPrice}`, or `form: {}`."""

    xml: XmlOptions | None = None
    soap: SoapOptions | None = None
    form: FormOptions | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.xml, self.soap, self.form)) != 1:
            raise ValueError("there is one format, xml, soap or form, with its options, such as xml: {root: order}")


def _check_types(names: Namespaces, types: dict[str, Scalar]) -> None:
    for name in types:
        if name.startswith("@"):
            names.check_attribute(name[1:])
        else:
            names.check_name(name)
