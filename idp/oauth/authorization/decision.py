"""What an authorization request still needs, decided afresh each time it comes by."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from idp.errors import (
    AccessDenied,
    ConsentRequired,
    LoginRequired,
    OAuthError,
    UnmetAuthenticationRequirements,
)
from idp.oauth.authorization import acr
from idp.oauth.authorization.request import AuthorizationRequest
from idp.storage.browser_sessions import BrowserSession
from idp.storage.interactions import Interaction


class Step(Enum):
    """What happens next."""

    SIGN_IN = auto()
    SIGN_UP = auto()
    CONSENT = auto()
    ISSUE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the decision looks at. `interaction` is the request's own memory, once it has waited."""

    session: BrowserSession | None
    interaction: Interaction | None
    allowed_scopes: Collection[str]
    is_first_party: bool
    hinted_accounts: Collection[str] | None
    acr_ranking: Sequence[str]
    now: datetime


def decide(request: AuthorizationRequest, situation: Situation) -> Step | OAuthError:
    """Answer the next step, or the error to send back."""
    if situation.interaction is not None and situation.interaction.denied_at is not None:
        return AccessDenied("the person refused")
    session = situation.session
    # Before anyone is troubled: no sign-in here could ever do.
    if request.is_acr_essential and set(situation.acr_ranking).isdisjoint(request.acr_values):
        return UnmetAuthenticationRequirements("none of the acr values asked for is offered here")
    # OIDC Core §3.1.2.1 (id_token_hint): when somebody else signed in for this request, the client is told.
    if session is not None and _is_another(session, situation) and _signed_in_for(session, situation):
        return LoginRequired("another person signed in than the request is about")
    if session is not None and _lacks_acr(request, session, situation) and _signed_in_for(session, situation):
        # OIDC Core §5.5.1.1: an essential acr that was not reached is a failed sign-in.
        return UnmetAuthenticationRequirements("the sign-in did not reach the acr that the request needs")
    if session is None or _needs_sign_in(request, session, situation):
        # OIDC Core §3.1.2.1: prompt=none never shows a page.
        if "none" in request.prompts:
            return LoginRequired("nobody is signed in as the request demands")
        return Step.SIGN_UP if _asks_to_sign_up(request, situation) else Step.SIGN_IN
    if _needs_consent(request, session, situation):
        if "none" in request.prompts:
            return ConsentRequired("the person has not allowed this yet")
        return Step.CONSENT
    return Step.ISSUE


def _needs_sign_in(request: AuthorizationRequest, session: BrowserSession, situation: Situation) -> bool:
    if _is_another(session, situation):
        return True
    if _signed_in_for(session, situation):
        return False
    if request.prompts & {"login", "select_account", "create"} or _lacks_acr(request, session, situation):
        return True
    # OIDC Core §3.1.2.1: max_age=0 means the same as prompt=login.
    max_age = request.max_age_seconds
    return max_age is not None and situation.now - session.auth_time >= timedelta(seconds=max_age)


def _is_another(session: BrowserSession, situation: Situation) -> bool:
    # OIDC Core §3.1.2.1 (id_token_hint), §5.5.1 (sub): it is about this person or nobody.
    return situation.hinted_accounts is not None and session.account_id not in situation.hinted_accounts


def _lacks_acr(request: AuthorizationRequest, session: BrowserSession, situation: Situation) -> bool:
    reached = acr.reached(session.acr, ranking=situation.acr_ranking)
    return request.is_acr_essential and set(reached).isdisjoint(request.acr_values)


def _signed_in_for(session: BrowserSession, situation: Situation) -> bool:
    """Whether the sign-in happened after, and so for, this very request.

    A session goes on when its person signs in anew, so its beginning tells nothing; auth_time is in seconds.
    """
    interaction = situation.interaction
    return interaction is not None and session.auth_time >= interaction.created_at.replace(microsecond=0)


def _asks_to_sign_up(request: AuthorizationRequest, situation: Situation) -> bool:
    # Initiating User Registration via OpenID Connect §4.1; once the page was shown, signing in will do too.
    return "create" in request.prompts and situation.interaction is None


def _needs_consent(request: AuthorizationRequest, session: BrowserSession, situation: Situation) -> bool:
    interaction = situation.interaction
    has_answered = (
        interaction is not None
        and interaction.consented_at is not None
        and interaction.consented_by == session.account_id
    )
    if "consent" in request.prompts and not has_answered:
        return True
    if situation.is_first_party:
        return False
    return not set(request.told_scopes) <= set(situation.allowed_scopes)
