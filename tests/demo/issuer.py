"""A small provider that is none of ours: it serves keys and tokens as a test tells it, over real HTTP."""

import asyncio
import base64
import hashlib
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.server_process import free_port

Claims = dict[str, Any]  # Any: what a JWT holds is for the test to say.
AUDIENCE = "http://localhost:9000/api"
CLIENT_ID = "demo"
CLIENT_SECRET = "the demo's secret"
SUBJECT = "ada"
START_TIMEOUT_SECONDS = 10


def new_key(key_id: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": key_id, "use": "sig", "alg": "RS256"}, auto_kid=False)


@cache
def _first_key() -> RSAKey:
    """One key for all tests: making one costs more than most tests."""
    return new_key("one")


@dataclass
class Issuer:
    """What it signs with, publishes and answers; a test spoils one of them."""

    address: str
    key: RSAKey = field(default_factory=_first_key)
    published: list[RSAKey] = field(default_factory=list)
    name: str = ""
    jwks_readings: int = 0
    metadata_readings: int = 0
    revoked: set[int] = field(default_factory=set)
    is_down: bool = False
    token_answer: Claims = field(default_factory=dict)
    token_status: int = 200
    is_holding_tokens: bool = False
    token_requests: list[dict[str, str]] = field(default_factory=list)
    person: Claims = field(
        default_factory=lambda: {"sub": SUBJECT, "name": "Ada", "email": "ada@example.com"}
    )

    def __post_init__(self) -> None:
        self.name = self.name or self.address
        self.published = self.published or [self.key]

    def access_token(self, *, key: RSAKey | None = None, typ: str = "at+jwt", **changes: object) -> str:
        """Sign an access token that is right in every claim but the changes (None leaves one out)."""
        now = int(time.time())
        claims: Claims = {
            "iss": self.address,
            "sub": SUBJECT,
            "aud": AUDIENCE,
            "client_id": CLIENT_ID,
            "scope": "openid profile",
            "iat": now,
            "exp": now + 300,
            "jti": "token-1",
        }
        return sign(claims | changes, key=key or self.key, typ=typ)

    def id_token(self, *, nonce: str | None, access_token: str, **changes: object) -> str:
        """Sign an ID Token that is right in every claim but the changes."""
        now = int(time.time())
        digest = hashlib.sha256(access_token.encode()).digest()[:16]
        claims: Claims = {
            "iss": self.address,
            "sub": SUBJECT,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "at_hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        }
        return sign(claims | changes, key=self.key, typ="JWT")

    def answer(self, *, nonce: str | None, **changes: object) -> None:
        """Prepare what the token endpoint says next; the changes are the ID Token's."""
        access_token = self.access_token(jti=f"token-{len(self.token_requests) + 1}")
        self.token_answer = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 300,
            "refresh_token": f"refresh-{len(self.token_requests) + 1}",
            "id_token": self.id_token(nonce=nonce, access_token=access_token, **changes),
        }

    async def metadata(self, _request: Request) -> Response:
        self.metadata_readings += 1
        if self.is_down:
            return Response(status_code=503)
        return JSONResponse(
            {
                "issuer": self.name,
                "authorization_endpoint": f"{self.address}/authorize",
                "token_endpoint": f"{self.address}/token",
                "userinfo_endpoint": f"{self.address}/userinfo",
                "end_session_endpoint": f"{self.address}/logout",
                "jwks_uri": f"{self.address}/jwks",
                "id_token_signing_alg_values_supported": ["RS256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def jwks(self, _request: Request) -> Response:
        self.jwks_readings += 1
        return JSONResponse(KeySet(list(self.published)).as_dict(private=False))

    def status_of(self, index: int) -> Claims:
        """Spell the `status` claim of a token at this place of the one list."""
        return {"status_list": {"idx": index, "uri": f"{self.address}/status-lists/0"}}

    async def status_list(self, _request: Request) -> Response:
        bits = bytearray(16)
        for index in self.revoked:
            bits[index // 8] |= 1 << index % 8
        now = int(time.time())
        lst = base64.urlsafe_b64encode(zlib.compress(bits)).rstrip(b"=").decode()
        claims: Claims = {
            "sub": f"{self.address}/status-lists/0",
            "iat": now,
            "exp": now + 300,
            "ttl": 10,
            "status_list": {"bits": 1, "lst": lst},
        }
        token = sign(claims, key=self.key, typ="statuslist+jwt")
        return Response(token, media_type="application/statuslist+jwt")

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.token_requests.append(form | {"authorization": request.headers.get("authorization", "")})
        while self.is_holding_tokens:  # noqa: ASYNC110 - the test runs in another thread
            await asyncio.sleep(0.01)
        return JSONResponse(self.token_answer, status_code=self.token_status)

    async def userinfo(self, _request: Request) -> Response:
        return JSONResponse(self.person)


def sign(claims: Claims, *, key: RSAKey, typ: str) -> str:
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "RS256", "typ": typ, "kid": key.kid}, present, key)


class IssuerServer:
    """Listens once for many tests; each of them gets an issuer that nobody spoilt yet."""

    def __init__(self) -> None:
        self._port = free_port()
        self._issuer = self.fresh()
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])
        config = uvicorn.Config(app, host="localhost", port=self._port, log_config=None, ws="none")
        self.server = uvicorn.Server(config)

    def fresh(self) -> Issuer:
        """Answer a new issuer at the same address; from now on it is the one that answers."""
        self._issuer = Issuer(address=f"http://localhost:{self._port}")
        return self._issuer

    async def _answer(self, request: Request) -> Response:
        answers = {
            "/.well-known/openid-configuration": self._issuer.metadata,
            "/jwks": self._issuer.jwks,
            "/status-lists/0": self._issuer.status_list,
            "/token": self._issuer.token,
            "/userinfo": self._issuer.userinfo,
        }
        return await answers[request.url.path](request)


@contextmanager
def running_server() -> Iterator[IssuerServer]:
    running = IssuerServer()
    thread = threading.Thread(target=running.server.run)
    thread.start()
    try:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not running.server.started:
            assert time.monotonic() < deadline, "the issuer did not start"
            time.sleep(0.01)
        yield running
    finally:
        running.server.should_exit = True
        thread.join()
