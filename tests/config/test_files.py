"""YAML that cannot be read, included files, `.env` and secrets in files."""

import pytest

from gateway.config import ConfigError, load

MINIMAL = "database: {url: embedded}\n"
SITE = """\
sites:
  other:
    faurya: {api: revenue, url: https://faurya.example, site_id: s, write_key: k}
    providers: {open: {environment: sandbox}}
"""
MISSING = "No such file or directory"
ITSELF = "includes itself: remove it, or narrow the pattern"
NO_SITES = "sites: is required: add at least one site"
NOT_TEXT = "contains a NUL or is not valid UTF-8: correct where the value comes from"
NOT_A_LIST = "must be a list of files or patterns, such as [sites.d/*.yaml]"
NO_FAURYA = "is required: where the site's money is recorded, such as {api: revenue, ...}"
NAMELESS = "must be the name of a file, or a pattern such as sites.d/*.yaml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: is empty: remove the file, or write the settings"),
        ("# nothing yet\n", "1: is empty: remove the file, or write the settings"),
        ("- a\n", "1: must be a mapping (key: value lines) at the top"),
        ("text\n", "1: must be a mapping (key: value lines) at the top"),
        ("a: [1\nb: 2\n", "2: YAML cannot be read here: expected ',' or ']', but got ':'"),
        ("a: b: c\n", "1: YAML cannot be read here: mapping values are not allowed here"),
        ("a: 1\n\tb: 1\n", "2: YAML cannot be read here: found character '\\t' that cannot start any token"),
        ("a: *secret-name\n", "1: YAML cannot be read here: found undefined alias ..."),
        ("a: !<secret\n", "1: YAML cannot be read here: expected '>' but found '\\n'"),
        ("a: 1\n---\nb: 2\n", "2: YAML cannot be read here: but found another document"),
        ("a: 1\nb: \x01\n", "2: has a character that YAML does not allow: remove it, or use an escape"),
        (b"a: \xff\n", " cannot be read: it is not UTF-8 text"),
        (b"#" * 1_048_577, " cannot be read: it is larger than 1048576 bytes"),
        ("[" * 2000, " is nested too deeply, or means more than 100000 values"),
    ],
)
def test_a_file_that_cannot_be_read_has_one_mistake(lines, text, expected):
    assert lines(text) == [f"config.yaml:{expected}"]


