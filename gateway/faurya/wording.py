"""
Does an error text say that the payment is already recorded?

Faurya answers 400 for a duplicate transaction and documents no wording for it
(https://www.faurya.com/docs/api-reference/payments/create), so the text is searched for the words that such messages
use, after taking out the phrases that use them otherwise: "visitor does not exist" is no duplicate.
"""

import re

DUPLICATE_WORDS = re.compile(r"\b(?:duplicat(?:e|es|ed|ion)|already|exists?|uniqu(?:e|eness))\b")

ENDED = "deleted|removed|archived|expired|disabled|suspended|closed|blocked|banned|cancell?ed|revoked|reached|exceeded"

REQUIRED = "must|should|needs? to|has to|have to|required to"

OTHER_MEANINGS = tuple(
    re.compile(pattern)
    for pattern in (
        # "does not exist", "doesn't yet exist", "non-existent" has no word of ours; "must not exist" is a duplicate
        r"(?<!must )(?<!should )(?:\bnot|n't|\bnever|\bno longer|\bcannot|\bnon) (?:(?:yet|already) )*exists?\b",
        r"\bneither\b[^.;]{0,60}\bexists?\b",
        r"\bno (?!already)\w+(?: (?!already)\w+){0,3} exists?\b",
        # "the visitor must already exist on this site", "ensure that the visitor exists"
        rf"\b(?:{REQUIRED}) (?:already|(?:first )?exist)\b(?: exist\b)?",
        r"\b(?:ensure|verify|make sure|check (?:that|if|whether))\b[^.;]{0,60}\bexists?\b",
        # "this site has already been deleted", "the limit is already reached"
        rf"\balready (?:been )?(?:{ENDED})\b",
        r"\bnot (?:an? )duplicate\b",
        # faults of the payload, not of the payment
        r"\bduplicated? (?:metadata )?(?:keys|fields?|parameters?|headers?|propert(?:y|ies))\b",
        r"\bduplicated? (?:metadata )?key in\b",
        r"\bmetadata\b[^.;]{0,40}\b(?:unique|duplicated?)\b",
        r"\bunique visitors?\b",
        # fields of a JSON answer: {"exists": false}
        r'\b(?:exists?|duplicate|unique|already \w+)" ?: ?(?:false|null|0|"")',
    )
)


def speaks_of_duplicate(body: str) -> bool:
    """Say whether an answer's body reads as "this payment is already recorded"."""
    text = _plain(body)
    for phrase in OTHER_MEANINGS:
        text = phrase.sub(" ", text)
    return DUPLICATE_WORDS.search(text) is not None


def _plain(body: str) -> str:
    """Lower case, camelCase and snake_case as words, one kind of apostrophe, single spaces."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", body)
    apostrophes = words.replace("\\u2019", "'").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return re.sub(r"[\s_-]+", " ", apostrophes).lower()
