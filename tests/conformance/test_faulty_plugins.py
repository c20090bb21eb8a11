"""Every faulty plugin is caught by exactly the check that is meant for it, and the good ones by none."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import providers.example
from gateway.conformance import Finding, Subject, examine, quick
from gateway.conformance.__main__ import write
from gateway.conformance.trial import trial
from tests.conformance.faulty import FAULTS, Fault
from tests.conformance.variations import (
    Bare,
    FormBody,
    NoApi,
    NoList,
    SignedAddress,
    Token,
    Unsigned,
    Varied,
    plugin_of,
    vector,
)

FOLDER = Path(providers.example.__file__).parent
SETTINGS = {
    "environment": "sandbox",
    "api_key": "example-key-made-up",
    "webhook_secrets": ["whsec_made_up_number_one_1", "whsec_made_up_number_two_2"],
}
AMOUNT = {"amount": {"value": "19.00", "currency": "EUR"}}
PATIENCE = timedelta(seconds=0.4)


async def subject_of(
    plugin: Any, folder: Path, *, vectors: str = "recorded", reviewed: bool = False, says: Mapping[str, Any]
) -> Subject:
    """A plugin with the recordings that its author would have: what comes out of it is what he expects."""
    said = {"proof": "signature", "signs_time": True, **says}
    if said["proof"] != "signature":
        said["signs_time"] = False
    shutil.copytree(FOLDER / "fixtures", folder / "fixtures")
    (folder / "vectors").mkdir()
    if said["proof"] == "none":
        for path in sorted((folder / "fixtures").iterdir()):
            event = json.loads(path.read_bytes())
            answers = {"GET /events": {"body": {"events": [event]}}}
            path.with_name(f"{path.stem}.api.json").write_text(json.dumps(answers))
    if vectors == "recorded":
        shutil.copy(FOLDER / "vectors" / "valid.json", folder / "vectors")
    subject = Subject(
        plugin=plugin,
        settings=SETTINGS,
        fixtures=folder / "fixtures",
        vectors=folder / "vectors",
        expected=FOLDER / "expected.json" if reviewed else None,
        **said,
    )
    if vectors == "own":
        async with trial(subject) as running:
            headers = running.signed(b"{}").headers
        (folder / "vectors" / "own.json").write_text(vector(headers))
    if not reviewed:
        await write(subject, anew=False)
    return subject


async def findings_of(subject: Subject) -> list[Finding]:
    return [found async for _, found in examine(subject, patience=PATIENCE) if isinstance(found, Finding)]


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{number}-{fault.name}" for number, fault in enumerate(FAULTS)])
async def test_a_faulty_plugin_is_caught_by_exactly_the_check_meant_for_it(fault: Fault, tmp_path: Path) -> None:
    subject = await subject_of(fault.plugin, tmp_path, vectors=fault.vectors, reviewed=fault.reviewed, says=fault.says)
    findings = await findings_of(subject)
    assert [finding.check for finding in findings] == [fault.caught_by], "\n\n".join(map(str, findings))


GOOD = {
    "signature": (plugin_of(Varied), "recorded", {}),
    "token": (plugin_of(Token, secret_headers=frozenset({"X-Token"})), "own", {"proof": "secret"}),
    "signed address": (plugin_of(SignedAddress), "own", {"signs_url": True}),
    "no proof": (plugin_of(Unsigned), "none", {"proof": "none", "secrets_field": None}),
    "no stand-in": (plugin_of(Bare), "recorded", {"signature_header": "X-Example-Signature"}),
    "no stand-in, header not named": (plugin_of(Bare), "recorded", {}),
    "no calls of an API": (plugin_of(NoApi), "recorded", {}),
    "no list": (plugin_of(NoList), "recorded", {}),
    "an amount instead of a price": (plugin_of(Varied, demo_plan=AMOUNT), "recorded", {}),
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_plugin_that_keeps_the_rules_is_caught_by_none(name: str, tmp_path: Path) -> None:
    plugin, vectors, says = GOOD[name]
    findings = await findings_of(await subject_of(plugin, tmp_path, vectors=vectors, says=says))
    assert findings == [], "\n\n".join(map(str, findings))


async def test_bodies_that_are_forms_are_taken_apart_too() -> None:
    subject = Subject(plugin=plugin_of(FormBody), settings=SETTINGS, signs_time=True)
    selling = {"a_checkout_brings_back_what_it_sent", "the_listing_has_the_webhooks_keys"}  # its stand-in has no forms
    checks = [check for check in quick() if check.name not in selling]
    found = {check.name: result async for check, result in examine(subject, checks, PATIENCE)}
    assert [str(result) for result in found.values() if isinstance(result, Finding)] == []
    assert found["an_unknown_type_is_ignored"] is None
    assert found["odd_shapes_raise_nothing_else"] is None
    assert found["a_key_outlives_its_delivery"] is None


async def test_without_recordings_the_author_is_told_to_make_some() -> None:
    findings = await findings_of(Subject(plugin=plugin_of(Varied), settings=SETTINGS))
    assert [finding.check for finding in findings] == [
        "recorded_signatures_are_judged_right",
        "the_fixtures_tell_the_whole_story",
    ]


async def test_one_secret_is_too_few_to_prove_a_rotation() -> None:
    settings = {**SETTINGS, "webhook_secrets": ["whsec_made_up_number_one_1"]}
    found = [
        result async for _, result in examine(Subject(plugin=plugin_of(Varied), settings=settings), quick(), PATIENCE)
    ]
    (finding,) = [result for result in found if isinstance(result, Finding)]
    assert finding.check == "each_secret_is_accepted"
    assert "two made-up secrets" in finding.evidence[0].mend


async def test_settings_that_the_config_model_refuses_are_a_finding_without_their_secrets() -> None:
    settings = {**SETTINGS, "tolerance_seconds": "whsec_made_up_number_one_1"}
    finding = (await findings_of(Subject(plugin=plugin_of(Varied), settings=settings)))[-1]
    assert "config_model refuses them" in finding.evidence[0].came_back
    assert "whsec_made_up_number_one_1" not in str(finding)


async def test_what_the_provider_never_sends_may_be_missing_from_the_story(tmp_path: Path) -> None:
    subject = await subject_of(plugin_of(Varied), tmp_path, says={"never": {"refund": "no refunds at this company"}})
    for path in [*subject.fixtures.glob("payment.refunded*"), *subject.fixtures.glob("refund.*")]:
        path.unlink()
    (tmp_path / "expected.json").unlink()
    await write(subject, anew=False)
    assert await findings_of(subject) == []
    without = replace(subject, never={})
    assert [finding.check for finding in await findings_of(without)] == ["the_fixtures_tell_the_whole_story"]
