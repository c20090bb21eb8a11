"""The Dockerfile and compose.yaml, as far as they can be tried without a container engine."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

HADOLINT = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
GATEWAYS = ("migrate", "gateway")


@pytest.fixture
def dockerfile(root: Path) -> str:
    """With continued lines joined."""
    return (root / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


@pytest.fixture
def services(root: Path) -> dict[str, Any]:
    """With merge keys resolved."""
    services: dict[str, Any] = YAML(typ="safe", pure=True).load(root / "compose.yaml")["services"]
    return services


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Serve one status on /healthz; yield the port."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def exec_form(dockerfile: str, instruction: str) -> list[str]:
    """Return the words of the last such instruction, which must be in exec form."""
    *_, words = re.findall(rf"^{instruction}\b.*?(\[.*\])$", dockerfile, re.MULTILINE)
    parsed: list[str] = json.loads(words)
    return parsed


def probe(dockerfile: str, port: int) -> int:
    _, *arguments = exec_form(dockerfile, "HEALTHCHECK")
    command = [sys.executable, "-I", *arguments]
    return subprocess.run(command, env={"GATEWAY_PORT": str(port)}, capture_output=True, check=False).returncode


@pytest.mark.skipif(HADOLINT is None, reason="there is no hadolint for this machine")
def test_the_dockerfile_lints_clean(root: Path) -> None:
    done = subprocess.run([str(HADOLINT), "Dockerfile"], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_a_user_with_a_fixed_number(dockerfile: str) -> None:
    *_, user = re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


def test_everything_that_the_dockerfile_copies_reaches_the_build(root: Path, dockerfile: str) -> None:
    copied = [
        source for names in re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile, re.MULTILINE) for source in names.split()
    ]
    let_in = re.findall(r"^!(.*)$", (root / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(copied) == set(let_in) == {name for name in copied if (root / name).exists()}


@pytest.mark.parametrize("status", [200, 503])
def test_the_health_check_follows_the_answer_of_healthz(status: int, dockerfile: str) -> None:
    with answering(status) as port:
        assert (probe(dockerfile, port) == 0) == (status == 200)


def test_the_health_check_fails_where_nobody_listens(dockerfile: str) -> None:
    with answering(200) as port:
        pass
    assert probe(dockerfile, port) != 0


@pytest.mark.parametrize("service", [None, *GATEWAYS])
def test_containers_start_commands_that_exist(service: str | None, dockerfile: str, services: dict[str, Any]) -> None:
    command = services[service].get("command") if service else None
    words = command or exec_form(dockerfile, "CMD")
    assert exec_form(dockerfile, "ENTRYPOINT") == ["faurya-gateway"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words, "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_gateway_starts_after_the_migration_and_the_migration_after_the_database(services: dict[str, Any]) -> None:
    healthy, completed = {"condition": "service_healthy"}, {"condition": "service_completed_successfully"}
    assert services["postgres"]["healthcheck"]["test"][1] == "pg_isready"
    assert services["migrate"]["depends_on"] == {"postgres": healthy}
    assert services["gateway"]["depends_on"] == {"postgres": healthy, "migrate": completed}
    assert services["migrate"]["restart"] == "no"


@pytest.mark.parametrize("service", GATEWAYS)
def test_the_gateways_containers_can_change_nothing(service: str, services: dict[str, Any]) -> None:
    described = services[service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert all(volume.endswith(":ro") for volume in described["volumes"])


def test_the_configuration_is_mounted_where_the_image_looks_for_it(
    root: Path, dockerfile: str, services: dict[str, Any]
) -> None:
    source, target, _ = services["gateway"]["volumes"][0].split(":")
    assert (root / source).is_file()
    assert target == exec_form(dockerfile, "CMD")[-1] == services["migrate"]["command"][-1]


def test_no_secret_stands_in_the_compose_file(services: dict[str, Any]) -> None:
    settings = [(name, value) for service in services.values() for name, value in service["environment"].items()]
    secret = [value for name, value in settings if re.search("PASSWORD|KEY|SECRET|TOKEN", name)]
    assert secret
    assert all(value.startswith("${") and ":?" in value for value in secret)
    assert not any("@" in value and ":" in value.split("//")[1].split("@")[0] for _, value in settings if "//" in value)


def test_only_the_gateway_is_published_and_only_on_this_host(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert list(published) == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])


def test_the_database_survives_its_container(root: Path, services: dict[str, Any]) -> None:
    volume, target = services["postgres"]["volumes"][0].split(":")
    assert volume in YAML(typ="safe", pure=True).load(root / "compose.yaml")["volumes"]
    assert target == "/var/lib/postgresql"  # where the image keeps its data since version 18
