"""From the options of a format to its codec."""

from __future__ import annotations

from gateway.legacy.codec import Codec
from gateway.legacy.forms import FormCodec
from gateway.legacy.options import FormatOptions, XmlOptions
from gateway.legacy.soap import SoapCodec
from gateway.legacy.xml import XmlCodec

ONE_MIB = 1 << 20


def codec_of(options: FormatOptions, max_body: int = ONE_MIB) -> Codec:
    """The codec of the one format that is given. It reads and writes bodies of at most `max_body` bytes."""
    if options.soap is not None:
        return SoapCodec(options.soap, max_body)
    if options.form is not None:
        return FormCodec(options.form, max_body)
    return XmlCodec(options.xml or XmlOptions(), max_body)
