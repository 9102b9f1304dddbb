import asyncio
from collections.abc import Callable, Iterable

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from idp.resource_server.documents import OpenHttp, read_json
from idp.resource_server.errors import UnavailableError

MAX_AGE_SECONDS = 300
# Kept on while the provider is out of reach: its trouble is not to become everybody's.
LONGEST_STAY_SECONDS = 86_400
# Tokens with invented key ids must not make us ask the provider again and again.
UNKNOWN_INTERVAL_SECONDS = 60
RETRY_SECONDS = 1
SMALLEST_BITS = 2048
MAX_KEYS = 100
_NEVER = float("-inf")


class SigningKeys:
    """The provider's public RS256 keys, found by discovery; read again when old, or when one is unknown.

    However many requests wait for a reading, one is made.
    """

    def __init__(self, *, issuer: str, http: OpenHttp, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._jwks_uri: str | None = None
        self._keys: dict[str, RSAPublicKey] = {}
        self._read_at = _NEVER
        self._tried_at = _NEVER
        self._has_failed = False
        self._sought_unknown_at = _NEVER
        self._reading = asyncio.Lock()

    async def find(self, kid: str) -> RSAPublicKey | None:
        """Answer the key of exactly this id, or None when there is none. Raises UnavailableError."""
        # While the provider is out of reach, one request at a time tries, and the others don't wait for it.
        if self._should_read(kid) and not (self._has_failed and self._reading.locked()):
            async with self._reading:
                # Whoever held the lock before may have read what we want.
                if self._should_read(kid):
                    await self._read(kid)
        key = self._keys.get(kid)
        if key is not None and self._age() <= LONGEST_STAY_SECONDS:
            return key
        if self._has_failed:
            raise UnavailableError("the provider's keys could not be read")
        return None

    def _should_read(self, kid: str) -> bool:
        now = self._clock()
        if kid not in self._keys and self._read_at != _NEVER:
            return not 0 <= now - self._sought_unknown_at < UNKNOWN_INTERVAL_SECONDS
        is_fresh = kid in self._keys and 0 <= self._age() < MAX_AGE_SECONDS
        return not is_fresh and not 0 <= now - self._tried_at < RETRY_SECONDS

    async def _read(self, kid: str) -> None:
        if kid not in self._keys and self._read_at != _NEVER:
            self._sought_unknown_at = self._clock()
        begun_at = self._clock()
        try:
            # Exchanged whole: a key that the provider took back is gone here too.
            self._keys = await self._fetch()
            self._read_at = self._tried_at = begun_at
        except UnavailableError:
            # The next try begins at the discovery document: the address may have changed.
            self._jwks_uri = None
            self._tried_at = self._clock()
            self._has_failed = True
        else:
            self._has_failed = False

    async def _fetch(self) -> dict[str, RSAPublicKey]:
        if self._jwks_uri is None:
            metadata = await read_json(f"{self._issuer}/.well-known/openid-configuration", http=self._http)
            # OIDC Discovery §4.3: the document must be about the issuer that was asked for.
            if metadata.get("issuer") != self._issuer or not isinstance(metadata.get("jwks_uri"), str):
                raise UnavailableError("the provider calls itself by another name")
            self._jwks_uri = metadata["jwks_uri"]
        jwks = await read_json(self._jwks_uri, http=self._http)
        members = jwks.get("keys")
        keys = _usable(members[:MAX_KEYS]) if isinstance(members, list) else {}
        if not keys:
            raise UnavailableError("the provider publishes no key")
        return keys

    def _age(self) -> float:
        return self._clock() - self._read_at


def _usable(members: Iterable[object]) -> dict[str, RSAPublicKey]:
    keys: dict[str, RSAPublicKey] = {}
    for member in members:
        # RFC 7517 §4.2, §4.4: a key for encryption or for another algorithm proves no signature.
        if (
            not isinstance(member, dict)
            or member.get("kty") != "RSA"
            or not isinstance(member.get("kid"), str)
        ):
            continue
        if member.get("use", "sig") != "sig" or member.get("alg", "RS256") != "RS256":
            continue
        try:
            key = jwt.PyJWK(member, algorithm="RS256").key
        except (jwt.PyJWTError, ValueError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= SMALLEST_BITS:
            keys[member["kid"]] = key
    return keys
