"""How many checkouts a site and an address may create, by the `limits` library's moving window."""

from datetime import timedelta
from time import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from gateway.config import Limits
from gateway.web.errors import Problem


class CheckoutLimiter:
    """Counts in this process: with several processes each allows as much. A guard against floods, not a quota."""

    def __init__(self) -> None:
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    async def check(self, limits: Limits, site: str, remote_ip: str | None) -> None:
        """Count a checkout; raise a 429 with Retry-After where it is one too many."""
        per_address = RateLimitItemPerMinute(limits.checkouts_per_minute_per_ip)
        per_site = RateLimitItemPerMinute(limits.checkouts_per_minute)
        for item, names in ((per_address, ("address", site, remote_ip or "-")), (per_site, ("site", site))):
            if not await self._windows.hit(item, *names):
                stats = await self._windows.get_window_stats(item, *names)
                wait = timedelta(seconds=max(1.0, stats.reset_time - time()))
                raise Problem(
                    429, "rate_limited", "too many checkouts in a minute; wait and try again", retry_after=wait
                )
