from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.errors import OAuthError

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.health")

Check = Callable[[], Awaitable[str | None]]
"""Answers None when all is well, else a fixed word for what is not."""


class LivenessEndpoint:
    """`/healthz`: this process answers."""

    async def get(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})


class ReadinessEndpoint:
    """`/readyz`: this node can do its work; a balancer sends people elsewhere while it says 503."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def get(self, request: Request) -> Response:
        results = {name: await _run(check) for name, check in self._checks.items()}
        is_ready = all(result == "ok" for result in results.values())
        return JSONResponse(results, status_code=200 if is_ready else 503)


async def _run(check: Check) -> str:
    try:
        return await check() or "ok"
    except OAuthError as fault:
        log.warning("not_ready", detail=fault.detail)
        return "unreachable"
