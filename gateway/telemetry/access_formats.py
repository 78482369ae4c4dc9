"""Access-log lines: ECS JSON, Apache's combined format, or a template. Pure: wall time is passed in as an offset."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from string import Formatter

from gateway.exchange import Exchange, split_route_id
from gateway.telemetry.redactor import Redactor

ECS_VERSION = "8.11.0"
# Texts that come again and again: some are chosen by clients, so only so many are kept.
REMEMBERED = 1024
MILLISECONDS = tuple(f"{number:03d}" for number in range(1000))

AccessFormat = Callable[[Exchange, float], str]


def access_format(chosen: str, name: str, redact: Iterable[str]) -> AccessFormat:
    """What makes a line, with its newline, of an exchange that is over and of the offset from monotonic to wall time.

    `chosen` is `ecs`, `combined` or a template, `name` the gateway's. ValueError for a template that cannot work.
    """
    redactor = Redactor(redact)
    if chosen == "ecs":
        return EcsFormat(name, redactor).line
    if chosen == "combined":
        return TemplateFormat(COMBINED, redactor).line
    if "{" not in chosen:
        raise ValueError(
            f"{chosen!r} is no log format; write ecs, combined, or a template such as '{{method}} {{path}}'"
        )
    return TemplateFormat(chosen, redactor).line


class EcsFormat:
    """One JSON object a line, by the Elastic Common Schema and ecs-logging.

    A line is put together from texts that repeat for this kind of request and what is new, in less time than nested
    dicts and an encoder take. What a client or a plugin chose freely is quoted; trace ids are hexadecimal. The mutable
    state is a bounded memory of what header blocks come to.
    """

    def __init__(self, name: str, redactor: Redactor) -> None:
        self._redactor = redactor
        self._service = quoted(name)
        self._blocks: dict[object, tuple[str, str]] = {}

    def line(self, exchange: Exchange, offset: float) -> str:
        """The record, with its newline."""
        started = exchange.started
        second, millisecond = divmod(int((started + offset) * 1000 + 0.5), 1000)
        taken = int((exchange.ended - started) * 1e6)
        away = int(exchange.upstream_seconds * 1e6)
        own = taken - away if taken > away else 0
        original = url_path = quoted(exchange.sent_path if "/" in exchange.route_id else exchange.raw_path)
        shown_query = ""
        if exchange.query:
            shown_query = quoted(self._redactor.query(exchange.query))
            original = f"{url_path[:-1]}?{shown_query[1:]}"
            shown_query = f',"query":{shown_query}'
        trace = exchange.trace_id
        ids = f'"trace":{{"id":"{trace}"}},"span":{{"id":"{exchange.span_id}"}},' if trace else ""
        principal = exchange.principal
        user = "" if principal is None else f',"user":{{"name":{quoted(principal)}}}'
        request_id = exchange.request_id
        if not request_id.isalnum():
            request_id = quoted(request_id)[1:-1]
        attempt = exchange.attempt
        message, event, response, request, end, labels = _kind(
            self._service, exchange.method, exchange.version, exchange.status, exchange.scheme, exchange.host,
            exchange.route_id, exchange.upstream, attempt.endpoint if attempt is not None else "", exchange.attempts,
            exchange.outcome, exchange.flag,
        )  # fmt: skip
        block = getattr(exchange.headers, "block", None)
        agent, referrer = self._blocks.get(block) or self._new_block(block, exchange)
        return (
            f'{{"@timestamp":"{_utc(second)}.{MILLISECONDS[millisecond]}Z",{message}{url_path[1:-1]}'
            f"{event}{taken * 1000}}},{ids}{response}{exchange.bytes_out}{request}{exchange.bytes_in}}},"
            f'"id":"{request_id}"{referrer}}}}},'
            f'"url":{{"original":{original},"path":{url_path}{shown_query}{end}'
            f'"client":{{"ip":"{exchange.client_ip}"}}{agent}{user},'
            f"{labels}{away // 1000}.{MILLISECONDS[away % 1000]},"
            f'"overhead_ms":{own // 1000}.{MILLISECONDS[own % 1000]}}}}}\n'
        )

    def _new_block(self, block: object, exchange: Exchange) -> tuple[str, str]:
        """What a request's header fields come to. A block that repeats is worked out once."""
        headers = exchange.headers
        referer = headers.get("referer")
        referrer = "" if referer is None else f',"referrer":{quoted(self._redactor.url(referer))}'
        shown = (_agent(headers.get("user-agent")), referrer)
        if block is not None:
            if len(self._blocks) >= REMEMBERED:
                self._blocks.clear()
            self._blocks[block] = shown
        return shown


@lru_cache(REMEMBERED)
def _kind(
    service: str, method: str, version: str, status: int, scheme: str, host: str,
    route_id: str, upstream: str, endpoint: str, attempts: int, outcome: str, flag: str,
) -> tuple[str, str, str, str, str, str]:  # fmt: skip
    """What stands before the path in the message, the duration, the two sizes, `client`, and the time upstream."""
    frontend, route = split_route_id(route_id)
    names = {
        "route": route, "frontend": frontend, "upstream": upstream, "endpoint": endpoint, "outcome": outcome,
        "flag": flag,
    }  # fmt: skip
    labels = ",".join(f'"{name}":{quoted(value)}' for name, value in names.items() if value)
    level = "error" if status >= 500 else "info"
    success = "failure" if status >= 400 else "success"
    return (
        f'"log.level":"{level}","message":"{quoted(method)[1:-1]} ',
        f' {status}","ecs.version":"{ECS_VERSION}","service":{{"name":{service}}},"event":{{"kind":"event",'
        f'"category":["web"],"type":["access"],"dataset":"gateway.access","outcome":"{success}","duration":',
        f'"http":{{"version":"{version}","response":{{"status_code":{status},"body":{{"bytes":',
        f'}}}},"request":{{"method":{quoted(method)},"body":{{"bytes":',
        f'{_domain(host)},"scheme":{quoted(scheme)}}},',
        f'"labels":{{{labels},"attempts":{attempts},"upstream_ms":',
    )


