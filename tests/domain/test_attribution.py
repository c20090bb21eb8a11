"""Visitors' ids, and which source of them wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.attribution import MAX_ATTRIBUTION, NOBODY, Attribution, AttributionSource, choose
from gateway.domain.errors import Malformed

FIELDS = ("visitor_id", "session_id", "token")


@pytest.mark.parametrize("field", FIELDS)
def test_the_empty_string_counts_as_absent(field):
    assert Attribution(**{field: ""}) == NOBODY
    assert not Attribution(**{field: ""})


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["v", "site_1:visitor_2", "Ünï", "x" * MAX_ATTRIBUTION])
def test_each_id_makes_it_somebody(field, value):
    who = Attribution(**{field: value})
    assert who
    assert getattr(who, field) == value


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["x" * (MAX_ATTRIBUTION + 1), "a\0b", "\ud800", 7, b"v", ["v"], False])
def test_what_cannot_be_an_id_is_malformed_and_named(field, value):
    with pytest.raises(Malformed, match=field):
        Attribution(**{field: value})


def test_ids_are_taken_by_keyword_only_so_that_they_are_not_mixed_up():
    with pytest.raises(TypeError):
        Attribution("visitor", "session", "token")


def test_the_sources_are_listed_in_the_order_of_trust():
    assert [source.value for source in AttributionSource][:4] == ["checkout", "webhook", "payment", "subscription"]
    assert list(AttributionSource)[-1] is AttributionSource.NONE


maybe = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
people = st.builds(Attribution, visitor_id=maybe, session_id=maybe, token=maybe)
candidates = st.lists(st.tuples(st.sampled_from(AttributionSource), people), max_size=5)


@given(candidates)
def test_the_chosen_one_is_one_of_the_candidates_whole(found):
    source, who = choose(found)
    assert (source, who) in [*found, (AttributionSource.NONE, NOBODY)]


@given(candidates)
def test_the_first_with_a_visitor_wins_else_the_first_with_anything_else_nobody(found):
    chosen = choose(found)
    named = [pair for pair in found if pair[1].visitor_id]
    known = [pair for pair in found if pair[1]]
    if named:
        assert chosen == named[0]
    elif known:
        assert chosen == known[0]
    else:
        assert chosen == (AttributionSource.NONE, NOBODY)
