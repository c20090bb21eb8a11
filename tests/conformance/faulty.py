"""Plugins that break one rule each, and the rule."""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from pydantic import ConfigDict

from gateway.conformance.tampering import Spot
from gateway.sdk import (
    Accepted,
    Attribution,
    Ignored,
    Malformed,
    MetadataLimits,
    Money,
    Page,
    RefusalReason,
    Refused,
    Rejected,
    RevenueKind,
    Unavailable,
    hmac_sha256,
)
from providers.example import ExamplePlugin, events, signature
from providers.example.config import ExampleConfig
from providers.example.provider import ExampleProvider
from tests.conformance.variations import SignedAddress, Token, Unsigned, Varied, plugin_of

HEADER = Spot(signature.HEADER)


def _signed_at(request):
    """The time in a header that is written as it should be."""
    header = request.headers.get(signature.HEADER, "")
    found = re.fullmatch(r"t=([0-9]{1,10}),v1=[0-9a-f]*", header, re.ASCII)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None


class AcceptsTheFuture(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        if isinstance(verdict, Refused) and verdict.reason is RefusalReason.TIMESTAMP_IN_FUTURE:
            later = request.received_at + timedelta(seconds=verdict.seconds_off or 0)
            return super().verify(replace(request, received_at=later))
        return verdict


class AcceptsThePast(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        if isinstance(verdict, Refused) and verdict.reason is RefusalReason.TIMESTAMP_TOO_OLD:
            earlier = request.received_at - timedelta(seconds=verdict.seconds_off or 0)
            return super().verify(replace(request, received_at=earlier))
        return verdict


class SaysTheWrongReason(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        if isinstance(verdict, Refused) and verdict.reason is RefusalReason.TIMESTAMP_TOO_OLD:
            return replace(verdict, reason=RefusalReason.SIGNATURE_MISMATCH)
        return verdict


class SignsNoTime(Varied):
    """The time stands in the header, and nothing covers it."""

    def verify(self, request):
        at = _signed_at(request)
        if at is None:
            return super().verify(request)
        for secret in self._secrets:
            mine, real = self._timeless(request.body, at, secret), signature.sign(request.body, at, secret)
            if hmac.compare_digest(mine[signature.HEADER], request.headers[signature.HEADER]):
                return super().verify(HEADER.put(request, real[signature.HEADER]))
        return super().verify(request)

    def sign(self, body, at):
        return self._timeless(body, at, self._secrets[0])

    def _timeless(self, body, at, secret):
        return {signature.HEADER: f"t={int(at.timestamp())},v1={hmac_sha256(secret, body).hex()}"}


class LeaksValueError(Varied):
    def verify(self, request):
        header = request.headers.get(signature.HEADER, "").strip()
        if header and header.isascii():
            int(header.partition("t=")[2].partition(",")[0])
        return super().verify(request)


class LeaksUnicodeError(Varied):
    def verify(self, request):
        request.headers.get(signature.HEADER, "").encode("ascii")
        return super().verify(request)


class KnowsOnlyTheFirstSecret(Varied):
    def __init__(self, config, runtime):
        super().__init__(config, runtime)
        self._secrets = self._secrets[:1]


class CountsSecretsFromOne(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        return replace(verdict, secret_index=verdict.secret_index + 1) if isinstance(verdict, Accepted) else verdict


class ReadsTheClock(Varied):
    def verify(self, request):
        datetime.now(UTC)
        return super().verify(request)


class AsksTheRuntimeForTheTime(Varied):
    def verify(self, request):
        self._runtime.now()
        return super().verify(request)


class ConnectsInVerify(Varied):
    def verify(self, request):
        with socket.socket() as probe:
            probe.connect_ex(("127.0.0.1", 9))
        return super().verify(request)


class OpensAFileInVerify(Varied):
    def verify(self, request):
        with open(__file__) as file:  # noqa: PTH123 - as careless as it gets
            file.readline()
        return super().verify(request)


class SleepsInVerify(Varied):
    def verify(self, request):
        time.sleep(0.0001)
        return super().verify(request)


class ComparesWithEquals(Varied):
    def verify(self, request):
        verdict = signature.verify(request, (), self._config.tolerance_seconds)
        at = _signed_at(request)
        if at is None or verdict.reason is not RefusalReason.SIGNATURE_MISMATCH:
            return verdict
        for index, secret in enumerate(self._secrets):
            if signature.sign(request.body, at, secret)[signature.HEADER] == request.headers[signature.HEADER]:
                event_id, event_type = events.names(request.body)
                return Accepted(proof="signature", event_id=event_id, event_type=event_type, secret_index=index)
        return verdict


class ComparesOnlyTheBeginning(Varied):
    def verify(self, request):
        at, header = _signed_at(request), request.headers.get(signature.HEADER, "")
        if at is not None and len(header) > 40:
            whole = self.sign(request.body, at)[signature.HEADER]
            if hmac.compare_digest(whole[: len(header)], header):
                return super().verify(HEADER.put(request, whole))
        return super().verify(request)


class AcceptsWithoutASignature(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        if isinstance(verdict, Refused) and verdict.reason is RefusalReason.HEADER_MISSING:
            return Accepted(proof="none")
        return verdict


class WritesTheBodyAgain(Varied):
    def verify(self, request):
        return super().verify(replace(request, body=self._again(request.body)))

    def sign(self, body, at):
        return super().sign(self._again(body), at)

    def _again(self, body):
        try:
            return orjson.dumps(orjson.loads(body))
        except orjson.JSONDecodeError:
            return body


class CallsATokenASignature(Token):
    def verify(self, request):
        verdict = super().verify(request)
        return replace(verdict, proof="signature") if isinstance(verdict, Accepted) else verdict


class RefusesUnknownTypes(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        known = {*events.KINDS, *events.NOT_FINAL, "customer.created", None}
        if isinstance(verdict, Accepted) and verdict.event_type not in known:
            return Refused(reason=RefusalReason.HEADER_MALFORMED, detail="unknown type")
        return verdict


class RaisesOnUnknownTypes(Varied):
    def read(self, body, request):
        if events.names(body)[1] not in {*events.KINDS, *events.NOT_FINAL, "customer.created", None}:
            raise Malformed("unknown type")
        return super().read(body, request)


class TakesTheIdFromAHeader(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        event_id = request.headers.get("X-Event-Id")
        return replace(verdict, event_id=event_id) if isinstance(verdict, Accepted) and event_id else verdict

    def sign(self, body, at):
        return {**super().sign(body, at), "X-Event-Id": "evt_1"}


class UnsignedWithAnId(Unsigned):
    def verify(self, request):
        event_id, event_type = events.names(request.body)
        return Accepted(proof="none", event_id=event_id, event_type=event_type)


class HostInTheAddress(SignedAddress):
    def address(self, request):
        host = request.headers.get("Host")
        scheme, _, rest = request.url.partition("://")
        return request.url if host is None or host in request.url else f"{scheme}://{host}/{rest.partition('/')[2]}"


class TellsTheDigest(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        if isinstance(verdict, Refused) and verdict.reason is RefusalReason.SIGNATURE_MISMATCH:
            expected = self.sign(request.body, request.received_at)[signature.HEADER]
            return replace(verdict, detail=f"expected {expected}")
        return verdict


class TellsTheSecret(Varied):
    def verify(self, request):
        verdict = super().verify(request)
        if isinstance(verdict, Refused):
            return replace(verdict, detail=f"tried {self._secrets[0].decode()}")
        return verdict


class ShowsItsSecrets(Varied):
    def __repr__(self):
        return f"Provider({self._secrets})"


class LogsItsSecret(Varied):
    def verify(self, request):
        logging.getLogger("acme").debug("verifying with %s", self._secrets[0])
        return super().verify(request)


class QuotesItsKey(Varied):
    async def _call(self, method, path, body, idempotency_key):
        try:
            return await super()._call(method, path, body, idempotency_key)
        except Rejected as error:
            raise Rejected(f"{error} for {self._config.api_key.get_secret_value()}") from None


class CountsInFloats(Varied):
    def read(self, body, request):
        found = super().read(body, request)
        if isinstance(found, Ignored):
            return found
        return [replace(event, amount=self._float(event.amount)) for event in found]

    def _float(self, money):
        places = {"JPY": 0, "KWD": 3}.get(money.currency, 2)
        return Money(int(float(str(money.major())) * 10**places), money.currency)


class RoundsFractions(Varied):
    def read(self, body, request):
        event = json.loads(body) if body[:1] == b"{" and len(body) > 1 else {}
        data = event.get("data") if isinstance(event, dict) else None
        amount = data.get("amount") if isinstance(data, dict) else None
        if isinstance(amount, float) and 0 < amount < 1e15:
            data["amount"] = int(amount)
            return super().read(orjson.dumps(event), request)
        return super().read(body, request)


class BooksProvisionalMoney(Varied):
    def read(self, body, request):
        return super().read(body.replace(b'"payment.pending"', b'"payment.paid"'), request)


class KeysOfTheDelivery(Varied):
    def read(self, body, request):
        found = super().read(body, request)
        if isinstance(found, Ignored):
            return found
        word = {RevenueKind.REFUND: "refund", RevenueKind.REFUND_REVERSAL: "reversal"}
        name = events.names(body)[0] or "none"
        return [replace(event, key=f"{word.get(event.kind, 'payment')}:{name}") for event in found]


class KeysWithoutAWord(Varied):
    def read(self, body, request):
        found = super().read(body, request)
        return found if isinstance(found, Ignored) else [replace(event, key=event.own_id) for event in found]


class HidesNonsense(Varied):
    def read(self, body, request):
        try:
            events.json_object(body)
        except Malformed:
            return Ignored("not_revenue")
        return super().read(body, request)


class LeaksKeyError(Varied):
    def read(self, body, request):
        found = super().read(body, request)
        if not isinstance(found, Ignored):
            orjson.loads(body)["data"]["prices"]
        return found


class RemembersEvents(Varied):
    def __init__(self, config, runtime):
        super().__init__(config, runtime)
        self._seen = set()

    async def extract(self, delivery):
        if delivery.request.body in self._seen:
            return Ignored("not_revenue")
        self._seen.add(delivery.request.body)
        return await super().extract(delivery)


class NeedsTheSignatureAgain(Varied):
    async def extract(self, delivery):
        if signature.HEADER not in delivery.request.headers:
            raise Malformed("no signature")
        return await super().extract(delivery)


class BlocksTheLoop(Varied):
    async def extract(self, delivery):
        if delivery.request.body.startswith(
            b'{\n "id": "evt_1005"'
        ):  # a fixture as captured, not one of its odd shapes
            time.sleep(0.15)
        return await super().extract(delivery)


class BelievesTheBody(Unsigned):
    async def extract(self, delivery):
        return self.read(delivery.request.body, None)


class SwallowsAFailedFetch(Unsigned):
    async def extract(self, delivery):
        try:
            return await super().extract(delivery)
        except Unavailable:
            return Ignored("not_revenue")


class CallsTroubleRejected(Varied):
    async def _call(self, method, path, body, idempotency_key):
        try:
            return await super()._call(method, path, body, idempotency_key)
        except Unavailable as error:
            raise Rejected(str(error)) from None


class PostsTwice(Varied):
    async def _call(self, method, path, body, idempotency_key):
        try:
            return await super()._call(method, path, body, None)
        except Unavailable:
            return await super()._call(method, path, body, None)


class DropsTheReference(Varied):
    async def create_checkout(self, request):
        return await super().create_checkout(replace(request, reference=""))


class DropsTheVisitor(Varied):
    async def create_checkout(self, request):
        return await super().create_checkout(replace(request, attribution=Attribution()))


class ListsUnderOtherKeys(Varied):
    async def list_revenue(self, since, cursor):
        page = await super().list_revenue(since, cursor)
        return Page(events=[replace(event, key=f"{event.key}-listed") for event in page.events])


class ListsNoRefunds(Varied):
    async def list_revenue(self, since, cursor):
        page = await super().list_revenue(since, cursor)
        return Page(events=[event for event in page.events if event.kind is not RevenueKind.REFUND])


class ListsForEver(Varied):
    async def list_revenue(self, since, cursor):
        page = await super().list_revenue(since, cursor)
        return replace(page, next_cursor="again")


class FindsUnderOtherKeys(Varied):
    async def find(self, checkout_id):
        return [replace(event, key=f"{event.key}-found") for event in await super().find(checkout_id)]


class FindsOtherAmounts(Varied):
    async def find(self, checkout_id):
        return [replace(event, amount=Money(1, "USD")) for event in await super().find(checkout_id)]


class FindsOnlyRefunds(Varied):
    async def find(self, checkout_id):
        return [event for event in await super().find(checkout_id) if event.kind is RevenueKind.REFUND]


class FindsTheAnswer(Varied):
    async def find(self, checkout_id):
        return {"events": await super().find(checkout_id)}


class AgreesOnlyWithItself(Varied):
    """A colon where the company has a dot, in `sign` and in `verify`."""

    def verify(self, request):
        header = request.headers.get(signature.HEADER, "")
        return super().verify(replace(request, body=b":" + request.body)) if header else super().verify(request)

    def sign(self, body, at):
        return super().sign(b":" + body, at)


class ReadsTheEnvironmentInOpen(ExamplePlugin):
    def open(self, config, runtime):
        os.environ.get("EXAMPLE_KEY")
        return Varied(config, runtime)


class SharesItsSecrets(ExamplePlugin):
    def open(self, config, runtime):
        provider = Varied(config, runtime)
        SHARED[:] = provider._secrets
        provider._secrets = SHARED
        return provider


SHARED: list[bytes] = []


class LaxConfig(ExampleConfig):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class TalkativeConfig(ExampleConfig):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A plugin, the one rule that it breaks, and what its author says about it."""

    name: str
    plugin: Any
    caught_by: str
    vectors: Literal["recorded", "own", "none"] = "recorded"
    reviewed: bool = False
    says: Mapping[str, Any] = field(default_factory=dict)


def fault(provider: type[ExampleProvider], caught_by: str, **more: Any) -> Fault:
    attributes = more.pop("attributes", {})
    return Fault(name=provider.__name__, plugin=plugin_of(provider, **attributes), caught_by=caught_by, **more)


TOKEN = {"attributes": {"secret_headers": frozenset({"X-Token"})}, "vectors": "own"}
UNSIGNED = {"vectors": "none", "says": {"proof": "none", "secrets_field": None}}

FAULTS = (
    fault(AcceptsTheFuture, "a_future_webhook_is_refused"),
    fault(AcceptsThePast, "a_stale_webhook_is_refused"),
    fault(SaysTheWrongReason, "a_stale_webhook_is_refused"),
    fault(SignsNoTime, "the_time_is_signed", vectors="own"),
    fault(LeaksValueError, "garbage_is_refused"),
    fault(LeaksUnicodeError, "non_ascii_is_refused"),
    fault(KnowsOnlyTheFirstSecret, "each_secret_is_accepted"),
    fault(CountsSecretsFromOne, "each_secret_is_accepted"),
    fault(ReadsTheClock, "verify_reads_no_clock"),
    fault(AsksTheRuntimeForTheTime, "verify_reads_no_clock"),
    fault(ConnectsInVerify, "verify_touches_nothing"),
    fault(OpensAFileInVerify, "verify_touches_nothing"),
    fault(SleepsInVerify, "verify_touches_nothing"),
    fault(ComparesWithEquals, "digests_are_compared_in_constant_time"),
    fault(ComparesOnlyTheBeginning, "a_wrong_signature_is_refused"),
    fault(AcceptsWithoutASignature, "a_missing_signature_is_refused"),
    fault(WritesTheBodyAgain, "a_changed_byte_is_refused"),
    fault(CallsATokenASignature, "a_changed_byte_is_refused", **TOKEN, says={"signs_time": False}),
    fault(Token, "a_token_is_declared_secret", vectors="own", says={"proof": "secret"}),
    fault(RefusesUnknownTypes, "an_unknown_type_is_ignored"),
    fault(RaisesOnUnknownTypes, "an_unknown_type_is_ignored"),
    fault(TakesTheIdFromAHeader, "the_event_id_is_proven"),
    fault(UnsignedWithAnId, "the_event_id_is_proven", **UNSIGNED),
    fault(HostInTheAddress, "the_address_is_signed", vectors="own", says={"signs_url": True}),
    fault(AgreesOnlyWithItself, "recorded_signatures_are_judged_right"),
    fault(TellsTheDigest, "refusals_show_no_secret"),
    fault(TellsTheSecret, "refusals_show_no_secret"),
    fault(ShowsItsSecrets, "reprs_show_no_secret"),
    fault(Varied, "reprs_show_no_secret", attributes={"config_model": TalkativeConfig}),
    fault(LogsItsSecret, "nothing_secret_is_logged"),
    fault(QuotesItsKey, "nothing_secret_is_logged"),
    fault(CountsInFloats, "amounts_are_exact"),
    fault(RoundsFractions, "strange_money_is_malformed"),
    fault(BooksProvisionalMoney, "fixtures_give_what_is_expected", reviewed=True),
    fault(KeysOfTheDelivery, "a_key_outlives_its_delivery"),
    fault(KeysWithoutAWord, "keys_have_the_agreed_form"),
    fault(HidesNonsense, "nonsense_is_malformed"),
    fault(LeaksKeyError, "odd_shapes_raise_nothing_else"),
    fault(RemembersEvents, "nothing_is_remembered"),
    fault(NeedsTheSignatureAgain, "extract_needs_no_secret_header"),
    fault(BlocksTheLoop, "extract_does_not_block"),
    fault(BelievesTheBody, "an_unsigned_body_is_not_believed", **UNSIGNED),
    fault(SwallowsAFailedFetch, "a_failed_fetch_is_unavailable", **UNSIGNED),
    fault(CallsTroubleRejected, "api_errors_are_told_apart"),
    fault(PostsTwice, "a_post_is_not_repeated"),
    fault(DropsTheReference, "a_checkout_brings_back_what_it_sent"),
    fault(DropsTheVisitor, "a_checkout_brings_back_what_it_sent"),
    fault(ListsUnderOtherKeys, "the_listing_has_the_webhooks_keys"),
    fault(ListsNoRefunds, "the_listing_has_the_webhooks_keys"),
    fault(ListsForEver, "the_listing_has_the_webhooks_keys"),
    fault(FindsUnderOtherKeys, "a_lookup_has_the_webhooks_keys"),
    fault(FindsOtherAmounts, "a_lookup_has_the_webhooks_keys"),
    fault(FindsOnlyRefunds, "a_lookup_has_the_webhooks_keys"),
    fault(FindsTheAnswer, "a_lookup_has_the_webhooks_keys"),
    fault(Varied, "the_config_model_is_strict", attributes={"config_model": LaxConfig}),
    fault(Varied, "the_plugin_describes_itself", attributes={"name": "Acme Pay"}),
    fault(Varied, "the_plugin_describes_itself", attributes={"api": 2}),
    fault(
        Varied,
        "the_plugin_describes_itself",
        attributes={"metadata_limits": MetadataLimits(keys=1, key_chars=9, value_chars=20)},
    ),
    Fault(name="ReadsTheEnvironmentInOpen", plugin=ReadsTheEnvironmentInOpen(), caught_by="opening_touches_nothing"),
    Fault(name="SharesItsSecrets", plugin=SharesItsSecrets(), caught_by="opening_touches_nothing"),
)
