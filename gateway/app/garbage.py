"""
The garbage collector of a process that serves.

Reference counts free nearly everything that a request makes. What is loaded at the start stays for good, and looking
through it again and again is the greater part of the collector's work.
"""

import gc

YOUNG = 20_000
"""Objects made and not freed between two looks at the young ones; a few requests make Python's own 700."""

MIDDLE, OLD = 10, 20


def settle() -> None:
    """Take what is there now out of the collector's sight, and let it look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
