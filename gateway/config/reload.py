"""What a reload cannot change."""

from gateway.config.models import Config, Database

_SERVER = ("host", "port", "metrics_port")


def restart_needed(old: Config, new: Config) -> tuple[str, ...]:
    """Name the settings that differ and take effect only when the process starts again."""
    server = [f"server.{name}" for name in _SERVER if getattr(old.server, name) != getattr(new.server, name)]
    database = [
        f"database.{name}"
        for name in Database.model_fields
        if getattr(old.database, name) != getattr(new.database, name)
    ]
    return (*server, *database)
