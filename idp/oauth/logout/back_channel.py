from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from urllib.parse import urlencode

from idp.clients.registry import ClientRegistry
from idp.keys.keyring import Keyring
from idp.notifications.delivery import Delayed, Patience, Refused
from idp.oauth.logout import logout_token
from idp.storage.outbox import Message
from idp.storage.session_apps import LOGOUT_TOKEN
from idp.web.outbound import Outbound, OutboundError

OK, NO_CONTENT, BAD_REQUEST = 200, 204, 400
# §2.8 has one code for "malformed" and for "could not do it": the second may pass, the first never does.
MAX_BAD_REQUESTS = 5
_PATIENCE = Patience(
    # An app that is being restarted should not keep anyone signed in for longer than it takes.
    first_pause=timedelta(seconds=5),
    longest_pause=timedelta(minutes=15),
    give_up_after=timedelta(hours=24),
)


class LogoutTokenSender:
    """Tells apps behind the browser's back that a session is over (OIDC Back-Channel Logout 1.0 §2.5)."""

    def __init__(
        self, *, outbound: Outbound, registry: ClientRegistry, keyring: Keyring, issuer: str
    ) -> None:
        self._outbound = outbound
        self._registry = registry
        self._keyring = keyring
        self._issuer = issuer

    @property
    def name(self) -> str:
        """What the audit log calls it."""
        return LOGOUT_TOKEN

    @property
    def kinds(self) -> AbstractSet[str]:
        """Logout tokens alone."""
        return {LOGOUT_TOKEN}

    @property
    def patience(self) -> Patience:
        """Soon at first, and for a day."""
        return _PATIENCE

    async def send(self, message: Message, *, now: datetime) -> None:
        """POST a fresh logout token to its app. Raises Delayed or Refused."""
        client = await self._registry.find(message.recipient, now=now)
        address = client.metadata.backchannel_logout_uri if client and not client.is_disabled else None
        if address is None:
            raise Refused("the client has no back-channel address any more")
        token = logout_token.mint(message, keyring=self._keyring, issuer=self._issuer, now=now)
        try:
            answer = await self._outbound.post(
                address,
                body=urlencode({"logout_token": token}).encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )
        except OutboundError as fault:
            raise Delayed(str(fault)) from fault
        # §2.8: some frameworks answer 204 where they have nothing to say.
        if answer.status in {OK, NO_CONTENT}:
            return
        if answer.status == BAD_REQUEST and message.attempts >= MAX_BAD_REQUESTS:
            raise Refused(f"{answer.status}")
        raise Delayed(f"{answer.status}")
