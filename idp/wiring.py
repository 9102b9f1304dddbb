"""Each endpoint with the parts that it is given, by hand; `app.py` says at which address."""

from datetime import timedelta

from idp.accounts import email_address
from idp.accounts.account_connections import WithdrawConnectionEndpoint
from idp.accounts.account_deletion import CancelDeletionEndpoint, DeleteAccountEndpoint
from idp.accounts.account_emails import AddEmailEndpoint, MakePrimaryEmailEndpoint, RemoveEmailEndpoint
from idp.accounts.account_export import ExportAccountEndpoint
from idp.accounts.account_page import AccountPageEndpoint
from idp.accounts.account_passkeys import AddPasskeyEndpoint, RemovePasskeyEndpoint, RenamePasskeyEndpoint
from idp.accounts.account_sessions import EndAllSessionsEndpoint, EndSessionEndpoint, SignOutEndpoint
from idp.accounts.email_verification import LinkMail, ResendVerificationEndpoint, VerifyEmailEndpoint
from idp.accounts.enrolment_link import EnrolmentLinkEndpoint
from idp.accounts.notice import NoticeEndpoint
from idp.accounts.sign_up import SignUpEndpoint
from idp.accounts.signed_in import SignedInForms
from idp.oauth.authorization.consent import ConsentEndpoint
from idp.oauth.authorization.endpoint import AuthorizationEndpoint
from idp.oauth.authorization.pushed import PushedAuthorizationEndpoint
from idp.oauth.authorization.receiving import RequestReceiver
from idp.oauth.inspection.access_token_gate import AccessTokenGate
from idp.oauth.inspection.introspection import IntrospectionEndpoint
from idp.oauth.inspection.revocation import RevocationEndpoint
from idp.oauth.inspection.userinfo import UserinfoEndpoint
from idp.oauth.logout.endpoint import LogoutEndpoint
from idp.oauth.logout.signed_out import SignedOutEndpoint
from idp.oauth.token.endpoint import TokenEndpoint
from idp.oauth.token.response import TokenResponses
from idp.parts import Parts
from idp.passkeys import relying_party
from idp.passkeys.authentication_strength import ACR_VALUES
from idp.passkeys.endpoints.accepted import AcceptedPasskeys
from idp.passkeys.endpoints.addition import Addition, AdditionOptions
from idp.passkeys.endpoints.authentication import Authentication, AuthenticationOptions
from idp.passkeys.endpoints.browser_sign_in import BrowserSignIn
from idp.passkeys.endpoints.ceremony_gate import CeremonyGate
from idp.passkeys.endpoints.confirmation import Confirmation, ConfirmationOptions, ConfirmPage
from idp.passkeys.endpoints.enrolment import Enrolment, EnrolmentOptions
from idp.passkeys.endpoints.login import LoginPage, MethodsPage
from idp.passkeys.endpoints.offer import PasskeyOffer


