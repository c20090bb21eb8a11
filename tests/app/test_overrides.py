"""Host and port of the command line."""

from pathlib import Path

import pytest

from gateway.app.overrides import OverriddenSource
from gateway.config import ConfigError
from gateway.plugins import PluginRegistry

CONFIG = """
server: {{{server}}}
database: {{url: {database}}}
sites:
  acme:
    faurya: {{api: revenue, url: "http://127.0.0.1:9", site_id: s, write_key: k-1}}
    providers:
      sandbox: {{plugin: example, environment: sandbox, api_key: k-2, webhook_secrets: [k-3]}}
"""


def source(
    folder: Path, server: str, *, host: str | None = None, port: int | None = None, database: str = "embedded"
) -> OverriddenSource:
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(server=server, database=database))
    return OverriddenSource(path=path, environ={}, registry=PluginRegistry(), host=host, listen_port=port)


@pytest.mark.parametrize(
    ("server", "host", "port", "expected"),
    [
        ("", None, None, ("127.0.0.1", 8080, "http://127.0.0.1:8080", False)),
        ("port: 1000", None, 2000, ("127.0.0.1", 2000, "http://127.0.0.1:2000", False)),
        ("port: 1000", "::1", None, ("::1", 1000, "http://[::1]:1000", False)),
        ('public_url: "https://p.example"', "localhost", 2000, ("localhost", 2000, "https://p.example", True)),
        (
            'public_url: "https://p.example", require_https: false',
            None,
            9,
            ("127.0.0.1", 9, "https://p.example", False),
        ),
    ],
)
def test_what_follows_from_host_and_port_follows_the_command_line(
    tmp_path: Path, server: str, host: str | None, port: int | None, expected: tuple[str, int, str, bool]
) -> None:
    found = source(tmp_path, server, host=host, port=port).load().server
    assert (found.host, found.port, found.public_url, found.require_https) == expected


def test_a_public_host_is_fine_with_a_public_url_and_a_real_database(tmp_path: Path) -> None:
    given = source(
        tmp_path, 'public_url: "https://p.example"', host="0.0.0.0", database='"postgresql://db.example/gateway"'
    )
    assert given.load().server.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("server", "host", "port", "lines"),
    [
        ("", "two words", None, ["command line: server.host: "]),
        (
            "",
            "0.0.0.0",
            None,
            ["command line: server.public_url: is required", "command line: database.url: embedded is for one machine"],
        ),
        ("metrics_port: 9000", None, 9000, ["command line: server.metrics_port: must differ from server.port"]),
    ],
)
def test_a_contradiction_is_a_mistake_of_the_command_line(
    tmp_path: Path, server: str, host: str | None, port: int | None, lines: list[str]
) -> None:
    with pytest.raises(ConfigError) as raised:
        source(tmp_path, server, host=host, port=port).load()
    found = str(raised.value).splitlines()
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), found
