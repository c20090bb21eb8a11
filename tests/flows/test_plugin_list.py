"""What `providers` says about plugins."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.flows.plugin_list import installed
from gateway.plugins import PluginRegistry
from gateway.sdk import API, ENTRY_POINT_GROUP, MetadataLimits, Unsupported


class Sparse:
    """A provider that takes webhooks and no more."""

    async def create_checkout(self, request: Any) -> Any:
        raise Unsupported

    async def list_revenue(self, since: Any, cursor: Any) -> Any:
        raise Unsupported("this company has no list")

    async def find(self, checkout_id: str) -> Any:
        return [checkout_id]


class OpensSparse:
    def open(self, config: Any, runtime: Any) -> Sparse:
        return Sparse()


class OpensSomething:
    def open(self, config, runtime):
        return Sparse()


class OpensUnknown:
    def open(self, config: Any, runtime: Any) -> "NotImported":  # type: ignore[name-defined]  # noqa: F821
        return Sparse()


@pytest.mark.parametrize(
    ("kind", "capabilities"), [(OpensSparse, ["lookup"]), (OpensSomething, None), (OpensUnknown, None)]
)
def test_capabilities_are_read_off_what_open_returns(
    monkeypatch: pytest.MonkeyPatch, kind: type, capabilities: list[str] | None
) -> None:
    module = ModuleType("made_up_plugin")
    plugin = kind()
    plugin.api, plugin.name, plugin.config_model = API, "made_up", BaseModel
    plugin.metadata_limits = MetadataLimits(keys=1, key_chars=1, value_chars=1)
    module.plugin = plugin  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up_plugin", module)
    (found,) = installed(PluginRegistry([EntryPoint("made_up", "made_up_plugin:plugin", ENTRY_POINT_GROUP)]), None)
    assert (found.interface, found.capabilities, found.problem, found.package) == (API, capabilities, None, None)


def test_a_broken_plugin_is_listed_with_what_is_wrong() -> None:
    broken = EntryPoint("broken", "no_such_module:plugin", ENTRY_POINT_GROUP)
    (found,) = installed(PluginRegistry([broken]), None)
    assert (found.name, found.interface, found.capabilities) == ("broken", None, None)
    assert "does not load" in str(found.problem)
