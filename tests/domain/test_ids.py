"""Identifiers: sortable and unguessable, the same webhook the same key, the same movement the same header."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.domain.ids import MAX_EVENT_KEY_BYTES, event_key, movement_key, uuid7, uuid7_time

moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
entropies = st.binary(min_size=10, max_size=16)


def test_the_example_of_rfc_9562_comes_out():
    """Appendix A.6: 2022-02-22 19:22:22 UTC, rand_a CC3, rand_b 18C4DC0C0C07398F."""
    entropy = (0xCC3 << 64 | 0x18C4DC0C0C07398F).to_bytes(10, "big")
    at = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    assert uuid7(at, entropy) == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@given(moments, entropies)
def test_a_uuid7_has_the_version_and_the_variant_whatever_the_entropy(at, entropy):
    made = uuid7(at, entropy)
    assert (made.version, made.variant) == (7, RFC_4122)


@given(moments, moments, entropies, entropies)
def test_later_milliseconds_sort_later_whatever_the_entropy(one, two, first, second):
    assume(abs(one - two) >= timedelta(milliseconds=1))
    assert (uuid7(one, first) < uuid7(two, second)) is (one < two)


@given(moments, entropies)
def test_the_millisecond_can_be_read_from_it_exactly(at, entropy):
    since = timedelta(milliseconds=uuid7(at, entropy).int >> 80)
    assert datetime(1970, 1, 1, tzinfo=UTC) + since == at.replace(microsecond=at.microsecond // 1000 * 1000)


@given(moments, entropies)
def test_the_moment_of_our_ids_is_read_back(at, entropy):
    assert uuid7_time(uuid7(at, entropy)) == at.replace(microsecond=at.microsecond // 1000 * 1000)


@pytest.mark.parametrize(
    "other",
    [
        UUID("4f4ef4b2-2f6c-4c3f-9a29-3c8f6b1b0a11"),
        UUID(int=0),
        UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"),
    ],
    ids=["random", "empty", "a time beyond the calendar"],
)
def test_an_id_that_begins_with_no_moment_has_none(other):
    assert uuid7_time(other) is None


@given(moments, entropies, entropies)
def test_different_entropy_gives_different_ids(at, one, two):
    def used(entropy):
        value = int.from_bytes(entropy[:10], "big")
        return value >> 64 & 0xFFF, value & (1 << 62) - 1

    assume(used(one) != used(two))
    assert uuid7(at, one) != uuid7(at, two)


def test_74_bits_of_the_entropy_are_used():
    at = datetime(2026, 11, 2, tzinfo=UTC)
    different = uuid7(at, b"\xff" * 10).int ^ uuid7(at, b"\0" * 10).int
    assert different.bit_count() == 74


def test_a_webhook_is_known_by_its_proven_event_id():
    assert event_key("evt_1", b"body", "") == event_key("evt_1", b"other body", "a=1") == "evt_1"


@pytest.mark.parametrize("absent", [None, ""])
def test_without_an_event_id_the_body_is_the_identity(absent):
    key = event_key(absent, b"body", "a=1")
    assert key == event_key(absent, b"body", "b=2")
    assert key != event_key(absent, b"body ", "a=1")
    assert key == "sha256:230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"


def test_without_a_body_the_query_is_the_identity():
    assert event_key(None, b"", "sale=1") == event_key(None, b"sale=1", "") != event_key(None, b"", "sale=2")


@pytest.mark.parametrize("query", ["", "\udcff", "a\0b"])
def test_any_query_has_a_key(query):
    assert event_key(None, b"", query).startswith("sha256:")


@pytest.mark.parametrize("event_id", ["x" * MAX_EVENT_KEY_BYTES, "ü" * 127, "evt with spaces"])
def test_an_id_that_fits_an_index_is_kept_as_it_is(event_id):
    assert event_key(event_id, b"", "") == event_id


@pytest.mark.parametrize("event_id", ["x" * (MAX_EVENT_KEY_BYTES + 1), "ü" * 128, "a\0b", "\ud800"])
def test_an_id_that_does_not_fit_is_hashed_and_still_tells_webhooks_apart(event_id):
    key = event_key(event_id, b"body", "")
    assert key.startswith("id-sha256:")
    assert len(key) < MAX_EVENT_KEY_BYTES
    assert key == event_key(event_id, b"other", "") != event_key(event_id + "y", b"body", "")


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5)


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_each_movement_has_a_key_of_its_own(one, two):
    assert (movement_key(*one) == movement_key(*two)) is (one == two)


def test_a_movement_s_key_is_safe_in_a_header_and_never_changes():
    """Another value for the same movement would count it twice after an upgrade."""
    key = movement_key("acme", "paddle", "payment:txn_1")
    assert key == "27f7690d1f2c17aec2d19bdcfb5959eaa3fd4d3c82ee73f3fdf31ce848e95b36"
