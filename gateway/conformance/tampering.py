"""Genuine requests made worse, one thing at a time. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from gateway.sdk import WebhookRequest, headers_of

DIGEST = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
"""What looks like a digest or a token: no word of a header or of a sentence is as long."""

GARBAGE = (
    *("garbage", "=", ",", ";", "t=,v1=", "v1,", "v1", "ts=;h1=", "sha256=", "====", "0", "null", "{}", "[]", "%00"),
    *("t=1,v1=zz", "ts=1;h1=zz", "t=-1,v1=00", "ts=1e9;h1=00", "t=99999999999999999999999,v1=00", "v1,!!!!", "9" * 26),
    *("t=abc,v1=00", "ts=abc;h1=00", "ts=1.5;h1=00", "t=0x10,v1=00", "ts= ;h1= ", "v1,AA==", "t=1_0,v1=00", "ts=+1"),
    *("," * 5000, ";" * 5000, "=" * 5000, "t=1," + "v1=00," * 2000, "ts=1;" + "h1=00;" * 2000, "v1,AAAA " * 2000),
    *("t=" + "1" * 6000 + ",v1=00", "ts=" + "1" * 6000 + ";h1=00", "1" * 6000, "0" * 100_000),
)  # fmt: skip
"""Values of a signature header that are none. 6000 digits are more than Python's `int` converts."""

NON_ASCII = (
    "é",
    "\udcff\udcfe",
    "t=1,v1=é",
    "ts=1;h1=\udcff",
    "v1,é",
    "sha256=\udce9",
    "ﬀ" * 32,
    "t=\u0661,v1=00",
    "\u0661\u0662",
)
"""A header's bytes that are not UTF-8 reach a plugin as surrogate escapes, as aiohttp decodes them."""

ARABIC = str.maketrans("0123456789", "".join(chr(0x0660 + digit) for digit in range(10)))


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a proof stands: a header, or a parameter of the address."""

    name: str
    in_query: bool = False

    def __str__(self) -> str:
        return f"the parameter {self.name}" if self.in_query else f"the header {self.name}"

    def value(self, request: WebhookRequest) -> str:
        """Return what stands there."""
        return dict(parse_qsl(urlsplit(request.url).query)).get(self.name, "") if self.in_query else (
            request.headers.get(self.name, "")
        )  # fmt: skip

    def put(self, request: WebhookRequest, value: str | None) -> WebhookRequest:
        """Return the request with another value there, or without it."""
        if not self.in_query:
            others = [(name, kept) for name, kept in request.headers.items() if name.lower() != self.name.lower()]
            return replace(request, headers=headers_of(others if value is None else [*others, (self.name, value)]))
        parts = urlsplit(request.url)
        query = [(name, kept) for name, kept in parse_qsl(parts.query) if name != self.name]
        query += [] if value is None else [(self.name, value)]
        encoded = urlencode(query, errors="surrogateescape")
        return replace(request, url=urlunsplit(parts._replace(query=encoded)))


def changed_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield bodies that are not this one, by as little as possible."""
    for where in sorted({0, len(body) // 2, len(body) - 1} if body else ()):
        yield f"byte {where} changed", body[:where] + bytes([body[where] ^ 1]) + body[where + 1 :]
    yield "a line end added", body + b"\n"
    yield "the last byte cut off", body[:-1] if body else b"x"
    try:
        content = json.loads(body)
    except ValueError:
        return
    for separators in ((",", ":"), (", ", ": ")):
        written = json.dumps(content, separators=separators).encode()
        if written != body:
            yield "the same JSON written with other blanks", written
    if body.startswith(b"{"):
        yield "a blank added after the first brace", b"{ " + body[1:]


def flipped(value: str) -> str | None:
    """Return a header value whose digest differs in one character in the middle; None where there is no digest."""
    found = max(DIGEST.finditer(value), key=lambda match: len(match[0]), default=None)
    if found is None:
        return None
    middle = found.start() + len(found[0].rstrip("=")) // 2
    other = "0" if value[middle] != "0" else "1"
    return value[:middle] + other + value[middle + 1 :]


def shortened(value: str) -> str | None:
    """Return a header value whose digest is cut to half; None where there is no digest."""
    found = max(DIGEST.finditer(value), key=lambda match: len(match[0]), default=None)
    if found is None:
        return None
    return value[: found.start()] + found[0][: len(found[0]) // 2] + value[found.end() :]


def pasted_time(request: WebhookRequest, old: datetime, new: datetime) -> WebhookRequest | None:
    """Return the request with the time in its headers replaced and nothing signed anew; None where no time stands."""
    before, after = str(int(old.timestamp())), str(int(new.timestamp()))
    pairs = [(name, value.replace(before, after)) for name, value in request.headers.items()]
    if pairs == list(request.headers.items()):
        return None
    return replace(request, headers=headers_of(pairs), received_at=new)


def digests(values: Sequence[str]) -> frozenset[str]:
    """Return what looks like a digest in header values."""
    return frozenset(match[0] for value in values for match in DIGEST.finditer(value))
