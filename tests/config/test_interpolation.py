"""`${...}` in one value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.interpolation import MALFORMED, Sources, Unresolved, interpolate

VARIABLES = {"A": "one", "B2_": "two", "EMPTY": "", "TRICKY": "${A} $$ a: b"}


def read(name: str) -> str:
    if name == "/run/secrets/x":
        return "from a file\r\n\n"
    raise Unresolved(f"{name} cannot be read")


SOURCES = Sources(VARIABLES.get, read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${A}", "one"),
        ("<${A}-${B2_}>", "<one-two>"),
        ("${A:-other}", "one"),
        ("${NO:-other}", "other"),
        ("${NO:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${NO:-a:-b c}", "a:-b c"),
        ("${NO:-a\nb}", "a\nb"),
        ("${NO:-5$$}", "5$"),
        ("${file:/run/secrets/x}", "from a file"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$$", "$$"),
        ("$$$", "$$"),
        ("$", "$"),
        ("$A costs 5$", "$A costs 5$"),
        ("${TRICKY}", "${A} $$ a: b"),
        ("}", "}"),
    ],
)
def test_an_expression_stands_for_its_value(text, expected):
    resolved = interpolate(text, SOURCES)
    assert (resolved.text, resolved.problems) == (expected, ())


@pytest.mark.parametrize(
    "text", ["${", "${}", "${A", "a ${ b", "${1A}", "${A-x}", "${A:x}", "${A b}", "${NO:-${A}}", "${É}", "${A\n}"]
)
def test_a_malformed_expression_says_what_to_write(text):
    assert interpolate(text, SOURCES).problems == (MALFORMED,)


def test_every_problem_of_a_value_is_named():
    assert interpolate("${X1}${file:/no}${A}${X2}", SOURCES).problems == (
        "X1 is not set: set X1 in the environment or in .env, or give a default: ${X1:-...}",
        "/no cannot be read",
        "X2 is not set: set X2 in the environment or in .env, or give a default: ${X2:-...}",
    )


def test_a_resolved_value_does_not_show_itself():
    assert "one" not in repr(interpolate("${A}", SOURCES))


@given(st.text())
def test_doubling_every_dollar_gives_the_text_itself(text):
    resolved = interpolate(text.replace("$", "$$"), SOURCES)
    assert (resolved.text, resolved.problems) == (text, ())


@given(st.text())
def test_what_a_variable_holds_is_never_looked_at_again(value):
    assert interpolate("${V}", Sources({"V": value}.get, read)).text == value
