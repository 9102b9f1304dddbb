import ipaddress

from starlette.requests import Request
from starlette.responses import Response

from idp import metrics

# A reverse proxy on this machine is a loopback caller too; one of these says that it speaks for another.
_FORWARDING = ("x-forwarded-for", "forwarded", "via", "x-real-ip")


class MetricsEndpoint:
    """`/metrics` on the main port: for callers on this machine alone; none when it has a port of its own."""

    def __init__(self, *, has_own_port: bool) -> None:
        self._has_own_port = has_own_port

    async def get(self, request: Request) -> Response:
        if self._has_own_port or not _is_local(request):
            return Response("Not found", status_code=404, media_type="text/plain")
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


def _is_local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _FORWARDING):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
