"""
Every error a caller can see: one table from error class to status and code, written as RFC 9457 problem details.

    Problem
    ├── InvalidRequest       fields that are not right
    └── TooManyRequests, NotReady, ...   with Retry-After
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import ceil
from typing import Any

import orjson
from aiohttp import web

from gateway.domain.text import printable
from gateway.flows import order
from gateway.flows.receive import NotKept
from gateway.store.errors import StoreError

MAX_DETAIL = 1000

RETRY_AFTER = timedelta(seconds=5)
"""What we ask for where nobody told us better."""


class Problem(Exception):
    """An error with a status, a stable code and a sentence that says what to do. A 503 says when to come back."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after: timedelta | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.retry_after = retry_after or (RETRY_AFTER if status == 503 else None)
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


def invalid_request(errors: Sequence[tuple[str, str]]) -> Problem:
    """Return the problem of a request with fields that are not right."""
    fields = [{"field": field, "message": message} for field, message in errors]
    detail = "; ".join(f"{field}: {message}" for field, message in errors)
    return Problem(400, "invalid_request", detail, extra={"errors": fields})


TITLES = {
    400: "The request is not right",
    401: "Not authorized",
    403: "Not allowed here",
    404: "Not found",
    405: "Method not allowed",
    408: "The body took too long",
    409: "In progress",
    413: "The body is too large",
    415: "Unsupported media type",
    422: "Cannot be processed",
    429: "Too many requests",
    500: "Something went wrong here",
    502: "The payment provider refused",
    503: "Not now",
}

TABLE: dict[type[Exception], tuple[int, str]] = {
    order.UnknownPlan: (422, "unknown_plan"),
    order.KeyReused: (422, "idempotency_key_reused"),
    order.KeyInProgress: (409, "idempotency_in_progress"),
    order.ProviderRefused: (502, "provider_rejected"),
    order.ProviderAway: (503, "provider_unavailable"),
    NotKept: (503, "not_ready"),
    StoreError: (503, "not_ready"),
    TimeoutError: (503, "not_ready"),
}
"""Error classes of the flows and the store; the first that fits is used."""


def as_problem(error: Exception) -> Problem | None:
    """Return the problem that an error is to a caller; None for one that nobody expected."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, order.InvalidCheckout):
        return invalid_request([(error.field, str(error))])
    if isinstance(error, web.HTTPException):
        code = (error.reason or "error").lower().replace(" ", "_")
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return Problem(error.status, code, TITLES.get(error.status, error.reason), headers=headers)
    for kind, (status, code) in TABLE.items():
        if isinstance(error, kind):
            return _listed(error, status, code)
    return None


def _listed(error: Exception, status: int, code: str) -> Problem:
    detail = "the gateway cannot keep anything right now; send it again" if code == "not_ready" else str(error)
    extra = {}
    if isinstance(error, order.ProviderRefused):
        extra = {"provider_code": error.code, "provider_request_id": error.request_id}
    return Problem(status, code, detail, retry_after=getattr(error, "retry_after", None), extra=extra)


def respond(problem: Problem, request_id: str) -> web.Response:
    """Return the answer for a problem."""
    content = {
        "type": "about:blank",
        "title": TITLES.get(problem.status, "Error"),
        "status": problem.status,
        "code": problem.code,
        "detail": printable(problem.detail, MAX_DETAIL),
        "request_id": request_id,
        **problem.extra,
    }
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, ceil(problem.retry_after.total_seconds())))
    return web.Response(
        status=problem.status, body=orjson.dumps(content), content_type="application/problem+json", headers=headers
    )
