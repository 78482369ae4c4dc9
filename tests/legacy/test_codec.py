"""All codecs offer the same, and a fault is a ValueError for whoever does not look closer."""

from __future__ import annotations

import pytest

from gateway.legacy.codec import Codec, ServiceFault
from gateway.legacy.forms import FormCodec
from gateway.legacy.options import FormOptions, SoapOptions, XmlOptions
from gateway.legacy.soap import SoapCodec
from gateway.legacy.xml import XmlCodec

CODECS: list[Codec] = [
    XmlCodec(XmlOptions(), 1000),
    FormCodec(FormOptions(), 1000),
    SoapCodec(SoapOptions("Op"), 1000),
]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_what_a_codec_writes_is_what_it_reads(codec: Codec) -> None:
    body, content_type = codec.encode({"a": "x"})

    assert codec.reads(content_type)
    assert not codec.reads("text/html")
    assert isinstance(codec.accept, str)
    assert not any(name.lower() == "content-type" for name, _ in codec.request_headers)
    assert codec.method in (None, "POST")
    if not isinstance(codec, SoapCodec):
        assert codec.decode(body, content_type) == {"a": "x"}
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        codec.encode({"a": "x" * 1000})
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        codec.decode(b"x" * 1001, content_type)


def test_a_fault_is_a_value_error() -> None:
    fault = ServiceFault(422, "Client", "no such symbol")

    assert isinstance(fault, ValueError)
    assert str(fault) == "the service reports Client: no such symbol"
    assert (fault.status, fault.code, fault.reason, fault.detail) == (422, "Client", "no such symbol", None)