def test_an_alias_cannot_make_a_short_file_endless(lines):
    levels = [f"l{n}: &l{n} [{','.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 6)]
    text = "\n".join(["l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *levels])
    assert lines(text) == ["config.yaml: is nested too deeply, or means more than 100000 values"]


def test_an_absent_file_is_named(models, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml", models, {})
    assert str(caught.value) == f"{tmp_path}/config.yaml: cannot be read: {MISSING}"
    assert caught.value.mistakes[0].line is None


@pytest.mark.parametrize(
    ("lines_of_database", "expected"),
    [
        ("url: x\n  url: y", "5: database.url: is given twice, here and in line 4: keep one"),
        ("? [a]\n  : b", "4: database: has a key that is a list or a mapping: keys are words"),
        ("<<: {a: 1}", "4: database: merge keys (<<) are not supported: write the keys out"),
        ("url: !x y", "4: database.url: has a YAML tag (!...): tags are not supported, put text in quotes"),
        ("url: &a [*a]", "4: database.url[0]: refers to itself: write the value out"),
        ("url:", "4: database.url: has no value: give one, or remove the line"),
        ("url: ~", "4: database.url: has no value: give one, or remove the line"),
        ('url: "a\\0"', f"4: database.url: {NOT_TEXT}"),
    ],
)
def test_yaml_that_means_nothing_here_is_explained(changed, lines_of_database, expected):
    assert f"config.yaml:{expected}" in changed("url: embedded", lines_of_database)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!!float x", "must be a whole number"),
        ("!!int x", "must be a whole number"),
        ("!!bool maybe", "must be a whole number"),
        ("2024-01-01", "must be a whole number"),
        (".inf", "must be a whole number"),
        ("9" * 200, "must be at most 36500"),
        ("1e3", None),
        ("+0x1F90", None),
        ("0o7777", None),
        ("008080", None),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(lines, good, value, message):
    expected = [f"config.yaml:24: retention.raw_days: {message}"] if message else []
    assert lines(f"{good}retention: {{raw_days: {value}}}\n") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}\n", ["1: database: is required: add database: {url: ...}", f"1: {NO_SITES}"]),
        (MINIMAL, [f"1: {NO_SITES}"]),
        (MINIMAL + "sites: {}\n", [f"2: {NO_SITES}"]),
        (MINIMAL + "sites:\n", ["2: sites: has no value: give one, or remove the line"]),
        (MINIMAL + "sites: [acme]\n", ["2: sites: must be a mapping (key: value lines)"]),
    ],
)
def test_a_configuration_has_a_site(lines, text, expected):
    assert lines(text) == [f"config.yaml:{line}" for line in expected]


# --- include


def test_each_team_keeps_its_own_file(loaded, good):
    files = {"sites.d/other.yaml": SITE, "sites.d/.hidden.yaml": "not read", "sites.d/readme.txt": "not read"}
    config = loaded(good + "include: [sites.d/*.yaml]\n", files)
    assert list(config.sites) == ["acme", "other"]


def test_sites_may_all_be_in_included_files(loaded):
    config = loaded(MINIMAL + "include: ['${WHERE}.yaml']\n", {"teams.yaml": SITE}, environ={"WHERE": "teams"})
    assert list(config.sites) == ["other"]


def test_a_file_that_is_included_twice_is_read_once(loaded):
    files = {"d/a.yaml": "include: [b.yaml]\n", "d/b.yaml": SITE}
    assert list(loaded(MINIMAL + "include: [d/*.yaml, d/b.yaml]\n", files).sites) == ["other"]


def test_an_absolute_pattern_is_possible(loaded, tmp_path):
    assert loaded(MINIMAL + f"include: ['{tmp_path}/d/*']\n", {"d/b": SITE}).sites


@pytest.mark.parametrize(
    ("include", "files", "expected"),
    [
        ("sites.d/*.yaml", {}, [f"config.yaml:24: include: {NOT_A_LIST}"]),
        ("[none/*.yaml]", {}, []),
        ("[7, '']", {}, [f"config.yaml:24: include[0]: {NAMELESS}", f"config.yaml:24: include[1]: {NAMELESS}"]),
        ("\n- none/*.yaml\n- no.yaml", {}, [f"config.yaml:26: include[1]: no.yaml cannot be read: {MISSING}"]),
        ("\n- ~", {}, ["config.yaml:25: include[0]: has no value: give one, or remove the line"]),
        ("[d]", {"d/x": ""}, ["config.yaml:24: include[0]: d cannot be read: Is a directory"]),
        ("[config.yaml]", {}, [f"config.yaml:24: include[0]: config.yaml {ITSELF}"]),
        (
            "[d/b.yaml]",
            {"d/b.yaml": "include: [c.yaml]\n", "d/c.yaml": "sites: {}\ninclude:\n- b.yaml\n"},
            [f"d/c.yaml:3: include[0]: b.yaml {ITSELF}"],
        ),
        ("[b.yaml]", {"b.yaml": "sites: [x]\n"}, ["b.yaml:1: sites: must be a mapping (key: value lines)"]),
        ("[b.yaml]", {"b.yaml": ""}, ["b.yaml:1: is empty: remove the file, or write the settings"]),
        ("[b.yaml]", {"b.yaml": "sites:\n  x:\n"}, ["b.yaml:2: sites.x: has no value: give one, or remove the line"]),
        (
            "[b.yaml]",
            {"b.yaml": f"{SITE}server: {{port: 1}}\n"},
            ["b.yaml:5: server: belongs in the main file: an included file has only sites and include"],
        ),
        (
            "[b.yaml]",
            {"b.yaml": "sites:\n  acme: {}\n  other: {origin: []}\n"},
            [
                "b.yaml:2: sites.acme: is already defined in config.yaml:6: keep one",
                f"b.yaml:3: sites.other.faurya: {NO_FAURYA}",
                "b.yaml:3: sites.other.origin: unknown key: did you mean origins?",
                "b.yaml:3: sites.other.providers: is required: at least one connection to a payment provider",
            ],
        ),
    ],
)
def test_what_can_be_wrong_with_included_files(lines, good, include, files, expected):
    assert lines(f"{good}include: {include}\n", files) == expected


def test_an_included_file_that_cannot_be_read_may_hold_the_sites(lines):
    text = MINIMAL + "include: [b.yaml, c.yaml]\n"
    assert lines(text, {"b.yaml": "a: [\n"}) == [
        "b.yaml:2: YAML cannot be read here: expected the node content, but found ...",
        f"config.yaml:2: include[1]: c.yaml cannot be read: {MISSING}",
    ]


# --- .env and secret files


def test_the_environment_beats_the_env_file(loaded):
    dotenv = "export WRITE_KEY='from .env'\nAPI_KEY=\"${NOT_EXPANDED}\"  # remark\nWEBHOOK_SECRET=from .env\nUNSET\n"
    site = loaded(files={".env": "\ufeff" + dotenv}, environ={"WEBHOOK_SECRET": "from environ"}).sites["acme"]
    settings = site.providers["paddle"].settings
    assert site.faurya.write_key.get_secret_value() == "from .env"
    assert settings.api_key.get_secret_value() == "${NOT_EXPANDED}"
    assert settings.webhook_secrets[0].get_secret_value() == "from environ"


def test_an_empty_variable_of_the_environment_beats_the_env_file(lines):
    expected = ["config.yaml:12: sites.acme.faurya.write_key: is empty: a secret must have a value"]
    environ = {"WRITE_KEY": "", "API_KEY": "k", "WEBHOOK_SECRET": "s"}
    assert lines(files={".env": "WRITE_KEY=k\n"}, environ=environ) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("A=1\nnot understood\n'broken\n", [2, 3]),
        ("A=1\n", []),
        ("", []),
    ],
)
def test_a_line_of_the_env_file_that_is_not_understood_is_named(lines, content, expected):
    found = lines(files={".env": content})
    assert found == [f".env:{line}: cannot be understood: write NAME=value" for line in expected]


