import ipaddress
from collections.abc import Sequence
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_FORWARDED_LENGTH = 2000
UNKNOWN = "unknown"


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read the networks of our own proxies."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def resolve(peer: str, *, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Answer the caller's address: the right-most hop that is none of our own proxies.

    X-Forwarded-For counts when the peer is a trusted proxy, and only as far as addresses are well formed;
    what stands left of the first hop that we do not trust was written by a stranger.
    """
    address = _parse(peer)
    if address is None:
        return UNKNOWN
    for hop in _nearest_first(",".join(forwarded_for)):
        if not any(address in network for network in trusted):
            break
        nearer = _parse(hop)
        if nearer is None:
            break
        address = nearer
    return str(address)


def rate_limit_key(address: str) -> str:
    """Answer what counts as one caller: an IPv4 address, or the /64 that one IPv6 subscriber holds."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def _nearest_first(hops: str) -> list[str]:
    # A caller can put any number of hops before those that our proxies write: only the last ones matter.
    _, _, kept = f",{hops}"[-MAX_FORWARDED_LENGTH:].partition(",")
    return [hop.strip() for hop in reversed(kept.split(",")) if hop.strip()]


# The same callers come again and again, and each request asks three times.
@lru_cache(maxsize=1024)
def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
