"""A provider that is none of ours: it publishes keys and status lists, and signs what a test tells it."""

import asyncio
import base64
import json
import warnings
import zlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.frozen_clock import FrozenClock

Claims = dict[str, Any]  # Any: what a JWT holds is for the test to say.
ISSUER = "https://id.example"
AUDIENCE = "https://api.example/orders"
LIST_URI = f"{ISSUER}/status-lists/0"


@cache
def rsa_key(kid: str, bits: int = 2048) -> RSAKey:
    """Make a key once for all tests: it costs more than most tests."""
    with warnings.catch_warnings():
        # joserfc warns of what is too small, which is what one test is about.
        warnings.simplefilter("ignore", SecurityWarning)
        return RSAKey.generate_key(bits, {"kid": kid, "use": "sig", "alg": "RS256"}, auto_kid=False)


def encoded(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def sign(header: Claims, claims: Claims, key: RSAKey) -> str:
    """Sign whatever it is: JOSE libraries would not sign half of what is tried here."""
    parts = ({name: value for name, value in part.items() if value is not None} for part in (header, claims))
    signing_input = ".".join(encoded(part) for part in parts)
    is_pss = header["alg"] == "PS256"
    assert key.private_key is not None
    signature = key.private_key.sign(
        signing_input.encode(),
        padding.PSS(padding.MGF1(hashes.SHA256()), 32) if is_pss else padding.PKCS1v15(),
        hashes.SHA512() if header["alg"] == "RS512" else hashes.SHA256(),
    )
    return f"{signing_input}.{encoded(signature)}"


@dataclass
class Provider:
    """What it signs with, publishes and answers; a test spoils one of them."""

    clock: FrozenClock
    key: RSAKey = field(default_factory=lambda: rsa_key("one"))
    published: list[Claims] = field(default_factory=list)
    name: str = ISSUER
    revoked: set[int] = field(default_factory=set)
    list_changes: Claims = field(default_factory=dict)
    readings: list[str] = field(default_factory=list)
    is_down: bool = False
    delay_seconds: float = 0

    def __post_init__(self) -> None:
        self.publish(self.key)
        paths = {
            "/.well-known/openid-configuration": self._metadata,
            "/jwks": self._jwks,
            "/status-lists/0": self._status_list,
        }
        self._app = Starlette(routes=[Route(path, self._answer) for path in paths])
        self._paths = paths

    def publish(self, *keys: RSAKey) -> None:
        self.published += [dict(key) for key in KeySet(list(keys)).as_dict(private=False)["keys"]]

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url=ISSUER)

    def access_token(
        self, *, key: RSAKey | None = None, header: Claims | None = None, **changes: object
    ) -> str:
        """Sign an access token that is right in every word but the changes (None leaves one out)."""
        signing_key = key or self.key
        now = int(self.clock().timestamp())
        claims: Claims = {
            "iss": ISSUER,
            "sub": "ada",
            "aud": AUDIENCE,
            "client_id": "app",
            "scope": "orders:read orders:write",
            "iat": now,
            "exp": now + 900,
            "jti": "token-1",
            "auth_time": now - 60,
            "acr": "phr",
        }
        members = {"alg": "RS256", "typ": "at+jwt", "kid": signing_key.kid} | (header or {})
        return sign(members, claims | changes, signing_key)

    def listed_token(self, index: int) -> str:
        """Sign an access token whose status stands in the list."""
        return self.access_token(status={"status_list": {"idx": index, "uri": LIST_URI}})

    def readings_of(self, path: str) -> int:
        return self.readings.count(path)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.readings.append(path)
        await asyncio.sleep(self.delay_seconds)
        return Response(status_code=503) if self.is_down else self._paths[path]()

    def _metadata(self) -> Response:
        return JSONResponse({"issuer": self.name, "jwks_uri": f"{ISSUER}/jwks"})

    def _jwks(self) -> Response:
        return JSONResponse({"keys": self.published})

    def _status_list(self) -> Response:
        content = bytearray(125)
        for index in self.revoked:
            content[index // 8] |= 1 << index % 8
        now = int(self.clock().timestamp())
        claims: Claims = {
            "sub": LIST_URI,
            "iat": now,
            "exp": now + 60,
            "ttl": 10,
            "status_list": {"bits": 1, "lst": encoded(zlib.compress(bytes(content), 9))},
        }
        header = {"alg": "RS256", "typ": "statuslist+jwt", "kid": self.key.kid}
        changes = dict(self.list_changes)
        header |= changes.pop("header", {})
        key = changes.pop("key", self.key)
        return Response(sign(header, claims | changes, key), media_type="application/statuslist+jwt")
