"""
What can go wrong between the gateway and a payment provider.

    ProviderError
    ├── Unavailable     again later
    ├── Malformed       never readable: park it, tell somebody
    ├── Rejected        the provider refused our request: show the caller
    └── Unsupported     this provider has no such thing: a normal answer
"""

from datetime import timedelta


class ProviderError(Exception):
    """Something between the gateway and a payment provider went wrong."""

    def __init__(self, message: str | None = None) -> None:
        first_line = (self.__doc__ or type(self).__name__).strip().partition("\n")[0]
        super().__init__(message or first_line)


class Unavailable(ProviderError):
    """The provider cannot answer now; the same call may succeed later."""

    def __init__(self, message: str | None = None, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Malformed(ProviderError):
    """The content cannot be understood, now or later; it is kept for a person to look at."""


class Rejected(ProviderError):
    """
    The provider refused our request.

    `code` is the provider's own error code and `request_id` its name for the request; both may be shown to the caller.
    """

    def __init__(self, message: str | None = None, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


class Unsupported(ProviderError):
    """This provider has no such thing."""
