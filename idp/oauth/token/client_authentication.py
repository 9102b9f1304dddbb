"""Who the client is at the token endpoint (OAuth 2.1 §2.4)."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote_plus

from idp.errors import InvalidClient, InvalidRequest
from idp.keys.compact_jws import TokenError
from idp.oauth.token import client_assertion
from idp.web.parameters import Parameters

Method = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
METHODS: tuple[Method, ...] = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
MAX_HEADER_LENGTH = 2000

# One text for an unknown client, a disabled one, a wrong secret and a wrong method.
REFUSAL = "client authentication failed"


@dataclass(frozen=True, slots=True)
class PresentedClient:
    """What a request says of its client; nothing of it is checked yet."""

    unverified_client_id: str
    presented_secret: str | None = field(repr=False)
    method: Method
    unverified_assertion: str | None = field(default=None, repr=False)


def read_client(parameters: Parameters, *, authorizations: Sequence[str]) -> PresentedClient:
    """Find the one way by which a client presents itself; raises InvalidRequest or InvalidClient.

    `authorizations` are all of the request's Authorization headers.
    """
    body_id = parameters.get("client_id")
    body_secret = parameters.get("client_secret")
    if "client_assertion" in parameters.names() or "client_assertion_type" in parameters.names():
        return _read_assertion(parameters, has_other_method=bool(authorizations) or body_secret is not None)
    if len(authorizations) > 1:
        raise InvalidRequest("use one Authorization header")
    if not authorizations:
        if body_id is None:
            raise InvalidClient(REFUSAL, detail="no client_id")
        method: Method = "none" if body_secret is None else "client_secret_post"
        return PresentedClient(body_id, body_secret, method)
    # OAuth 2.1 §2.4: one method in each request.
    if body_secret is not None:
        raise InvalidRequest("use one way of client authentication, not two")
    client_id, secret = _read_basic(authorizations[0])
    if body_id is not None and body_id != client_id:
        raise InvalidRequest("client_id differs from that in the Authorization header")
    return PresentedClient(client_id, secret, "client_secret_basic")


def _read_assertion(parameters: Parameters, *, has_other_method: bool) -> PresentedClient:
    # OAuth 2.1 §2.4: one method in each request.
    if has_other_method:
        raise InvalidRequest("use one way of client authentication, not two")
    if parameters.get("client_assertion_type") != client_assertion.TYPE:
        raise InvalidRequest(f"client_assertion_type must be {client_assertion.TYPE}")
    assertion = parameters.require("client_assertion")
    try:
        client_id = client_assertion.unverified_client_id(assertion)
    except TokenError as fault:
        raise InvalidClient(REFUSAL, detail=str(fault)) from fault
    # RFC 7521 §4.2: a client_id beside it must be the same.
    if parameters.get("client_id") not in {None, client_id}:
        raise InvalidRequest("client_id differs from that in the client_assertion")
    return PresentedClient(client_id, None, "private_key_jwt", assertion)


def _read_basic(authorization: str) -> tuple[str, str]:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic" or len(credentials) > MAX_HEADER_LENGTH:
        raise InvalidClient(REFUSAL, detail="Authorization is not Basic")
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode("utf-8")
        encoded_id, colon, encoded_secret = text.partition(":")
        # RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
        client_id = unquote_plus(encoded_id, errors="strict")
        secret = unquote_plus(encoded_secret, errors="strict")
    except ValueError as fault:  # Also binascii.Error, UnicodeDecodeError; a header may hold any byte.
        raise InvalidClient(REFUSAL, detail="Basic credentials are malformed") from fault
    if not colon or not client_id or not secret:
        raise InvalidClient(REFUSAL, detail="Basic credentials are incomplete")
    return client_id, secret
