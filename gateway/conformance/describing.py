"""What the object that the entry point names must say of itself."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from pydantic import BaseModel, ValidationError

from gateway.conformance.findings import Evidence, check
from gateway.conformance.trial import Trial
from gateway.sdk import API, MetadataLimits

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)

REFERENCE_CHARS = 40
"""The longest reference that the core makes; it always travels."""


@check(
    "The plugin names its interface, its name, its config model and the limits of the provider's metadata.",
    "The core finds a plugin by its name, refuses one written for another interface, and fits the ids to the limits.",
)
async def the_plugin_describes_itself(trial: Trial) -> AsyncIterator[Evidence]:
    plugin = trial.subject.plugin
    if plugin.api != API:
        yield Evidence("plugin.api", repr(plugin.api), f"this gateway speaks {API}: from gateway.sdk import API")
    if not isinstance(plugin.name, str) or not NAME.fullmatch(plugin.name):
        yield Evidence("plugin.name", repr(plugin.name), "lower-case letters, digits, - and _; the entry point's name")
    limits = plugin.metadata_limits
    if not isinstance(limits, MetadataLimits) or limits.keys < 1 or limits.value_chars < REFERENCE_CHARS:
        yield Evidence("plugin.metadata_limits", repr(limits), f"one key of {REFERENCE_CHARS} characters must fit")


@check(
    "The config model takes `environment`, refuses unknown keys and is made without I/O.",
    "A mistyped key in config.yaml must be a mistake with a line number, not a default that nobody notices.",
)
async def the_config_model_is_strict(trial: Trial) -> AsyncIterator[Evidence]:
    model, settings = trial.subject.plugin.config_model, trial.settings()
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        yield Evidence("plugin.config_model", repr(model), "make it a pydantic model")
        return
    if "environment" not in model.model_fields:
        mend = 'environment: Literal["sandbox", "live"]; the core requires the key and passes it on'
        yield Evidence("config_model", "it has no field `environment`", mend)
    try:
        model.model_validate({**settings, "no_such_key": True})
    except ValidationError:
        return
    yield Evidence("settings with no_such_key: true", "accepted", 'model_config = ConfigDict(extra="forbid")')
