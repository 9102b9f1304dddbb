"""The token response (OAuth 2.1 §3.2.3), from a grant or for a client itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from idp.clients.client import Client
from idp.keys.keyring import Keyring
from idp.oauth import grant_token
from idp.oauth.grant_token import GrantTokenKeys
from idp.oauth.tokens import access_token, id_token, scope
from idp.settings import Settings
from idp.storage.grants import Grant

Answer = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one access token is asked to carry: all of the grant where it is empty. `thumbprint` binds it."""

    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    thumbprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponses:
    """Signs and spells token responses."""

    keyring: Keyring
    keys: GrantTokenKeys
    settings: Settings

    def of_grant(
        self,
        client: Client,
        grant: Grant,
        asked: Asked,
        *,
        secret: bytes,
        nonce: str | None,
        person: Mapping[str, object],
        now: datetime,
    ) -> Answer:
        """Answer with the tokens of the grant's present generation; `person` goes into the ID Token."""
        scopes = asked.scopes or tuple(grant.scope.split())
        token = access_token.mint(
            grant,
            scopes=scopes,
            audience=asked.resources or grant.resources,
            thumbprint=asked.thumbprint,
            keyring=self.keyring,
            settings=self.settings,
            now=now,
        )
        answer = self._answer(token, scopes, asked)
        if "refresh_token" in client.metadata.grant_types:
            answer["refresh_token"] = grant_token.seal(
                self.keys, grant_id=grant.id, generation=grant.generation, secret=secret
            )
        if scope.OPENID in scopes:
            answer["id_token"] = id_token.mint(
                grant,
                access_token=token,
                nonce=nonce,
                person=person,
                keyring=self.keyring,
                settings=self.settings,
                now=now,
            )
        return answer

    def of_client(self, client: Client, asked: Asked, *, now: datetime) -> Answer:
        """Answer with an access token for the client itself."""
        token = access_token.mint_for_client(
            client,
            scopes=asked.scopes,
            audience=asked.resources,
            thumbprint=asked.thumbprint,
            keyring=self.keyring,
            settings=self.settings,
            now=now,
        )
        return self._answer(token, asked.scopes, asked)

    def _answer(self, token: str, scopes: Sequence[str], asked: Asked) -> Answer:
        return {
            "access_token": token,
            # RFC 9449 §5: the type says how the token is to be presented.
            "token_type": "Bearer" if asked.thumbprint is None else "DPoP",
            "expires_in": self.settings.tokens.access_token_lifetime_seconds,
            "scope": " ".join(scopes),
        }
