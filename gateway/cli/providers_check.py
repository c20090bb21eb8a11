"""`faurya-gateway providers --check`: the quick part of the conformance kit on an installed plugin."""

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.failures import PROBLEM
from gateway.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from gateway.conformance import Finding, Subject
    from gateway.conformance.findings import Check
    from gateway.plugins import PluginRegistry
    from gateway.sdk import Plugin

    Result = tuple[Check, Finding | str | None]


def check_plugin(name: str, *, as_json: bool, registry: "PluginRegistry | None" = None) -> None:
    """Check one plugin with made-up settings, print what was found, and exit with 1 where a rule is broken."""
    from gateway.conformance import Finding
    from gateway.plugins import PluginRegistry

    results = asyncio.run(_results(subject_of((registry or PluginRegistry()).plugin(name))))
    findings = [found for _, found in results if isinstance(found, Finding)]
    if as_json:
        show_json([_as_json(result) for result in results])
    else:
        styles = {"kept": "green", "broken": "bold red", "not looked at": "dim"}
        show_table(f"The plugin {name}", ["rule", "", "why not"], [_row(result) for result in results], styles)
        for finding in findings:
            typer.echo(f"\n{finding.check}\n{finding}")
        kept = sum(found is None for _, found in results)
        say(f"{kept} rules kept, {len(findings)} broken. Its own test suite, with captured webhooks, checks more.")
    if findings:
        raise typer.Exit(PROBLEM)


def subject_of(plugin: "Plugin") -> "Subject":
    """Return an installed plugin with settings that are made up as `dev` makes them, and two webhook secrets."""
    from gateway.conformance import Subject
    from gateway.dev.providers import NOWHERE, settings

    fields = plugin.config_model.model_fields
    made_up: dict[str, Any] = {**settings(plugin, "check", NOWHERE)}
    if "environment" in fields:
        made_up["environment"] = "sandbox"
    secrets = made_up.get("webhook_secrets")
    if isinstance(secrets, (list, tuple)) and len(secrets) == 1:
        made_up["webhook_secrets"] = [*secrets, _another(secrets[0])]
    return Subject(
        plugin=plugin,
        settings=made_up,
        secrets_field="webhook_secrets" if "webhook_secrets" in fields else None,
    )


def _another(secret: str) -> str:
    """Return a secret of the same form that decodes to other bytes too: changed in the middle, not in the padding."""
    from gateway.conformance.documents import other_id

    middle = len(secret) // 2 + 1
    return other_id(secret[:middle]) + secret[middle:]


async def _results(subject: "Subject") -> "list[Result]":
    from gateway.conformance import examine, quick

    return [result async for result in examine(subject, quick())]


def _row(result: "Result") -> list[object]:
    rule, found = result
    word = "kept" if found is None else "not looked at" if isinstance(found, str) else "broken"
    return [rule.name.replace("_", " "), word, found if isinstance(found, str) else ""]


def _as_json(result: "Result") -> dict[str, object]:
    rule, found = result
    evidence = [] if found is None or isinstance(found, str) else found.evidence
    return {
        "rule": rule.name,
        "kept": None if isinstance(found, str) else found is None,
        "why": found if isinstance(found, str) else rule.why,
        "evidence": [{"sent": item.sent, "came_back": item.came_back, "mend": item.mend} for item in evidence],
    }
