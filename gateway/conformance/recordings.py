"""
Captured webhooks and what must come out of them.

    fixtures/<event type>__<case>.json            the body as received (`.body` where it is not JSON)
    fixtures/<event type>__<case>.headers.json    {"name": "value"}: other headers that matter, optional
    fixtures/<event type>__<case>.api.json        {"GET /payments/1": {...}}: what the provider's API answers, optional
    expected.json                                 beside the folder: {"<event type>__<case>": what must come out}

What must come out is `{"ignored": reason}`, `{"malformed": true}` or `{"events": [...]}`, where an event has only the
fields that are set, and amounts as people write them: `"65.00 USD"`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.sdk import Attribution, Ignored, Malformed, Money, RevenueEvent

HEADERS, API = ".headers.json", ".api.json"

Expectation = Mapping[str, Any]


class Unreadable(Exception):
    """A file of the author's cannot be used; the text says which one and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One webhook: its body, its own headers, and the answers of the provider's API that belong to it."""

    name: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    api: Mapping[str, Any] = field(default_factory=dict)

    @property
    def event_type(self) -> str:
        """The first half of the name."""
        return self.name.partition("__")[0]


def recordings(folder: Path) -> tuple[Recording, ...]:
    """Return the fixtures of a folder by name; raise `Unreadable` for one that cannot be used."""
    if not folder.is_dir():
        raise Unreadable(f"there is no folder {folder}: put captured webhooks there, as <event type>__<case>.json")
    bodies = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in (".json", ".body") and not path.name.endswith((HEADERS, API))
    ]
    return tuple(
        Recording(
            name=path.name.removesuffix(path.suffix),
            body=path.read_bytes(),
            headers=_beside(path, HEADERS),
            api=_beside(path, API),
        )
        for path in bodies
    )


def expectations(path: Path) -> Mapping[str, Expectation]:
    """Return what must come out of each fixture; nothing where the file does not exist yet."""
    return json_object(path) if path.exists() else {}


def write_expectations(path: Path, known: Mapping[str, Expectation]) -> None:
    """Write the file, fixtures in order, for a person to review."""
    text = json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def expectation_of(outcome: object) -> Expectation:
    """Return what came out of a fixture in the words of `expected.json`; raise `Unreadable` for what cannot be kept."""
    match outcome:
        case Ignored():
            return {"ignored": outcome.reason}
        case Malformed():
            return {"malformed": True}
        case list() | tuple():
            return {"events": [event_as_json(event) for event in outcome]}
    raise Unreadable(f"extract gave {outcome!r}, which no fixture may expect")


def event_as_json(event: RevenueEvent) -> dict[str, Any]:
    """Return an event's fields that are set."""
    found = {name: _plain(getattr(event, name)) for name in (field.name for field in fields(RevenueEvent))}
    return {name: value for name, value in found.items() if value not in (None, False, [], {})}


def json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; raise `Unreadable`."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{path} must be a JSON object")
    return found


def _beside(path: Path, suffix: str) -> dict[str, Any]:
    companion = path.with_name(path.name.removesuffix(path.suffix) + suffix)
    return json_object(companion) if companion.exists() else {}


def _plain(value: object) -> Any:
    match value:
        case Money():
            return str(value)
        case Attribution():
            known = {"visitor_id": value.visitor_id, "session_id": value.session_id, "token": value.token}
            return {name: text for name, text in known.items() if text}
        case str() | bool() | None:
            return value
        case datetime():
            return value.isoformat()
        case Sequence():
            return list(value)
    raise Unreadable(f"an event holds {value!r}, which expected.json has no words for")
