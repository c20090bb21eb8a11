"""From errors to problem details: one table."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web

from gateway.flows import order
from gateway.flows.receive import NotKept
from gateway.store.errors import SchemaTooOld, StoreData, StoreUnavailable
from gateway.store.pool import StoreConflict
from gateway.web.errors import Problem, as_problem, invalid_request, respond

AGAIN = "the gateway cannot keep anything right now; send it again"


@pytest.mark.parametrize(
    ("error", "status", "code", "detail", "retry_after"),
    [
        (order.InvalidCheckout("quantity", "too many"), 400, "invalid_request", "quantity: too many", None),
        (order.UnknownPlan("no such plan"), 422, "unknown_plan", "no such plan", None),
        (order.KeyReused(), 422, "idempotency_key_reused", order.KeyReused.__doc__, None),
        (order.KeyInProgress(), 409, "idempotency_in_progress", order.KeyInProgress.__doc__, None),
        (order.ProviderRefused("no", "c", "r"), 502, "provider_rejected", "no", None),
        (order.ProviderAway("busy"), 503, "provider_unavailable", "busy", "5"),
        (order.ProviderAway("busy", timedelta(seconds=0.2)), 503, "provider_unavailable", "busy", "1"),
        (order.ProviderAway("busy", timedelta(seconds=-9)), 503, "provider_unavailable", "busy", "1"),
        (order.ProviderAway("busy", timedelta(0)), 503, "provider_unavailable", "busy", "5"),
        (NotKept("internal words"), 503, "not_ready", AGAIN, "5"),
        (StoreUnavailable("internal words"), 503, "not_ready", AGAIN, "5"),
        (StoreConflict("internal words"), 503, "not_ready", AGAIN, "5"),
        (StoreData("internal words"), 503, "not_ready", AGAIN, "5"),
        (SchemaTooOld("internal words"), 503, "not_ready", AGAIN, "5"),
        (TimeoutError(), 503, "not_ready", AGAIN, "5"),
        (web.HTTPNotFound(), 404, "not_found", "Not found", None),
        (web.HTTPGone(), 410, "gone", "Gone", None),
        (Problem(418, "teapot", "short and stout"), 418, "teapot", "short and stout", None),
    ],
)
def test_every_error_has_a_status_a_code_and_a_sentence(
    error: Exception, status: int, code: str, detail: str, retry_after: str | None
) -> None:
    problem = as_problem(error)
    assert problem is not None
    answer = respond(problem, "r1")
    content = orjson.loads(answer.body)  # type: ignore[arg-type]
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert {name: content[name] for name in ("type", "status", "code", "detail", "request_id")} == {
        "type": "about:blank", "status": status, "code": code, "detail": detail, "request_id": "r1",
    }  # fmt: skip
    assert content["title"]
    assert answer.headers.get("Retry-After") == retry_after


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("y"), OSError("z"), order.CheckoutError("base")])
def test_an_error_that_nobody_expected_is_no_problem_yet(error: Exception) -> None:
    assert as_problem(error) is None


def test_fields_are_listed_and_headers_are_sent() -> None:
    problem = invalid_request([("plan", "name one"), ("quantity", "too many")])
    problem.headers["X-More"] = "1"
    answer = respond(problem, "r1")
    content = orjson.loads(answer.body)  # type: ignore[arg-type]
    assert content["errors"] == [
        {"field": "plan", "message": "name one"},
        {"field": "quantity", "message": "too many"},
    ]
    assert content["detail"] == "plan: name one; quantity: too many"
    assert answer.headers["X-More"] == "1"


@pytest.mark.parametrize("detail", ["\ud800", "a\0b", "x" * 100_000])
def test_any_detail_can_be_sent(detail: str) -> None:
    content: Any = orjson.loads(respond(Problem(400, "bad", detail), "r1").body)  # type: ignore[arg-type]
    assert 0 < len(content["detail"]) <= 1000
    assert "\0" not in content["detail"]
