"""Numbers for Prometheus: what was asked, how long it took, and the security events by their fixed words.

No label ever holds what a stranger wrote: paths are those of the URL table, reasons those of our own code.
"""

import os
from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
# prometheus_client's own variable: where the worker processes of one server leave their numbers.
_SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_requests = Counter("idp_requests_total", "Requests answered.", ("method", "path", "status"))
_seconds = Histogram(
    "idp_request_seconds",
    "Time from a request's head to the end of its answer.",
    ("path",),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
_events = Counter("idp_events_total", "Security events.", ("event", "outcome", "reason"))


def count_request(*, method: str, path: str, status: int, seconds: float) -> None:
    """Count one answered request; `path` is one of the URL table, or "other"."""
    _requests.labels(method, path, str(status)).inc()
    _seconds.labels(path).observe(seconds)


def count_event(event: str, *, outcome: str, reason: str | None) -> None:
    """Count one security event by its fixed words."""
    _events.labels(event, outcome, reason or "").inc()


def exposition() -> bytes:
    """Spell all numbers as Prometheus reads them, those of every worker process together."""
    return generate_latest(_registry())


def share_between_workers(folder: str) -> None:
    """Let the worker processes that start from now on leave their numbers in a folder of this server."""
    os.environ[_SHARED_FOLDER] = folder


def serve_apart(*, address: str, port: int) -> Callable[[], None]:
    """Serve the numbers on a port of their own; answer how to stop. Raises OSError when it is in use."""
    server, thread = start_http_server(port, addr=address, registry=_registry())

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _registry() -> CollectorRegistry:
    if _SHARED_FOLDER not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library leaves it open
    return registry
