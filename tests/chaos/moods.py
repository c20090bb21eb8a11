"""
How Faurya answers a call, drawn from a seed: the ways in which an API can err. Pure.

A mood is a table of treatments with weights; `faurya.py` carries them out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """
    What happens to a call: whether its movement is recorded, and what comes back.

    `manner`: "answer" at once, "drip" the body over some seconds, "reset" the connection, "hang" until the caller gives
    up or the mood ends. With `status` None nothing is answered.
    """

    records: bool
    status: int | None = 200
    body: bytes = b'{"status":"success"}'
    headers: tuple[tuple[str, str], ...] = ()
    manner: str = "answer"


GOOD = Treatment(records=True)
DRIP = Treatment(records=True, manner="drip")
GARBAGE = Treatment(records=True, body=b"\xff\xfe<html>\x00 {not json")
REFUSED_500 = Treatment(records=False, status=500, body=b"Internal Server Error")
RECORDED_500 = Treatment(records=True, status=500, body=b"Internal Server Error")
BUSY_503 = Treatment(records=False, status=503, body=b"", headers=(("Retry-After", "2"),))
RESET_BEFORE = Treatment(records=False, status=None, manner="reset")
RESET_AFTER = Treatment(records=True, status=None, manner="reset")
HANG_BEFORE = Treatment(records=False, status=None, manner="hang")
HANG_AFTER = Treatment(records=True, status=None, manner="hang")
QUOTA = Treatment(records=False, status=429, body=b'{"error":"event limit reached"}', headers=(("Retry-After", "10"),))
BAD_KEY = Treatment(records=False, status=401, body=b'{"error":"invalid key"}')
NOT_FOUND = Treatment(records=False, status=404, body=b'{"error":"visitor not found"}')

REPEATS: Mapping[str, Sequence[Treatment]] = {
    "payments": (
        Treatment(records=False, status=400, body=b'{"error":"Duplicate transaction"}'),
        Treatment(records=False, status=409, body=b'{"error":"conflict"}'),
        Treatment(records=False, status=400, body=b'{"error":"Bad request"}'),
    ),
    "revenue": (
        Treatment(records=False, status=200, body=b'{"duplicate":true}'),
        Treatment(records=False, status=409, body=b'{"error":"already recorded"}'),
    ),
}
"""What a Faurya that recognizes repeats says to one. The last for payments has no word that tells."""

Table = Sequence[tuple[float, Treatment]]

CALM: Table = (
    (988, GOOD), (3, DRIP), (3, GARBAGE), (2, REFUSED_500), (1, RECORDED_500), (2, RESET_BEFORE), (1, RESET_AFTER),
)  # fmt: skip
ERRING: Table = (
    (30, GOOD), (5, DRIP), (10, GARBAGE), (15, REFUSED_500), (5, RECORDED_500), (15, BUSY_503), (10, RESET_BEFORE),
    (10, RESET_AFTER),
)  # fmt: skip
HANGING: Table = ((70, HANG_BEFORE), (30, HANG_AFTER))
MOODS: Mapping[str, Table] = {
    "calm": CALM,
    "erring": ERRING,
    "hanging": HANGING,
    "quota": ((1, QUOTA),),
    "bad_key": ((1, BAD_KEY),),
    "unknown_visitors": ((85, GOOD), (15, NOT_FOUND)),
    "good": ((1, GOOD),),
}


def drawn(mood: str, api: str, draw: Random) -> Treatment:
    """Return how a call is treated in a mood; only the payments dialect knows of visitors that are not found."""
    table = MOODS[mood]
    found = draw.choices([treatment for _, treatment in table], weights=[weight for weight, _ in table])[0]
    return GOOD if found is NOT_FOUND and api != "payments" else found
