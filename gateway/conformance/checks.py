"""Every rule that the kit knows, in the order in which an author works. No pytest here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from pydantic import ValidationError

from gateway.conformance import (
    amounts,
    calling,
    describing,
    dialects,
    freshness,
    lookup,
    purity,
    reading,
    secrecy,
    signatures,
)
from gateway.conformance.findings import Check, Evidence, Finding, NotApplicable
from gateway.conformance.recordings import Unreadable
from gateway.conformance.subject import Subject
from gateway.conformance.trial import TIMEOUT, trial

CHECKS: tuple[Check, ...] = (
    describing.the_plugin_describes_itself,
    describing.the_config_model_is_strict,
    purity.opening_touches_nothing,
    secrecy.reprs_show_no_secret,
    signatures.a_genuine_webhook_is_accepted,
    dialects.recorded_signatures_are_judged_right,
    signatures.each_secret_is_accepted,
    signatures.a_wrong_signature_is_refused,
    signatures.a_changed_byte_is_refused,
    signatures.a_missing_signature_is_refused,
    signatures.garbage_is_refused,
    signatures.non_ascii_is_refused,
    freshness.a_stale_webhook_is_refused,
    freshness.a_future_webhook_is_refused,
    freshness.the_time_is_signed,
    dialects.the_address_is_signed,
    dialects.an_unknown_type_is_ignored,
    purity.verify_touches_nothing,
    purity.verify_reads_no_clock,
    purity.digests_are_compared_in_constant_time,
    secrecy.refusals_show_no_secret,
    secrecy.a_token_is_declared_secret,
    reading.the_event_id_is_proven,
    reading.fixtures_give_what_is_expected,
    reading.the_fixtures_tell_the_whole_story,
    reading.keys_have_the_agreed_form,
    reading.a_key_outlives_its_delivery,
    reading.nonsense_is_malformed,
    reading.odd_shapes_raise_nothing_else,
    amounts.amounts_are_exact,
    amounts.strange_money_is_malformed,
    purity.nothing_is_remembered,
    purity.extract_needs_no_secret_header,
    purity.extract_does_not_block,
    calling.an_unsigned_body_is_not_believed,
    calling.a_failed_fetch_is_unavailable,
    calling.api_errors_are_told_apart,
    calling.a_post_is_not_repeated,
    calling.a_checkout_brings_back_what_it_sent,
    calling.the_listing_has_the_webhooks_keys,
    lookup.a_lookup_has_the_webhooks_keys,
    secrecy.nothing_secret_is_logged,
)


async def examine(
    subject: Subject, checks: Sequence[Check] = CHECKS, patience: timedelta = TIMEOUT
) -> AsyncIterator[tuple[Check, Finding | str | None]]:
    """Yield each check with its `Finding`, or why it has nothing to look at, or None for a rule that is kept."""
    for each in checks:
        try:
            yield each, await found_by(each, subject, patience)
        except NotApplicable as reason:
            yield each, str(reason)


async def found_by(each: Check, subject: Subject, patience: timedelta = TIMEOUT) -> Finding | None:
    """Run one check; raise `NotApplicable` where it has nothing to look at. A file that cannot be used is a finding."""
    evidence: list[Evidence] = []
    async with trial(subject, patience) as running:
        try:
            evidence = [item async for item in each.run(running)]
        except Unreadable as problem:
            evidence = [Evidence("the author's files", str(problem))]
        except ValidationError as problem:
            text = str(problem.errors(include_input=False, include_url=False))
            evidence = [Evidence("the made-up settings", f"config_model refuses them: {text}")]
    if not evidence:
        return None
    return Finding(check=each.name, rule=each.rule, why=each.why, evidence=tuple(evidence))


def quick() -> tuple[Check, ...]:
    """Return the checks that need nothing but an installed plugin."""
    return tuple(each for each in CHECKS if each.quick)
