"""The test class of plugin authors: one test for each rule and for each fixture."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.conformance.checks import CHECKS, found_by
from gateway.conformance.findings import Check, NotApplicable
from gateway.conformance.reading import a_fixture, fixtures_give_what_is_expected
from gateway.conformance.recordings import Recording, Unreadable, recordings
from gateway.conformance.subject import NOW, Subject
from gateway.domain.messages import Proof
from gateway.sdk import Plugin

try:
    import pytest
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "gateway.conformance.Conformance is a pytest class and pytest is not installed: install it where you test",
        name="pytest",
    ) from missing

if TYPE_CHECKING:
    from aiohttp import web

ALONE = tuple(each for each in CHECKS if each is not fixtures_give_what_is_expected)


class Conformance:
    """
    Subclass it as `Test...`, name the plugin and a config, and pytest does the rest.

    Required are `plugin` and `config`, a connection's settings with two made-up secrets. Folders are relative to the
    file of the subclass.

        fixtures            captured webhooks; `expected.json` stands beside this folder, or where `expected` says
        vectors             recorded signatures
        proof               "signature" (the default), "secret" or "none"
        signs_time          False where the scheme signs no time, so that old webhooks cannot be told
        signs_url           True where the signature covers the address
        signature_header    its name, where `sign` does not show it and for vectors in the short form
        secrets_field       the key of `config` with the webhook secrets; None where the provider has none
        base_url_field      the key of `config` with the address of the provider's API
        constant_time       why no hmac.compare_digest is seen: "Ed25519, compared by cryptography"
        never               what the provider never sends, with the reason: {"refund": "only in the dashboard"}
        url                 the address of the webhook, with a token in its query where there is one
        now                 when the kit's webhooks are signed and arrive

    `prepare(application)` may set up the stand-in before it is served, for instance make it faster.
    """

    plugin: ClassVar[Plugin]
    config: ClassVar[Mapping[str, Any]]
    fixtures: ClassVar[Path | str | None] = None
    vectors: ClassVar[Path | str | None] = None
    expected: ClassVar[Path | str | None] = None
    proof: ClassVar[Proof] = "signature"
    signs_time: ClassVar[bool] = True
    signs_url: ClassVar[bool] = False
    signature_header: ClassVar[str | None] = None
    secrets_field: ClassVar[str | None] = "webhook_secrets"
    base_url_field: ClassVar[str | None] = "base_url"
    constant_time: ClassVar[str | None] = None
    never: ClassVar[Mapping[str, str]] = {}
    url: ClassVar[str] = "https://pay.example.com/webhooks/acme/provider"
    now: ClassVar[Any] = NOW

    @staticmethod
    def prepare(application: web.Application) -> None:
        """Set up the stand-in; nothing by default."""

    @classmethod
    def subject(cls) -> Subject:
        """Return what the class says; raise `TypeError` where it lacks the plugin or the config."""
        lacking = [name for name in ("plugin", "config") if not hasattr(cls, name)]
        if lacking:
            raise TypeError(f"{cls.__name__} must set {' and '.join(lacking)}: see gateway.conformance.Conformance")
        prepare: Callable[[web.Application], None] = cls.prepare
        return Subject(
            plugin=cls.plugin,
            settings=cls.config,
            fixtures=cls._folder(cls.fixtures),
            vectors=cls._folder(cls.vectors),
            expected=cls._folder(cls.expected),
            proof=cls.proof,
            signs_time=cls.signs_time,
            signs_url=cls.signs_url,
            signature_header=cls.signature_header,
            secrets_field=cls.secrets_field,
            base_url_field=cls.base_url_field,
            constant_time=cls.constant_time,
            never=cls.never,
            url=cls.url,
            now=cls.now,
            prepare=prepare,
        )

    @classmethod
    def _folder(cls, named: Path | str | None) -> Path | None:
        return None if named is None else Path(inspect.getfile(cls)).parent / named

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Make one test of each rule and of each fixture."""
        if "rule" in metafunc.fixturenames:
            metafunc.parametrize("rule", ALONE, ids=[each.name for each in ALONE])
        elif "recording" in metafunc.fixturenames:
            found = cls._recordings()
            metafunc.parametrize("recording", found, ids=[recording.name for recording in found])

    @classmethod
    def _recordings(cls) -> tuple[Recording, ...]:
        folder = cls.subject().fixtures
        try:
            return recordings(folder) if folder else ()
        except Unreadable:
            return ()  # said by the rules that read them

    def test_keeps_the_rule(self, rule: Check) -> None:
        """Fail with what was sent, what came back and why the rule exists."""
        _judge(rule, self.subject())

    def test_fixture(self, recording: Recording) -> None:
        """Fail where a fixture gives something else than `expected.json` says."""
        _judge(a_fixture(recording), self.subject())


def _judge(rule: Check, subject: Subject) -> None:
    try:
        finding = asyncio.run(found_by(rule, subject))
    except NotApplicable as reason:
        pytest.skip(str(reason))
    if finding is not None:
        pytest.fail(f"{finding.check}\n\n{finding}", pytrace=False)
