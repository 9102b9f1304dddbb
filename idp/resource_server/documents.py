"""Reading what the provider publishes: small documents, without redirects, with an end."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import httpx

from idp.resource_server.errors import UnavailableError

TIMEOUT_SECONDS = 3.0
MAX_BYTES = 1_000_000
OpenHttp: TypeAlias = Callable[[], httpx.AsyncClient]


def open_http() -> httpx.AsyncClient:
    """Open a client for one document; no variable of the environment sends it elsewhere."""
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False, follow_redirects=False)


async def read_document(address: str, *, accept: str, http: OpenHttp) -> bytes:
    """Answer what stands at an address. Raises UnavailableError."""
    document = bytearray()
    try:
        async with http() as client, client.stream("GET", address, headers={"Accept": accept}) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                document += chunk
                if len(document) > MAX_BYTES:
                    raise UnavailableError("the provider's document is too long")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as fault:
        raise UnavailableError("the provider's document could not be read") from fault
    if response.status_code != 200:  # noqa: PLR2004 - a redirect, which is not followed
        raise UnavailableError("the provider's document is not there")
    return bytes(document)


# Any: a JSON document.
async def read_json(address: str, *, http: OpenHttp) -> dict[str, Any]:
    """Answer the JSON object at an address. Raises UnavailableError."""
    document = await read_document(address, accept="application/json", http=http)
    try:
        content = json.loads(document)
    except ValueError as fault:
        raise UnavailableError("the provider's document is not JSON") from fault
    if not isinstance(content, dict):
        raise UnavailableError("the provider's document is not an object")
    return content
