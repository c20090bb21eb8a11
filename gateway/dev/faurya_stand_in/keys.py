"""What the application carries: the sites it knows and its books."""

from dataclasses import dataclass, field

from aiohttp import web

from gateway.dev.faurya_stand_in.books import Books


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInSite:
    """A site as Faurya knows it, with the credentials of both dialects."""

    name: str
    site_id: str
    write_key: str = field(repr=False)
    api_key: str = field(repr=False)


BOOKS = web.AppKey("BOOKS", Books)
SITES = web.AppKey("SITES", tuple[StandInSite, ...])
