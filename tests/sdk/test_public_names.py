"""
What a plugin author may import, with the fields and defaults that the interface promises.

A change here breaks plugins.
"""

import dataclasses
import importlib
import inspect
from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDictProxy

from gateway import sdk

PROTOCOLS = {
    "Plugin": {"api", "name", "config_model", "metadata_limits", "open"},
    "Provider": {"verify", "extract", "create_checkout", "list_revenue"},
    "SupportsProbe": {"probe"},
    "SupportsLookup": {"find"},
    "SupportsStandIn": {"stand_in", "sample", "sign"},
}
NEEDED = object()
NOBODY = sdk.Attribution()

# Every value of the interface: its fields in order, and what each is when it is left out.
VALUES = {
    "Runtime": {"http": NEEDED, "now": NEEDED},
    "WebhookRequest": {
        "method": NEEDED,
        "url": NEEDED,
        "headers": NEEDED,
        "body": NEEDED,
        "received_at": NEEDED,
        "remote_ip": None,
    },
    "Accepted": {"proof": NEEDED, "event_id": None, "event_type": None, "reply": sdk.Reply(), "secret_index": None},
    "Refused": {"reason": NEEDED, "detail": "", "reply": sdk.Reply(401), "seconds_off": None},
    "Answered": {"reply": sdk.Reply()},
    "Reply": {"status": 200, "body": b"", "content_type": "text/plain"},
    "Delivery": {"request": NEEDED, "proof": NEEDED},
    "RevenueEvent": {
        "kind": NEEDED,
        "key": NEEDED,
        "payment_id": NEEDED,
        "amount": NEEDED,
        "occurred_at": NEEDED,
        "test": False,
        "cumulative": False,
        "tax": None,
        "net": None,
        "reference": None,
        "checkout_id": None,
        "subscription_id": None,
        "account": None,
        "items": (),
        "attribution": NOBODY,
        "cause": None,
    },
    "Ignored": {"reason": NEEDED},
    "Attribution": {"visitor_id": None, "session_id": None, "token": None},
    "CheckoutRequest": {
        "reference": NEEDED,
        "idempotency_key": NEEDED,
        "items": (),
        "amount": None,
        "success_url": None,
        "cancel_url": None,
        "webhook_url": "",
        "attribution": NOBODY,
        "customer_email": None,
        "customer_ip": None,
        "options": None,
    },
    "Checkout": {"url": NEEDED, "checkout_id": None, "expires_at": None},
    "Page": {"events": (), "next_cursor": None},
    "Money": {"minor": NEEDED, "currency": NEEDED},
    "MetadataLimits": {"keys": NEEDED, "key_chars": NEEDED, "value_chars": NEEDED},
    "BodyHmac": {"header": NEEDED, "encoding": "hex", "prefix": ""},
    "StandardWebhooks": {
        "key_of": sdk.decoded_secret,
        "tolerance_seconds": 300,
        "headers": ("webhook-id", "webhook-timestamp", "webhook-signature"),
    },
    "TimestampedHmac": {
        "header": NEEDED,
        "time_name": "t",
        "signature_name": "v1",
        "separator": ",",
        "joint": ".",
        "tolerance_seconds": 300,
    },
    "Proven": {"secret_index": NEEDED, "message_id": None},
    "Answer": {"status": NEEDED, "headers": sdk.headers_of(), "body": b""},
    "Caller": {
        "title": NEEDED,
        "rejected": NEEDED,
        "max_answer": 16 * 1024 * 1024,
        "passing": frozenset({408, 425, 429}),
    },
}
ENUMS = {
    "RevenueKind": {"PURCHASE", "RENEWAL", "REFUND", "REFUND_REVERSAL"},
    "RefusalReason": {
        "HEADER_MISSING",
        "HEADER_MALFORMED",
        "TIMESTAMP_TOO_OLD",
        "TIMESTAMP_IN_FUTURE",
        "SIGNATURE_MISMATCH",
        "SECRET_MISMATCH",
    },
}
ERRORS = {"ProviderError", "Unavailable", "Malformed", "Rejected", "Unsupported"}
FUNCTIONS = {
    "attribution_from": ["places"],
    "check_address_environment": ["address", "environment", "addresses"],
    "check_key_environment": ["key", "environment", "prefixes"],
    "checked": ["value", "field", "limit"],
    "checked_or_none": ["value", "field", "limit"],
    "decoded_secret": ["secret"],
    "from_major": ["text", "currency"],
    "headers_of": ["pairs"],
    "hmac_sha256": ["secret", "message"],
    "is_plain": ["text"],
    "is_storable": ["value"],
    "is_web_address": ["value"],
    "json_object": ["body"],
    "matching_secret": ["secrets", "message", "given", "encode"],
    "metadata_of": ["reference", "attribution"],
    "name_or_none": ["value"],
    "parse_signed": ["body"],
    "plain_secret": ["value", "where"],
    "reference_from": ["places"],
    "refused_by_age": ["signed_at", "received_at", "tolerance_seconds"],
    "server_time": ["answer"],
    "shown": ["value", "limit"],
    "stripped": ["value"],
    "text_from": ["place", "names", "limit"],
    "time_of": ["value", "field"],
    "unix_seconds": ["text"],
    "web_address": ["text"],
    "webhook_secrets_of": ["values", "where", "typed"],
}
TYPES = {"ApiAddress", "OptionalText", "SecretText", "WebhookSecrets", "WholeNumber"}
OTHERS = {"API", "ENTRY_POINT_GROUP", "Headers", *TYPES}
PUBLIC = {*PROTOCOLS, *VALUES, *ENUMS, *ERRORS, *FUNCTIONS, *OTHERS}
BY_POSITION = {"Ignored", "Money", "Reply", "Answered"}


