"""What the endpoints of one node share, made once from the settings."""

from idp.clients.client_keys import ClientKeys
from idp.clients.origins import ClientOrigins
from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.keys.encryption import EncryptionAtRest
from idp.keys.keyring import Keyring
from idp.keys.master_key import MasterKey
from idp.oauth.grant_token import GrantTokenKeys
from idp.oauth.inspection.status_list import StatusLists
from idp.oauth.proof import ProofNonces
from idp.oauth.proof_checker import ProofChecker
from idp.oauth.token.authenticator import ClientAuthenticator
from idp.sessions.cookie import SessionCookies
from idp.settings import Settings
from idp.storage.database import open_database
from idp.web.browser import Browsers
from idp.web.client_response import ClientResponse
from idp.web.outbound import Outbound
from idp.web.pages import Pages
from idp.web.rate_limit import RateLimiter
from idp.web.static_files import StaticFiles


class Parts:
    """One of each; nothing is opened yet. Every key is the master key's child for one purpose."""

    def __init__(self, settings: Settings, *, master_key: MasterKey, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.master_key = master_key
        self.database = open_database(
            settings.database_url,
            pool_size=settings.database.pool_size,
            timeout_seconds=settings.database.timeout_seconds,
        )
        self.outbound = Outbound(inner_networks=settings.outbound_networks)
        self.keyring = Keyring(self.database, master_key=master_key)
        self.sealer = EncryptionAtRest(master_key)
        self.grant_keys = GrantTokenKeys(
            newest=master_key.key_id, keys={master_key.key_id: master_key.derive("grant tokens")}
        )
        self.registry = ClientRegistry(self.database)
        self.origins = ClientOrigins(self.database)
        self.rate_limiter = RateLimiter(settings.rate_limit)
        self.authenticator = ClientAuthenticator(
            database=self.database,
            registry=self.registry,
            client_keys=ClientKeys(self.outbound),
            rate_limiter=self.rate_limiter,
            issuer=settings.issuer,
        )
        self.proofs = ProofChecker(
            database=self.database,
            nonces=ProofNonces(key=master_key.derive("dpop nonces")),
            settings=settings,
        )
        self.status_lists = StatusLists(database=self.database, keyring=self.keyring, settings=settings)
        self.sessions = SessionCookies(self.database, lifetimes=settings.sessions, is_https=settings.is_https)
        self.browsers = Browsers(
            csrf_key=master_key.derive("csrf tokens"), origin=settings.issuer, is_https=settings.is_https
        )
        self.static_files = StaticFiles()
        self.pages = Pages(
            browsers=self.browsers,
            static_files=self.static_files,
            service_name=settings.service_name,
            issuer=settings.issuer,
        )
        self.client_response = ClientResponse(pages=self.pages, issuer=settings.issuer)