def test_an_env_file_that_cannot_be_read_is_named(lines, tmp_path):
    (tmp_path / ".env").mkdir()
    assert lines() == [".env: cannot be read: Is a directory"]


def test_a_secret_may_be_in_a_file(loaded, good, tmp_path):
    text = good.replace("${WRITE_KEY}", "${file:secrets/write}").replace(
        "${API_KEY}", f"${{file:{tmp_path}/secrets/api}}"
    )
    site = loaded(text, {"secrets/write": "from a file\n", "secrets/api": "k\r\n"}).sites["acme"]
    assert site.faurya.write_key.get_secret_value() == "from a file"
    assert site.providers["paddle"].settings.api_key.get_secret_value() == "k"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${file:absent}", f"absent cannot be read: {MISSING}"),
        ("${file:}", " cannot be read: Is a directory"),
        ('"${file:a\\0b}"', "a\0b cannot be read: its name contains a NUL"),
    ],
)
def test_a_secret_file_that_cannot_be_read_is_named(changed, value, message):
    assert changed("${WRITE_KEY}", value) == [f"config.yaml:12: sites.acme.faurya.write_key: {message}"]


def test_a_variable_that_is_not_utf8_is_refused(lines):
    environ = {"WRITE_KEY": "a\udcffb", "API_KEY": "k", "WEBHOOK_SECRET": "s"}
    assert lines(environ=environ) == [f"config.yaml:12: sites.acme.faurya.write_key: {NOT_TEXT}"]
