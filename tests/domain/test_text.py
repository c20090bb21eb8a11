"""Text that Postgres, JSON and a log line can all carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import Malformed
from gateway.domain.text import MAX_TEXT, checked, checked_or_none, is_storable, printable


@pytest.mark.parametrize("value", ["a", " ", "\n", "Ünï", "\U0001f600", "\ud7ff", "\ue000", "x" * MAX_TEXT])
def test_ordinary_text_passes_unchanged(value):
    assert is_storable(value)
    assert checked(value, "id") is value
    assert checked_or_none(value, "id") is value


@pytest.mark.parametrize("value", ["a\0", "\0", "\ud800", "a\udfffb", "\ud83d\ude00"])
def test_nul_and_lone_surrogates_are_malformed(value):
    assert not is_storable(value)
    for check in (checked, checked_or_none):
        with pytest.raises(Malformed, match="id contains a NUL or a lone surrogate"):
            check(value, "id")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_whatever_is_storable_survives_utf_8(value):
    assert is_storable(value)
    assert value.encode().decode() == value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "id must be a string, not NoneType"),
        (7, "id must be a string, not int"),
        (b"a", "id must be a string, not bytes"),
        (True, "id must be a string, not bool"),
        ("", "id must not be empty"),
        ("x" * 11, "id has 11 characters; at most 10 are accepted"),
    ],
)
def test_what_cannot_be_kept_is_malformed_and_says_why(value, says):
    with pytest.raises(Malformed) as refused:
        checked(value, "id", 10)
    assert str(refused.value) == says


def test_the_error_does_not_repeat_the_value():
    with pytest.raises(Malformed) as refused:
        checked("secret-" * 10 + "\0", "token")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("value", [None, ""])
def test_none_and_the_empty_string_are_absent(value):
    assert checked_or_none(value, "id") is None


@pytest.mark.parametrize("value", [0, False, [], b""])
def test_other_empty_values_are_not_absent_but_malformed(value):
    with pytest.raises(Malformed, match="must be a string"):
        checked_or_none(value, "id")


def test_the_limit_holds_for_optional_text_too():
    with pytest.raises(Malformed, match="at most 3"):
        checked_or_none("abcd", "id", 3)


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [
        ("plain", 10, "plain"),
        ("two\nlines", 10, "two\nlines"),
        ("exactly-10", 10, "exactly-10"),
        ("exactly-11c", 10, "exactly-1…"),
        ("tab\tnul\0bell\a", 20, "tab\ufffdnul\ufffdbell\ufffd"),
        ("\x1b[31mred", 20, "\ufffd[31mred"),
        ("\ud800", 5, "\ufffd"),
        ("\u202egnp.exe", 10, "\ufffdgnp.exe"),
        ("", 5, ""),
    ],
)
def test_what_is_shown_is_safe_and_short(value, limit, shown):
    assert printable(value, limit) == shown


@given(st.text(st.characters()), st.integers(min_value=1, max_value=50))
def test_whatever_is_shown_can_be_stored_and_keeps_the_limit(value, limit):
    shown = printable(value, limit)
    assert is_storable(shown)
    assert len(shown) <= limit
