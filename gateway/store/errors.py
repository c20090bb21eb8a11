"""
What can go wrong in the store.

    StoreError
    ├── StoreUnavailable   the database cannot be used now
    ├── StoreData          the database refused a value
    └── SchemaTooOld       migrate first
"""


class StoreError(Exception):
    """The database could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class StoreUnavailable(StoreError):
    """The database cannot be used now: check that it runs, accepts connections and is writable."""


class StoreData(StoreError):
    """The database refused a value."""


class SchemaTooOld(StoreError):
    """The database's schema is older than this version needs: run `faurya-gateway migrate`."""