class OAuthWiring:
    """The endpoints of `idp/oauth`."""

    def __init__(self, parts: Parts) -> None:
        self.token = TokenEndpoint(
            database=parts.database,
            authenticator=parts.authenticator,
            proofs=parts.proofs,
            responses=TokenResponses(keyring=parts.keyring, keys=parts.grant_keys, settings=parts.settings),
            origins=parts.origins,
            sealer=parts.sealer,
            rate_limiter=parts.rate_limiter,
            settings=parts.settings,
            clock=parts.clock,
        )
        self.userinfo = UserinfoEndpoint(
            database=parts.database,
            gate=AccessTokenGate(
                keyring=parts.keyring,
                proofs=parts.proofs,
                registry=parts.registry,
                origins=parts.origins,
                issuer=parts.settings.issuer,
            ),
            registry=parts.registry,
            keyring=parts.keyring,
            origins=parts.origins,
            issuer=parts.settings.issuer,
            clock=parts.clock,
        )
        self.introspection = IntrospectionEndpoint(
            database=parts.database,
            authenticator=parts.authenticator,
            registry=parts.registry,
            keyring=parts.keyring,
            keys=parts.grant_keys,
            settings=parts.settings,
            clock=parts.clock,
        )
        self.revocation = RevocationEndpoint(
            database=parts.database,
            authenticator=parts.authenticator,
            origins=parts.origins,
            keyring=parts.keyring,
            keys=parts.grant_keys,
            rate_limiter=parts.rate_limiter,
            settings=parts.settings,
            clock=parts.clock,
        )
        receiver = RequestReceiver(registry=parts.registry, settings=parts.settings)
        self.pushed_authorization = PushedAuthorizationEndpoint(
            database=parts.database,
            authenticator=parts.authenticator,
            receiver=receiver,
            proofs=parts.proofs,
            origins=parts.origins,
            rate_limiter=parts.rate_limiter,
            clock=parts.clock,
        )
        self.authorization = AuthorizationEndpoint(
            database=parts.database,
            registry=parts.registry,
            receiver=receiver,
            sessions=parts.sessions,
            browsers=parts.browsers,
            pages=parts.pages,
            client_response=parts.client_response,
            keyring=parts.keyring,
            keys=parts.grant_keys,
            rate_limiter=parts.rate_limiter,
            settings=parts.settings,
            acr_ranking=ACR_VALUES,
            clock=parts.clock,
        )
        self.consent = ConsentEndpoint(
            database=parts.database,
            registry=parts.registry,
            sessions=parts.sessions,
            browsers=parts.browsers,
            pages=parts.pages,
            rate_limiter=parts.rate_limiter,
            clock=parts.clock,
        )
        self.logout = LogoutEndpoint(
            database=parts.database,
            registry=parts.registry,
            sessions=parts.sessions,
            browsers=parts.browsers,
            pages=parts.pages,
            keyring=parts.keyring,
            settings=parts.settings,
            clock=parts.clock,
        )
        self.signed_out = SignedOutEndpoint(
            database=parts.database,
            registry=parts.registry,
            browsers=parts.browsers,
            pages=parts.pages,
            issuer=parts.settings.issuer,
            clock=parts.clock,
        )


class PasskeysWiring:
    """The endpoints of `idp/passkeys`."""

    def __init__(self, parts: Parts) -> None:
        database, clock, sessions = parts.database, parts.clock, parts.sessions
        party = relying_party.of_settings(parts.settings)
        gate = CeremonyGate(browsers=parts.browsers, rate_limiter=parts.rate_limiter)
        browser_sign_in = BrowserSignIn(browsers=parts.browsers, cookies=sessions)
        self.login = LoginPage(
            database=database,
            browsers=parts.browsers,
            cookies=sessions,
            pages=parts.pages,
            rate_limiter=parts.rate_limiter,
            clients=parts.registry,
            normalize=email_address.normalize,
            service_name=parts.settings.service_name,
            is_signup_open=parts.settings.signup == "open",
            clock=clock,
        )
        self.methods = MethodsPage(
            browsers=parts.browsers, pages=parts.pages, rate_limiter=parts.rate_limiter
        )
        self.authentication_options = AuthenticationOptions(
            database=database,
            gate=gate,
            relying_party=party,
            decoy_key=parts.master_key.derive("credential decoys"),
            normalize=email_address.normalize,
            clock=clock,
        )
        self.authentication = Authentication(
            database=database,
            gate=gate,
            browser_sign_in=browser_sign_in,
            relying_party=party,
            lifetimes=parts.settings.sessions,
            nudge_interval=timedelta(days=parts.settings.passkeys.nudge_interval_days),
            clock=clock,
        )
        self.enrolment_options = EnrolmentOptions(
            database=database, gate=gate, relying_party=party, clock=clock
        )
        self.enrolment = Enrolment(
            database=database,
            gate=gate,
            browser_sign_in=browser_sign_in,
            relying_party=party,
            lifetimes=parts.settings.sessions,
            sealer=parts.sealer,
            clock=clock,
        )
        self.addition_options = AdditionOptions(
            database=database, gate=gate, cookies=sessions, relying_party=party, clock=clock
        )
        self.addition = Addition(
            database=database,
            gate=gate,
            cookies=sessions,
            relying_party=party,
            sealer=parts.sealer,
            clock=clock,
        )
        self.accepted = AcceptedPasskeys(
            database=database, cookies=sessions, relying_party=party, clock=clock
        )
        self.offer = PasskeyOffer(browsers=parts.browsers, cookies=sessions, pages=parts.pages, clock=clock)
        self.confirm = ConfirmPage(
            database=database, browsers=parts.browsers, cookies=sessions, pages=parts.pages, clock=clock
        )
        self.confirmation_options = ConfirmationOptions(
            database=database, gate=gate, cookies=sessions, relying_party=party, clock=clock
        )
        self.confirmation = Confirmation(
            database=database, gate=gate, cookies=sessions, relying_party=party, clock=clock
        )


