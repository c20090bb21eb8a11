"""What pydantic finds wrong in a plugin's model, said for people."""

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from gateway.config.fields import validated

LIST = "must be a list ([a, b] or lines that begin with -)"
UNKNOWN = "unknown key: did you mean account?"


def _sold_out(value):
    raise PydanticCustomError("sold_out", "{value} is\nsold out", {"value": value})


def _even(value):
    if value % 2:
        raise AssertionError("must be even")
    return value


class Card(BaseModel):
    kind: Literal["card"]
    number: int


class Bank(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["bank"]
    account: str = Field(description="the number of the account")


class Settings(BaseModel):
    size: int | list[int] = 1
    pay: Annotated[Card | Bank, Field(discriminator="kind")] | None = None
    even: Annotated[int, AfterValidator(_even)] = 0
    token: Annotated[SecretStr, AfterValidator(lambda secret: _sold_out(secret.get_secret_value()))] | None = None
    color: Annotated[str, Field(pattern="^[a-z]+$", max_length=3)] = "red"
    ratio: float = 1
    level: Annotated[int, Field(gt=0, lt=9)] = 1
    names: Annotated[list[str], Field(max_length=1)] = []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"size": "big"}, [(("size",), "must be a whole number"), (("size",), LIST)]),
        ({"size": [1, "big"]}, [(("size",), "must be a whole number"), (("size", 1), "must be a whole number")]),
        ({"pay": {"kind": "card", "number": "x"}}, [(("pay", "number"), "must be a whole number")]),
        ({"pay": {"kind": "bank"}}, [(("pay", "account"), "is required: the number of the account")]),
        ({"pay": {"kind": "bank", "account": "1", "acount": 2}}, [(("pay", "acount"), UNKNOWN)]),
        ({"even": 3}, [(("even",), "must be even")]),
        ({"color": "RED"}, [(("color",), "must match ^[a-z]+$")]),
        ({"color": "green"}, [(("color",), "must have 3 or fewer characters")]),
        ({"ratio": "x"}, [(("ratio",), "must be a number")]),
        ({"level": 0}, [(("level",), "must be above 0")]),
        ({"level": 9}, [(("level",), "must be below 9")]),
        ({"names": ["a", "b"]}, [(("names",), "must have 1 or fewer entries")]),
        ([], [((), "must be a mapping (key: value lines)")]),
    ],
)
def test_an_error_has_its_place_and_says_what_to_do(raw, expected):
    assert validated(Settings, raw) == (None, tuple(expected))


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("a-long-secret", "(hidden) is sold out"),
        ("  padded-secret\n", "(hidden) is sold out"),
        ("is", "(hidden) (hidden) sold out"),
        ("old", "(hidden) is sold out"),
    ],
)
def test_a_plugins_own_message_shows_no_secret(secret, message):
    assert validated(Settings, {"token": secret}) == (None, ((("token",), message),))
