"""Two sites that sell through Paddle, on Faurya's two dialects."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(os.environ.get("GATEWAY_FIXTURES", Path(__file__).parents[3] / "shared" / "fixtures")) / "paddle"
needs_fixtures = pytest.mark.skipif(
    not FIXTURES.is_dir(), reason="the providers' own fixtures are not here: set GATEWAY_FIXTURES to their folder"
)
OWN = Path(__file__).parents[2] / "providers" / "paddle" / "fixtures"

CONFIG = """
server: {{public_url: "http://127.0.0.1:{port}", port: {port}}}
database: {{url: "{database}"}}
sites:
  acme:
    origins: ["https://www.acme.example"]
    faurya: {{api: revenue, url: "{faurya}", site_id: acme-site, write_key: acme-write-key, forward_refunds: true}}
    providers:
      paddle: {{environment: live, api_key: made-up-key-1, webhook_secrets: [pdl_ntfset_made_up_1],
               base_url: "{provider}"}}
    plans:
      pro: {{provider: paddle, items: [{{price_id: pri_01kjinventedprice00000000aa}}]}}
  globex:
    origins: ["https://globex.example"]
    faurya: {{api: payments, url: "{faurya}", api_key: globex-api-key, currencies: any}}
    providers:
      paddle: {{environment: live, api_key: made-up-key-2, webhook_secrets: [pdl_ntfset_made_up_2],
               base_url: "{provider}"}}
  shop:
    faurya: {{api: revenue, url: "{faurya}", site_id: acme-site, write_key: acme-write-key, forward_test: false}}
    providers:
      sandbox: {{plugin: paddle, environment: sandbox, api_key: made-up-key-3, webhook_secrets: [pdl_ntfset_made_up_3],
                base_url: "{provider}"}}
"""


def envelope(event_type: str, data: Mapping[str, Any], number: int = 1, **changes: Any) -> bytes:
    """Wrap a bare `data` object as Paddle's webhooks do."""
    content = {
        "event_id": f"evt_01kjinvented{number:014d}",
        "event_type": event_type,
        "occurred_at": "2026-08-31T09:30:15.123456Z",
        "notification_id": f"ntf_01kjinvented{number:014d}",
        "data": data,
    }
    return json.dumps({**content, **changes}).encode()


def official(name: str) -> Any:
    """Return a JSON file of the official SDKs' fixtures."""
    return json.loads((FIXTURES / name).read_bytes())