def test_the_public_list_is_exactly_this():
    assert set(sdk.__all__) == PUBLIC
    assert len(sdk.__all__) == len(PUBLIC)


def test_nothing_public_lies_beside_the_list():
    names = {name for name, value in vars(sdk).items() if not (name.startswith("_") or inspect.ismodule(value))}
    assert names == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_everything_listed_is_there(name):
    assert getattr(importlib.import_module("gateway.sdk"), name) is not None


def default_of(field):
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return NEEDED if field.default is dataclasses.MISSING else field.default


@pytest.mark.parametrize("name", VALUES)
def test_a_value_has_these_fields_and_defaults(name):
    fields = dataclasses.fields(getattr(sdk, name))
    assert [field.name for field in fields] == list(VALUES[name])
    assert {field.name: default_of(field) for field in fields} == VALUES[name]


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_frozen_and_slotted(name):
    value = getattr(sdk, name)
    assert value.__dataclass_params__.frozen
    assert "__slots__" in vars(value)


@pytest.mark.parametrize("name", VALUES)
def test_only_short_values_take_their_fields_by_position(name):
    fields = dataclasses.fields(getattr(sdk, name))
    assert any(not field.kw_only for field in fields) is (name in BY_POSITION)


def test_the_short_forms_of_the_interface_work():
    assert sdk.Ignored("not_revenue").reason == "not_revenue"
    assert sdk.Money(6500, "USD") == sdk.Money(minor=6500, currency="USD")
    assert sdk.Reply(200, b"ok") == sdk.Reply(status=200, body=b"ok", content_type="text/plain")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_asks_for_no_more_and_no_less(name):
    protocol = getattr(sdk, name)
    assert {member for member in vars(protocol) if not member.startswith("_")} == PROTOCOLS[name]


@pytest.mark.parametrize("name", ["extract", "create_checkout", "list_revenue"])
def test_what_may_call_the_provider_is_awaited(name):
    assert inspect.iscoroutinefunction(getattr(sdk.Provider, name))


def test_verify_is_not_awaited_because_it_must_not_wait():
    assert not inspect.iscoroutinefunction(sdk.Provider.verify)


@pytest.mark.parametrize(
    ("protocol", "methods"),
    [
        (sdk.SupportsProbe, ["probe"]),
        (sdk.SupportsLookup, ["find"]),
        (sdk.SupportsStandIn, ["stand_in", "sample", "sign"]),
    ],
)
def test_what_a_provider_supports_is_seen_by_its_methods(protocol, methods):
    able = type("Able", (), dict.fromkeys(methods, lambda self: None))
    lacking = type("Lacking", (), dict.fromkeys(methods[1:], lambda self: None))
    assert isinstance(able(), protocol)
    assert not isinstance(lacking(), protocol)


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_has_these_members_with_lower_case_values(name):
    members = getattr(sdk, name)
    assert set(members.__members__) == ENUMS[name]
    assert all(member.value == member.name.lower() for member in members)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_the_errors_are_one_tree(name):
    assert issubclass(getattr(sdk, name), sdk.ProviderError)


def test_unavailable_says_when_to_come_back():
    assert list(inspect.signature(sdk.Unavailable).parameters) == ["message", "retry_after"]
    assert sdk.Unavailable("busy", timedelta(seconds=5)).retry_after == timedelta(seconds=5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_these_arguments(name):
    assert list(inspect.signature(getattr(sdk, name)).parameters) == FUNCTIONS[name]


def test_this_is_version_1():
    assert (sdk.API, sdk.ENTRY_POINT_GROUP) == (1, "faurya_gateway.providers")


def test_headers_are_read_only():
    assert isinstance(sdk.headers_of([("a", "1")]), CIMultiDictProxy)


def test_a_runtime_is_made_of_what_the_core_lends():
    moment = datetime(2026, 11, 2, tzinfo=UTC)
    assert sdk.Runtime(http=None, now=lambda: moment).now() == moment
