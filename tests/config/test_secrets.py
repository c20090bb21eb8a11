"""Secrets stay secret, and all of them are known."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.config import secret_values
from gateway.config.secrets import fields_by_key, secret_leaves

LOOSE = """\
      loose:
        environment: sandbox
        callbackKey: alias-secret
        secret_bytes: bytes-secret
        accounts: [{token: nested-secret}]
        by_name: {a: mapped-secret}
    plans:
"""


def test_every_secret_of_a_configuration_is_known(loaded, good):
    text = good.replace("    plans:\n", LOOSE).replace(
        "    faurya:", "    checkout: {backend_key: back-secret}\n    faurya:"
    )
    url = "postgresql://user:p%40ss@db.example/x?sslmode=require&sslpassword=ssl-secret"
    assert secret_values(loaded(text.replace("url: embedded", f"url: {url}"))) == {
        "faurya-write-key-1",
        "provider-api-key-1",
        "webhook-secret-1",
        "alias-secret",
        "bytes-secret",
        "nested-secret",
        "mapped-secret",
        "back-secret",
        url,
        "p%40ss",
        "p@ss",
        "ssl-secret",
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("embedded", set()),
        ("postgresql://db.example/x", {"postgresql://db.example/x"}),
        ("postgresql:///x?host=/run/postgresql", {"postgresql:///x?host=/run/postgresql"}),
        ("postgresql://u:pw@a:1,b:2/x", {"postgresql://u:pw@a:1,b:2/x", "pw"}),
        ("postgresql://h/x?password=pw", {"postgresql://h/x?password=pw", "pw"}),
    ],
)
def test_the_secrets_of_a_database_are_its_address_and_its_passwords(loaded, good, url, expected):
    known = secret_values(loaded(good.replace("url: embedded", f"url: {url}")))
    assert known - {"faurya-write-key-1", "provider-api-key-1", "webhook-secret-1"} == expected


def test_a_configuration_does_not_show_its_secrets(loaded, good):
    text = good.replace("    plans:\n", LOOSE).replace("url: embedded", "url: postgresql://u:db-secret@h/x")
    config = loaded(text)
    everything = f"{config} {config!r} {config.model_dump()} {config.model_dump_json()}"
    assert not [secret for secret in (*secret_values(config), "db-secret") if secret in everything]


class Inner(BaseModel):
    token: SecretStr
    note: str = ""


class Outer(BaseModel):
    plain: str
    one: SecretStr | None = None
    many: tuple[SecretStr, ...] = ()
    inner: Inner | None = None
    inners: dict[str, list[Inner]] = {}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"plain": "x", "one": "s"}, [(("one",), "s")]),
        ({"many": ["a", 7, "b"]}, [(("many", 0), "a"), (("many", 2), "b")]),
        ({"many": "a"}, []),
        ({"one": ["a", {"b": "c"}]}, [(("one", 0), "a"), (("one", 1, "b"), "c")]),
        ({"inner": {"token": "t", "note": "n"}}, [(("inner", "token"), "t")]),
        ({"inner": "t"}, []),
        ({"inners": {"x": [{"token": "t"}]}}, [(("inners", "x", 0, "token"), "t")]),
        ("text", []),
    ],
)
def test_secrets_are_found_before_a_model_accepts_them(raw, expected):
    assert list(secret_leaves(Outer, raw)) == expected


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    key: str = Field(validation_alias="apiKey")


@pytest.mark.parametrize(("model", "keys"), [(Aliased, {"key", "apiKey"}), (Inner, {"token", "note"})])
def test_a_field_is_known_by_every_key_that_a_file_may_use(model, keys):
    assert fields_by_key(model).keys() == keys
