"""
The conformance kit: what it means to be a provider plugin, as tests. The guide is `docs/providers.md`.

    from gateway.conformance import Conformance

    class TestAcme(Conformance):
        plugin = plugin
        config = {"environment": "sandbox", "api_key": "made-up", "webhook_secrets": ["made-up-1", "made-up-2"]}
        fixtures = FOLDER / "fixtures"
        vectors = FOLDER / "vectors"

`Conformance` needs pytest. `examine` runs the same checks without it, over a `Subject`, and yields `Finding`s.
"""

from typing import TYPE_CHECKING, Any

from gateway.conformance.checks import examine, quick
from gateway.conformance.findings import Finding
from gateway.conformance.subject import Subject

if TYPE_CHECKING:
    from gateway.conformance.suite import Conformance

__all__ = ["Conformance", "Finding", "Subject", "examine", "quick"]


def __getattr__(name: str) -> Any:
    """Import the pytest class only where it is asked for."""
    if name != "Conformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gateway.conformance.suite import Conformance

    return Conformance
