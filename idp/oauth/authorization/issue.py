"""Issuing a code: the birth of a grant."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.clients.client import Client
from idp.oauth import grant_token
from idp.oauth.authorization import acr
from idp.oauth.authorization.request import AuthorizationRequest
from idp.oauth.grant_token import GrantTokenKeys
from idp.oauth.tokens import claims, scope
from idp.settings import Tokens
from idp.storage import connections, grants, interactions
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Transaction
from idp.storage.grants import Grant
from idp.storage.interactions import Interaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """What a code is issued for."""

    request: AuthorizationRequest
    client: Client
    session: BrowserSession
    interaction: Interaction | None
    acr_ranking: Sequence[str]


async def issue_code(
    tx: Transaction, issuing: Issuing, *, keys: GrantTokenKeys, rules: Tokens, now: datetime
) -> str | None:
    """Make the grant and answer its code; None when session, consent or request ended meanwhile.

    The session's and the connection's rows are held until the commit: a sign-out or a withdrawal that
    answers before us prevents the grant, one that answers after us ends it.
    """
    request, session, interaction = issuing.request, issuing.session, issuing.interaction
    if not await grants.hold_session(tx, session_id=session.id):
        return None
    connection_epoch = await _connection_epoch(tx, issuing, now=now)
    if connection_epoch is None:
        return None
    # Last of all: None commits too, and a request that got no code must go on waiting.
    if interaction is not None and not await interactions.use(
        tx, interaction_id=interaction.id, browser_sha256=interaction.browser_sha256, now=now
    ):
        return None
    secret = grant_token.new_secret()
    outlives_session = scope.OFFLINE_ACCESS in request.scopes
    expires_at = now + timedelta(seconds=rules.refresh_absolute_lifetime_seconds)
    grant = Grant(
        id=grant_token.new_grant_id(milliseconds=int(now.timestamp() * 1000)),
        secret_sha256=hashlib.sha256(secret).digest(),
        status="active",
        generation=0,
        client_id=request.client_id,
        account_id=session.account_id,
        session_id=session.id,
        outlives_session=outlives_session,
        account_epoch=session.account_epoch,
        client_epoch=issuing.client.token_epoch,
        connection_epoch=connection_epoch,
        redirect_uri=request.target.redirect_uri.uri,
        code_challenge=request.code_challenge,
        nonce=request.nonce,
        scope=" ".join(request.scopes),
        resources=list(request.resources),
        claims=claims.of_request(userinfo=request.claims.userinfo, id_token=request.claims.id_token),
        auth_time=session.auth_time,
        amr=session.amr,
        acr=acr.told(session.acr, asked=request.acr_values, ranking=issuing.acr_ranking),
        proof_key_thumbprint=request.proof_key_thumbprint,
        status_index=await grants.next_status_index(tx),
        created_at=now,
        code_expires_at=now + timedelta(seconds=rules.code_lifetime_seconds),
        expires_at=expires_at if outlives_session else min(expires_at, session.expires_at),
        idle_expires_at=now + timedelta(seconds=rules.refresh_idle_lifetime_seconds),
    )
    await grants.insert(tx, grant)
    return grant_token.seal(keys, grant_id=grant.id, generation=0, secret=secret)


async def _connection_epoch(tx: Transaction, issuing: Issuing, *, now: datetime) -> int | None:
    account_id, client_id = issuing.session.account_id, issuing.client.id
    epoch = await connections.touch(tx, account_id=account_id, client_id=client_id, now=now)
    if epoch is None and issuing.client.is_first_party:
        # Our own apps ask for no consent; the row still carries the pair's epoch.
        scopes = list(issuing.request.told_scopes)
        connection = await connections.allow(
            tx, account_id=account_id, client_id=client_id, scopes=scopes, now=now
        )
        return connection.token_epoch
    return epoch
