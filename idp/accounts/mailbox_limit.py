from idp.errors import TooManyRequests
from idp.web.rate_limit import RateLimiter


async def may_receive(rate_limiter: RateLimiter, *, normalized: str) -> bool:
    """Count one mail that a stranger causes for this mailbox; False when there were too many.

    The caller answers the same either way: nobody learns what happens in another's mailbox.
    """
    try:
        await rate_limiter.count("mail", normalized)
    except TooManyRequests:
        return False
    return True
