from dataclasses import dataclass
from typing import Literal

from idp.settings import Settings


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who we are in every ceremony: relying party id, name, the exact origins, and what proof we ask for."""

    id: str
    name: str
    origins: tuple[str, ...]
    user_verification: Literal["required", "preferred"]

    @property
    def requires_user_verification(self) -> bool:
        """Whether a ceremony without fingerprint, face or PIN is refused."""
        return self.user_verification == "required"


def of_settings(settings: Settings) -> RelyingParty:
    """Answer the relying party that the configuration describes."""
    return RelyingParty(
        id=settings.rp_id,
        name=settings.service_name,
        origins=settings.expected_origins,
        user_verification=settings.passkeys.user_verification,
    )
