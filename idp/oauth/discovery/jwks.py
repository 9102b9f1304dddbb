from starlette.requests import Request
from starlette.responses import Response

from idp.clock import Clock
from idp.keys.keyring import Keyring
from idp.settings import Settings
from idp.web.cached_document import CachedDocument
from idp.web.cors import public_preflight


class JwksEndpoint:
    """`/jwks` (RFC 7517 §5): the public keys, from memory; verifiers may keep them for max-age."""

    def __init__(self, *, keyring: Keyring, settings: Settings, clock: Clock) -> None:
        self._keyring = keyring
        self._settings = settings
        self._clock = clock

    async def options(self, request: Request) -> Response:
        return public_preflight()

    async def get(self, request: Request) -> Response:
        document = CachedDocument(
            self._keyring.jwks(now=self._clock()), max_age_seconds=self._settings.keys.jwks_max_age_seconds
        )
        return document.response(request)
