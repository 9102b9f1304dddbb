import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from idp.errors import TooManyRequests
from idp.request_context import request_context
from idp.settings import RateLimit
from idp.web.client_address import rate_limit_key

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.rate_limit")


class RateLimiter:
    """Counts callers against the limits in the settings; over one, TooManyRequests is raised.

    When the shared counter (Redis) is out of reach, this process counts alone: signing in goes on.
    """

    def __init__(self, settings: RateLimit) -> None:
        self._limits: dict[str, RateLimitItem] = {
            "sign_in": parse(settings.sign_in),
            "ceremony": parse(settings.ceremony),
            "mail": parse(settings.mail),
            "token": parse(settings.token),
            "client_failures": parse(settings.client_failures),
        }
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = self._own
        if settings.storage_url != "memory://":
            self._shared = FixedWindowRateLimiter(_open_storage(settings.storage_url))

    async def count_caller(self, limit: str) -> None:
        """Count one request of the present caller's address."""
        context = request_context.get()
        await self.count(limit, rate_limit_key(context.address) if context else "none")

    async def count(self, limit: str, key: str) -> None:
        """Count one event; raises TooManyRequests when there were too many."""
        if not await self.note(limit, key):
            raise self._refusal(limit)

    async def note(self, limit: str, key: str) -> bool:
        """Count one event; answer whether it was within the limit."""
        item = self._limits[limit]
        try:
            return await self._shared.hit(item, limit, key)
        except (StorageError, OSError) as fault:
            log.warning("rate_limit_storage_unavailable", reason=type(fault).__name__)
            return await self._own.hit(item, limit, key)

    async def refuse_exhausted(self, limit: str, key: str) -> None:
        """Raise TooManyRequests if one more event would be too many, without counting one."""
        if not await self._has_room(limit, key, events=1):
            raise self._refusal(limit)

    async def is_untouched(self, limit: str, key: str) -> bool:
        """Whether no event was counted lately."""
        return await self._has_room(limit, key, events=self._limits[limit].amount)

    async def _has_room(self, limit: str, key: str, *, events: int) -> bool:
        item = self._limits[limit]
        try:
            return await self._shared.test(item, limit, key, cost=events)
        except (StorageError, OSError):
            return await self._own.test(item, limit, key, cost=events)

    def _refusal(self, limit: str) -> TooManyRequests:
        return TooManyRequests(retry_after_seconds=self._limits[limit].get_expiry(), detail=f"limit {limit}")


def _open_storage(url: str) -> Storage:
    storage = storage_from_string(f"async+{url}", wrap_exceptions=True, implementation="redispy")
    if not isinstance(storage, Storage):
        raise TypeError(url)
    return storage
