"""
Who the visitor of a demo shop is. Pure: cookies in, cookies out.

Faurya's script keeps ids in cookies of these names and shows them to the page as globals; the shop's page does the same
with made-up ones. The site is part of the names because cookies do not tell ports apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

YEAR = 365 * 24 * 3600
"""Seconds."""

GLOBALS = ("__FAURYA_VISITOR_ID__", "__FAURYA_SESSION_ID__", "__FAURYA_ATTRIBUTION_TOKEN__")


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor with Faurya's ids."""

    visitor_id: str
    session_id: str
    token: str

    @property
    def globals(self) -> dict[str, str]:
        """What Faurya's script leaves on the page's window."""
        return dict(zip(GLOBALS, (self.visitor_id, self.session_id, self.token), strict=True))


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie to set; one without `max_age` (seconds) ends with the browser's session, an empty one goes away."""

    name: str
    value: str
    max_age: int | None = None


def cookie_names(site: str) -> tuple[str, str, str]:
    """Return the names of the cookies for visitor, session and token."""
    return f"faurya_visitor_id_{site}", f"faurya_session_id_{site}", f"faurya_token_{site}"


def without_script_name(site: str) -> str:
    """Return the name of the cookie of a visitor whose browser blocks Faurya's script."""
    return f"without_faurya_{site}"


def visitor_of(site: str, cookies: Mapping[str, str], draw: Callable[[int], str]) -> Visitor:
    """Return the visitor that the cookies name; what they lack is made up. `draw(n)` gives random text of n bytes."""
    visitor_name, session_name, token_name = cookie_names(site)
    return Visitor(
        cookies.get(visitor_name) or f"site_{site}:visitor_{draw(4)}",
        cookies.get(session_name) or f"session_{draw(4)}",
        cookies.get(token_name) or f"token_{draw(4)}",
    )


def remembered(site: str, visitor: Visitor) -> tuple[Cookie, ...]:
    """Return the cookies that keep a visitor: the visitor for a year, the session until the browser closes."""
    visitor_name, session_name, token_name = cookie_names(site)
    return (
        Cookie(visitor_name, visitor.visitor_id, YEAR),
        Cookie(session_name, visitor.session_id),
        Cookie(token_name, visitor.token),
    )
