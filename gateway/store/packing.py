"""
Many rows as one parameter of a statement: a JSON list of lists, which `jsonb_array_elements` takes apart again.

A statement per row costs the server more than its row, and an array per column costs the driver two checks of types for
every element; one text costs neither. Times travel as ISO 8601 with their zone and all microseconds, amounts as the
integers that they are.
"""

from collections.abc import Sequence

import orjson

from gateway.store.errors import StoreData


def packed(rows: Sequence[Sequence[object]]) -> str:
    """Return rows as one `jsonb` parameter; raise `StoreData` for what neither JSON nor Postgres can hold."""
    try:
        return orjson.dumps(rows).decode()
    except TypeError as error:  # a lone surrogate, an integer beyond 64 bits; Postgres itself refuses a NUL
        raise StoreData(f"the database refused a value ({type(error).__name__})") from error
