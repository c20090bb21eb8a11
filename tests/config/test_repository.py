"""The repository's own config.yaml and .env.example."""

import re
from io import StringIO
from pathlib import Path

import pytest
from dotenv.parser import parse_stream

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "config.yaml").read_text()
EXAMPLE = (REPOSITORY / ".env.example").read_text()

ENVIRON = {
    "FAURYA_URL": "https://faurya.example",
    "FAURYA_SITE_ID": "site_1",
    "FAURYA_WRITE_KEY": "w",
    "PADDLE_API_KEY": "k",
    "PADDLE_WEBHOOK_SECRET": "s",
    "PADDLE_PRICE_ID": "pri_1",
}


def test_the_guides_variables_are_enough(loaded):
    config = loaded(TEXT, environ=ENVIRON)
    (site,) = config.sites.values()
    connection = site.providers["paddle"]
    assert config.database.embedded
    assert (site.faurya.api, site.faurya.url, site.faurya.forward_test) == ("revenue", "https://faurya.example", True)
    assert (site.faurya.site_id, site.faurya.write_key.get_secret_value()) == ("site_1", "w")
    assert (connection.environment, connection.settings.api_key.get_secret_value()) == ("sandbox", "k")
    assert [secret.get_secret_value() for secret in connection.settings.webhook_secrets] == ["s"]
    assert [item.price_id for plan in site.plans.values() for item in plan.items] == ["pri_1"]


@pytest.mark.parametrize("name", ENVIRON)
def test_each_variable_that_is_missing_is_named(lines, name):
    environ = {key: value for key, value in ENVIRON.items() if key != name}
    (line,) = lines(TEXT, environ=environ)
    assert f"{name} is not set: set {name} in the environment or in .env" in line


def test_the_example_fills_exactly_the_variables_without_a_default():
    needed = set(re.findall(r"\$\{([A-Z_]+)\}", "\n".join(_active(TEXT))))
    assert {binding.key for binding in parse_stream(StringIO(EXAMPLE)) if binding.key} == needed == set(ENVIRON)


def test_the_example_shows_the_defaults_of_the_file():
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", "\n".join(_active(TEXT))))
    shown = "\n".join(line.removeprefix("# ") for line in EXAMPLE.splitlines() if re.match(r"# [A-Z_]+=", line))
    assert {binding.key: binding.value for binding in parse_stream(StringIO(shown))} == defaults


@pytest.mark.parametrize(
    ("section", "written"),
    [
        ("worker", "{lease: 30s, concurrency_per_site: 8}"),
        ("booking", "{wait: 24h}"),
        ("retention", "{raw_days: 90}"),
        ("limits", "{checkouts_per_minute_per_ip: 30, checkouts_per_minute: 120}"),
        ("plugins", "{on_failure: refuse, deadline: 10s}"),
        ("retry", "\n#   schedule: [5s, 30s, 2m, 10m, 30m, 1h, 2h, 5h, 10h, 14h, 20h, 24h]"),
    ],
)
def test_a_section_that_is_commented_out_shows_its_default(loaded, good, section, written):
    assert re.search(rf"# {section}:\s+{re.escape(written)}|# {section}: .*{re.escape(written)}", TEXT)
    text = f"{section}: {written}\n".replace("#", "")
    assert getattr(loaded(good + text), section) == getattr(loaded(good), section)


@pytest.mark.parametrize("part", ["server", "database", "faurya", "paddle"])
def test_every_setting_that_is_commented_out_is_valid(loaded, good, part):
    """Take the comment signs of one part away, less what only the real plugin knows."""
    block = TEXT[re.search(rf"(?m)^ *{part}:", TEXT).start() :].split("\n\n")[0]
    indent = re.match(r" *", block.splitlines()[1])[0]
    plain = re.sub(rf"(?m)^{indent}# (?=[a-z_]+: )", indent, block)
    plain = "\n".join(line for line in plain.splitlines() if "payment_page" not in line and "base_url" not in line)
    text = TEXT.replace(block, plain)
    assert plain != block
    assert loaded(text, environ=ENVIRON)


def _active(text):
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]
