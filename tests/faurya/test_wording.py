"""Which error texts read as "already recorded"."""

import pytest

from gateway.faurya.wording import speaks_of_duplicate

DUPLICATES = [
    "Duplicate transaction",
    "duplicate",
    "Duplicates are not allowed",
    '{"error":"DUPLICATE_TRANSACTION"}',
    '{"error":"duplicateTransaction"}',
    '{"code":"transaction_already_recorded","message":"Nothing was changed"}',
    "A payment with that transaction_id already exists",
    "Transaction exists.",
    "transaction_id already-used",
    "transaction_id must be unique",
    "transaction_id is not unique",
    "transaction_id must not already exist",
    "orderId should not exist",
    "payment txn_1 was ALREADY\n processed",
    "duplicate key value violates unique constraint",
    "E11000 duplicate key error collection: payments",
    "SQLSTATE 23505: violates uniqueness",
    "This payment has already been refunded",
    "order no 5 already exists",
    "Check failed: the transaction exists",
    '{"error": "conflict", "exists": true}',
    "Visitor does not exist. Transaction already recorded.",
]

OTHERS = [
    "",
    "Bad Request",
    "amount must be greater than zero",
    "bot visitor",
    "visitor does not exist",
    "Visitor doesn't exist",
    "Visitor doesn\N{RIGHT SINGLE QUOTATION MARK}t exist",
    '{"error":"Visitor doesn\\u2019t exist"}',
    "visitor does not yet exist on this site",
    "the site no longer exists",
    "site can not exist",
    "site cannot exist",
    "no such visitor exists",
    "no visitor with this id exists",
    "neither the visitor nor the session exists",
    "visitor_does_not_exist",
    "faurya_visitor_id must already exist on this site",
    "faurya_visitor_id must exist",
    "visitor needs to exist first",
    "the visitor must already be known",
    "Ensure that the visitor exists",
    "check that the visitor exists",
    "non-existent visitor",
    "this site has already been deleted",
    "event limit already reached",
    "this is not a duplicate, but the amount is wrong",
    "metadata has duplicate keys",
    "duplicate key in metadata",
    "metadata keys must be unique",
    "faurya_visitor_id must name a unique visitor",
    '{"visitor": {"exists": false}}',
    '{"duplicate":false,"error":"amount"}',
    "existing",
    "nonunique",
]


@pytest.mark.parametrize("text", DUPLICATES)
def test_texts_that_say_the_payment_is_there_are_read_so(text):
    assert speaks_of_duplicate(text)


@pytest.mark.parametrize("text", OTHERS)
def test_other_uses_of_the_same_words_are_not_taken_for_a_duplicate(text):
    assert not speaks_of_duplicate(text)
