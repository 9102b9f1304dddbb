from dataclasses import dataclass, field
from datetime import datetime

from idp.clients.metadata import ClientMetadata


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """The digest of a client secret and when it ends; `expires_at` None: when it is replaced."""

    secret_sha256: bytes = field(repr=False)
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered client as the rest of the house sees it.

    One that `is_disabled` is to be answered like an unknown one.
    """

    id: str
    metadata: ClientMetadata
    is_first_party: bool
    token_epoch: int
    version: int
    is_disabled: bool
    secrets: tuple[LiveSecret, ...] = field(repr=False)
    created_at: datetime
    updated_at: datetime

    @property
    def is_public(self) -> bool:
        """Whether the client cannot keep a secret (RFC 6749 §2.1)."""
        return self.metadata.is_public
