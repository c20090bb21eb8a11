"""
Recorded signatures: proof that the plugin agrees with the provider and not only with its own `sign`.

A file is one vector, or `{"vectors": [...]}`. A vector:

    source          who made the signature: a captured webhook, the provider's SDK or documentation, openssl
    config          {"secrets": [...]}: what it was signed with
    headers         {"name": "value"}; or the short form `header`, the value of the header that the test class names
    body            text; or `body_file` beside it, or `body_base64`
    now             when it arrived: Unix seconds or ISO 8601; null where the scheme signs no time
    valid           true or false; or `expected`: "accepted" or the reason of the refusal
    method, url     where they matter
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.conformance.recordings import Unreadable
from gateway.conformance.subject import Subject
from gateway.sdk import WebhookRequest, headers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One recorded request, its secrets and the verdict; `reason` is None where any refusal will do."""

    name: str
    request: WebhookRequest = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    accepted: bool
    reason: str | None = None


def vectors(subject: Subject) -> tuple[Vector, ...]:
    """Return the recorded signatures of a plugin's folder; raise `Unreadable`."""
    if subject.vectors is None:
        return ()
    if not subject.vectors.is_dir():
        raise Unreadable(f"there is no folder {subject.vectors}: put recorded signatures there")
    return tuple(
        _vector(subject, raw, path, name) for path in sorted(subject.vectors.glob("*.json")) for name, raw in _raw(path)
    )


def _raw(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise Unreadable(f"{path} is not JSON: {error}") from error
    several = content.get("vectors") if isinstance(content, dict) else None
    found = several if isinstance(several, list) else [content]
    if not all(isinstance(raw, dict) for raw in found):
        raise Unreadable(f"{path} must hold one vector or {{'vectors': [...]}}")
    return [(raw.get("name") or path.stem, raw) for raw in found]


def _vector(subject: Subject, raw: Mapping[str, Any], path: Path, name: str) -> Vector:
    try:
        accepted, reason = _verdict(raw)
        secrets = [raw["secret"]] if "secret" in raw else raw.get("config", {}).get("secrets", subject.secrets)
        request = WebhookRequest(
            method=raw.get("method") or "POST",
            url=raw.get("url") or subject.url,
            headers=headers_of(_headers(subject, raw)),
            body=_body(raw, path.parent),
            received_at=_moment(raw.get("now", raw.get("time")), subject.now),
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise Unreadable(f"{path}, vector {name!r}: {type(error).__name__}: {error}") from error
    return Vector(name=name, request=request, secrets=tuple(secrets), accepted=accepted, reason=reason)


def _verdict(raw: Mapping[str, Any]) -> tuple[bool, str | None]:
    if "expected" in raw:
        accepted = raw["expected"] == "accepted"
        return accepted, None if accepted else raw["expected"]
    return bool(raw["valid"]), None


def _headers(subject: Subject, raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "header" not in raw:
        return list(raw["headers"].items())
    if subject.signature_header is None:
        raise KeyError("the short form needs `signature_header` in the test class")
    return [] if raw["header"] is None else [(subject.signature_header, raw["header"])]


def _body(raw: Mapping[str, Any], folder: Path) -> bytes:
    if "body_file" in raw:
        return folder.joinpath(str(raw["body_file"])).read_bytes()
    if "body_base64" in raw:
        return base64.b64decode(raw["body_base64"])
    body: str = raw["body"]
    return body.encode()


def _moment(value: object, default: datetime) -> datetime:
    match value:
        case None:
            return default
        case int():
            return datetime.fromtimestamp(value, UTC)
        case str():
            return datetime.fromisoformat(value)
    raise ValueError(f"now is {value!r}")
