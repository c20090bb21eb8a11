"""The shared schemes against signatures that the providers' own SDKs and test suites hold."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.sdk import BodyHmac, Proven, Refused, StandardWebhooks, WebhookRequest, headers_of

FOLDER = Path(os.environ.get("GATEWAY_FIXTURES", Path(__file__).parents[3] / "shared" / "fixtures")) / "providers"
ANY_TIME = datetime(2026, 9, 1, tzinfo=UTC)

SCHEMES = {
    "creem": BodyHmac(header="creem-signature"),
    "lemonsqueezy": BodyHmac(header="X-Signature"),
    "razorpay": BodyHmac(header="X-Razorpay-Signature"),
    "polar": StandardWebhooks(key_of=str.encode),
    "standard-webhooks": StandardWebhooks(),
}
"""The scheme of each vector by the name that the vector gives it; Stripe's is its plugin's own."""


def _vectors():
    for path in sorted(FOLDER.glob("*/vectors.json")):
        content = json.loads(path.read_bytes())
        for vector in content["vectors"]:
            if vector["scheme"] in SCHEMES:
                name = f"{content['provider']}-{vector['name']}"
                yield pytest.param(vector, (path.parent / vector["body_file"]).read_bytes(), id=name)


VECTORS = list(_vectors())
needs_vectors = pytest.mark.skipif(
    not VECTORS, reason="the providers' recorded signatures are not here: set GATEWAY_FIXTURES to their folder"
)


def judged(vector, body, **headers):
    arrived = ANY_TIME if vector["now"] is None else datetime.fromtimestamp(vector["now"], UTC)
    request = WebhookRequest(
        method=vector["method"],
        url=vector["url"] or "https://pay.example.com/webhooks/acme/provider",
        headers=headers_of(list({**vector["headers"], **headers}.items())),
        body=body,
        received_at=arrived,
    )
    return SCHEMES[vector["scheme"]].verify(request, vector["config"]["secrets"])


@needs_vectors
def test_every_scheme_has_a_recorded_signature_that_is_valid():
    assert {vector.values[0]["scheme"] for vector in VECTORS if vector.values[0]["valid"]} == set(SCHEMES)


@needs_vectors
@pytest.mark.parametrize(("vector", "body"), VECTORS)
def test_a_recorded_signature_gets_its_recorded_verdict(vector, body):
    verdict = judged(vector, body)
    assert isinstance(verdict, Proven if vector["valid"] else Refused), verdict
    if isinstance(verdict, Proven):
        assert verdict.message_id == vector["headers"].get("webhook-id")


@needs_vectors
@pytest.mark.parametrize(("vector", "body"), [vector for vector in VECTORS if vector.values[0]["valid"]])
def test_a_recorded_signature_covers_every_byte(vector, body):
    for changed in (body + b" ", body[:-1], bytes([body[0] ^ 1]) + body[1:]):
        assert isinstance(judged(vector, changed), Refused)
