"""Where the gateway listens may also be said on the command line; the rest of the configuration then follows."""

from dataclasses import dataclass

from pydantic import ValidationError

from gateway.app.source import Source
from gateway.config import Config, ConfigError, Mistake, Server, refuse_embedded
from gateway.config.checks import listening

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverriddenSource(Source):
    """A configuration file whose host and port give way to others, now and at every reload."""

    host: str | None = None
    listen_port: int | None = None

    def load(self) -> Config:
        """Read the file; raise `ConfigError` with every mistake."""
        config = Source.load(self)
        given = {"host": self.host, "port": self.listen_port}
        chosen = {name: value for name, value in given.items() if value is not None}
        return overridden(config, chosen) if chosen else config


def overridden(config: Config, chosen: dict[str, str | int]) -> Config:
    """Return the configuration with another `host` or `port`; raise `ConfigError` where it then contradicts itself."""
    written = {name: getattr(config.server, name) for name in config.server.model_fields_set}
    try:
        server = Server.model_validate({**written, **chosen})
    except ValidationError as error:
        wrong = {part["loc"][0]: part["msg"].removeprefix("Value error, ") for part in error.errors()}
        raise ConfigError(_mistake(f"server.{name}", wrong[name]) for name in chosen if name in wrong) from None
    changed = config.model_copy(update={"server": server})
    mistakes = [_mistake(".".join(map(str, path)), text) for path, text in listening(dict(server), {*written, *chosen})]
    refused = refuse_embedded(changed)
    if refused:
        mistakes.append(_mistake("", refused))
    if mistakes:
        raise ConfigError(mistakes)
    return changed


def _mistake(path: str, text: str) -> Mistake:
    return Mistake(COMMAND_LINE, None, path, text)
