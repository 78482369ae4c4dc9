"""The one format that is given decides."""

from __future__ import annotations

import pytest

from gateway.legacy.formats import codec_of
from gateway.legacy.options import FormatOptions, FormOptions, SoapOptions, XmlOptions


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (FormatOptions(xml=XmlOptions()), "XmlCodec"),
        (FormatOptions(soap=SoapOptions("Op")), "SoapCodec"),
        (FormatOptions(form=FormOptions()), "FormCodec"),
    ],
)
def test_the_codec_of_a_format(options: FormatOptions, kind: str) -> None:
    codec = codec_of(options, 99)

    assert type(codec).__name__ == kind
    with pytest.raises(ValueError, match="longer than 99 bytes"):
        codec.decode(b"<" * 100, "")