@lru_cache(16)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _agent(text: str | None) -> str:
    return f',"user_agent":{{"original":{quoted(text)}}}' if text else ""


def _domain(host: str) -> str:
    domain, _, port = host.rpartition(":")
    if domain and port.isascii() and port.isdigit():
        return f',"domain":{quoted(domain)},"port":{int(port)}'
    return f',"domain":{quoted(host)}' if host else ""


# What Apache writes for `%b`, `%u` and absent headers is `-`, its times are `[10/Oct/2000:13:55:36 +0000]`.
COMBINED = (
    '{client_ip} - {user} [{time_apache}] "{method} {target} HTTP/{version}" {status} {size} "{referer}" "{user_agent}"'
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# As Apache's ap_escape_logitem: what could end a field or a line, or drive a terminal, is written as `\xhh`.
ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))} | {
    ord(letter): f"\\{name}" for letter, name in zip('"\\\b\n\r\t\v', '"\\bnrtv', strict=True)
}
ESCAPES |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029)}


def escaped(text: str) -> str:
    """`text` without anything that could end a quoted field or a line; `-` when it is empty."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text or "-"
    return text.translate(ESCAPES)


def _ms(seconds: float) -> str:
    return f"{max(seconds, 0.0) * 1000:.3f}"


@lru_cache(16)
def _apache_time(second: int) -> str:
    now = time.gmtime(second)
    return f"{now.tm_mday:02d}/{MONTHS[now.tm_mon - 1]}/{now.tm_year}:{time.strftime('%H:%M:%S', now)} +0000"


class TemplateFormat:
    """A line of text with `{fields}`, escaped as Apache does. Immutable."""

    def __init__(self, template: str, redactor: Redactor) -> None:
        texts: list[str] = []
        self._fields: list[Field] = []
        for text, field, spec, conversion in Formatter().parse(template):
            texts.append(text.replace("%", "%%"))
            if field is not None:
                if spec or conversion:
                    raise ValueError(f"the field {{{field}}} of a log format takes no format of its own")
                self._fields.append(_field(field))
                texts.append("%s")
        self._template = "".join(texts).replace("\n", " ") + "\n"
        self._redactor = redactor

    def line(self, exchange: Exchange, offset: float) -> str:
        """The record, with its newline."""
        redactor = self._redactor
        return self._template % tuple([field(exchange, offset, redactor) for field in self._fields])


Field = Callable[[Exchange, float, Redactor], str]


def _field(name: str) -> Field:
    field = FIELDS.get(name)
    if field is None:
        close = difflib.get_close_matches(name, FIELDS, n=1)
        hint = f"did you mean {{{close[0]}}}?" if close else f"there are {', '.join(FIELDS)}"
        raise ValueError(f"a log format has no field {{{name}}}; {hint}")
    return field


def _of(name: str) -> Field:
    return lambda exchange, offset, redactor: escaped(str(getattr(exchange, name)))


def _target(exchange: Exchange, offset: float, redactor: Redactor) -> str:
    path = exchange.sent_path
    return escaped(f"{path}?{redactor.query(exchange.query)}" if exchange.query else path)


def _time(exchange: Exchange, offset: float, redactor: Redactor) -> str:
    second, millisecond = divmod(int((exchange.started + offset) * 1000 + 0.5), 1000)
    return f"{_utc(second)}.{MILLISECONDS[millisecond]}Z"


FIELDS: dict[str, Field] = {
    "time": _time,
    "time_apache": lambda exchange, offset, redactor: _apache_time(int(exchange.started + offset)),
    "client_ip": _of("client_ip"),
    "user": lambda exchange, offset, redactor: escaped(exchange.principal or ""),
    "method": _of("method"),
    "path": _of("sent_path"),
    "query": lambda exchange, offset, redactor: escaped(redactor.query(exchange.query)),
    "target": _target,
    "version": _of("version"),
    "host": _of("host"),
    "scheme": _of("scheme"),
    "status": _of("status"),
    "bytes_in": _of("bytes_in"),
    "bytes_out": _of("bytes_out"),
    "size": lambda exchange, offset, redactor: str(exchange.bytes_out or "-"),
    "duration_ms": lambda exchange, offset, redactor: _ms(exchange.ended - exchange.started),
    "upstream_ms": lambda exchange, offset, redactor: _ms(exchange.upstream_seconds),
    "overhead_ms": lambda exchange, offset, redactor: _ms(
        exchange.ended - exchange.started - exchange.upstream_seconds
    ),
    "route": _of("route"),
    "frontend": _of("frontend"),
    "upstream": _of("upstream"),
    "endpoint": lambda exchange, offset, redactor: escaped(exchange.attempt.endpoint if exchange.attempt else ""),
    "attempts": _of("attempts"),
    "outcome": _of("outcome"),
    "flag": _of("flag"),
    "request_id": _of("request_id"),
    "trace_id": _of("trace_id"),
    "span_id": _of("span_id"),
    "referer": lambda exchange, offset, redactor: escaped(redactor.url(exchange.headers.get("referer", "") or "")),
    "user_agent": lambda exchange, offset, redactor: escaped(exchange.headers.get("user-agent", "") or ""),
}
