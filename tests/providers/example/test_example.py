"""What the kit leaves to the make-believe company's own tests."""

from datetime import UTC, datetime

import aiohttp
import orjson
import pytest
from aiohttp import web
from pydantic import ValidationError

from gateway.app.serving import listening
from gateway.sdk import RevenueKind, Runtime
from providers.example import events, plugin
from providers.example.config import ExampleConfig

GOOD = {"environment": "sandbox", "api_key": "key-made-up", "webhook_secrets": ["whsec_made_up"]}
NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"api_key": "  "}, "must not be empty"),
        ({"webhook_secrets": [""]}, "must not be empty"),
        ({"webhook_secrets": []}, "at least 1 item"),
        ({"base_url": "http://api.example.com"}, "must be an https address"),
        ({"base_url": "ftp://127.0.0.1:1"}, "must be an https address"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ExampleConfig.model_validate({**GOOD, **change})


def test_blanks_around_a_secret_are_taken_off() -> None:
    config = ExampleConfig.model_validate({**GOOD, "api_key": " key-made-up\n"})
    assert config.api_key.get_secret_value() == "key-made-up"


async def test_the_list_passes_over_what_is_no_money() -> None:
    """The company's list holds every event; only the movements of money come out, with the webhook's key."""
    bodies = [
        events.sample(RevenueKind.PURCHASE, payment_id="pay_1", simulated=False),
        events.sample(RevenueKind.PURCHASE, event_type="payment.pending", simulated=False),
        events.sample(RevenueKind.REFUND, refund_id="ref_1", simulated=False),
    ]

    async def listed(_request: web.Request) -> web.Response:
        return web.json_response({"events": [orjson.loads(body) for body in bodies]})

    app = web.Application()
    app.router.add_get("/events", listed)
    async with aiohttp.ClientSession() as http, listening(app, "127.0.0.1", 0) as port:
        config = ExampleConfig.model_validate({**GOOD, "base_url": f"http://127.0.0.1:{port}"})
        provider = plugin.open(config, Runtime(http=http, now=lambda: NOW))
        page = await provider.list_revenue(datetime(2026, 1, 1, tzinfo=UTC), None)
    assert ([event.key for event in page.events], page.next_cursor) == (["payment:pay_1", "refund:ref_1"], None)
