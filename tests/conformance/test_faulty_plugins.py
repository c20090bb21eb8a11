"""Every faulty plugin is caught by exactly the check that is meant for it, and the good ones by none."""

import json
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import providers.example
from gateway.conformance import Finding, Subject, examine
from gateway.conformance.__main__ import write
from gateway.conformance.trial import trial
from tests.conformance.faulty import FAULTS, Fault
from tests.conformance.variations import SignedAddress, Token, Unsigned, Varied, plugin_of, vector

FOLDER = Path(providers.example.__file__).parent
SETTINGS = {
    "environment": "sandbox",
    "api_key": "example-key-made-up",
    "webhook_secrets": ["whsec_made_up_number_one_1", "whsec_made_up_number_two_2"],
}
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
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_plugin_that_keeps_the_rules_is_caught_by_none(name: str, tmp_path: Path) -> None:
    plugin, vectors, says = GOOD[name]
    findings = await findings_of(await subject_of(plugin, tmp_path, vectors=vectors, says=says))
    assert findings == [], "\n\n".join(map(str, findings))