class AccountsWiring:
    """The endpoints of `idp/accounts`."""

    def __init__(self, parts: Parts) -> None:
        database, clock, sessions = parts.database, parts.clock, parts.sessions
        browsers, pages, rate_limiter = parts.browsers, parts.pages, parts.rate_limiter
        forms = SignedInForms(browsers=browsers, sessions=sessions)
        sealer = parts.sealer
        mail = LinkMail(issuer=parts.settings.issuer, sealer=sealer)
        self.sign_up = SignUpEndpoint(
            database=database,
            browsers=browsers,
            pages=pages,
            rate_limiter=rate_limiter,
            mail=mail,
            settings=parts.settings,
            clock=clock,
        )
        self.enrolment_link = EnrolmentLinkEndpoint(
            database=database,
            browsers=browsers,
            pages=pages,
            rate_limiter=rate_limiter,
            mail=mail,
            clock=clock,
        )
        self.verify_email = VerifyEmailEndpoint(
            database=database,
            browsers=browsers,
            sessions=sessions,
            pages=pages,
            rate_limiter=rate_limiter,
            clock=clock,
        )
        self.resend_verification = ResendVerificationEndpoint(
            database=database, forms=forms, rate_limiter=rate_limiter, mail=mail, clock=clock
        )
        self.notice = NoticeEndpoint(
            database=database, browsers=browsers, sessions=sessions, pages=pages, clock=clock
        )
        self.account_page = AccountPageEndpoint(
            database=database,
            browsers=browsers,
            sessions=sessions,
            registry=parts.registry,
            pages=pages,
            clock=clock,
        )
        self.end_session = EndSessionEndpoint(database=database, forms=forms, sessions=sessions, clock=clock)
        self.end_all_sessions = EndAllSessionsEndpoint(
            database=database, forms=forms, sessions=sessions, sealer=sealer, clock=clock
        )
        self.sign_out = SignOutEndpoint(database=database, forms=forms, sessions=sessions, clock=clock)
        recent = timedelta(minutes=parts.settings.accounts.recent_confirmation_minutes)
        self.add_passkey = AddPasskeyEndpoint(database=database, forms=forms, clock=clock)
        self.rename_passkey = RenamePasskeyEndpoint(
            database=database, forms=forms, recent=recent, clock=clock
        )
        self.remove_passkey = RemovePasskeyEndpoint(
            database=database, forms=forms, sessions=sessions, sealer=sealer, clock=clock
        )
        self.add_email = AddEmailEndpoint(
            database=database, forms=forms, rate_limiter=rate_limiter, mail=mail, clock=clock
        )
        self.make_primary_email = MakePrimaryEmailEndpoint(
            database=database, forms=forms, sealer=sealer, clock=clock
        )
        self.remove_email = RemoveEmailEndpoint(database=database, forms=forms, sealer=sealer, clock=clock)
        self.export_account = ExportAccountEndpoint(
            database=database, forms=forms, sessions=sessions, recent=recent, clock=clock
        )
        self.delete_account = DeleteAccountEndpoint(
            database=database,
            forms=forms,
            delay=timedelta(days=parts.settings.accounts.deletion_delay_days),
            sealer=sealer,
            clock=clock,
        )
        self.cancel_deletion = CancelDeletionEndpoint(
            database=database, forms=forms, sealer=sealer, clock=clock
        )
        self.withdraw_connection = WithdrawConnectionEndpoint(database=database, forms=forms, clock=clock)
