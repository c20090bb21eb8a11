"""A sale from checkout to Faurya, as a site sees it."""

from harness import Harness

from gateway.sdk import Attribution, Money, RevenueKind

VISITOR = Attribution(visitor_id="site_123:visitor_456", session_id="ses_1", token="tok_1")


async def test_a_sale_is_recorded_once_with_its_visitor(gateway: Harness) -> None:
    provider = gateway.provider()
    body = provider.sample(
        RevenueKind.PURCHASE, payment_id="pay_1", reference="order-1", attribution=VISITOR, simulated=False,
        amount=Money(6500, "USD"),
    )  # fmt: skip
    for _ in range(6):
        answer = await gateway.send(body)
        assert answer.status == 200, await answer.text()
    await gateway.settled()
    assert await gateway.rows("SELECT outcome, reason, seen FROM inbox") == [
        {"outcome": "booked", "reason": None, "seen": 6}
    ]
    assert await gateway.deliveries() == {"payment:pay_1": ("recorded", None)}
    (record,) = await gateway.recorded()
    assert record["visitor_id"] == "site_123:visitor_456", record
    assert (record["amount"], record["currency"]) == ("65.00", "USD")
