import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from idp.errors import TemporarilyUnavailable
from idp.keys.encryption import DecryptionError, decrypt
from idp.keys.master_key import MasterKey
from idp.keys.public_jwk import public_jwk, thumbprint
from idp.keys.timetable import State, is_withdrawn, state_of
from idp.storage import signing_keys
from idp.storage.database import Database
from idp.storage.signing_keys import SigningKeyRow

ALGORITHM = "RS256"


class KeyringError(Exception):
    """The stored signing keys cannot be used with this master key; the server must not go on without them."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One signing key, parsed."""

    kid: str
    private_key: RSAPrivateKey = field(repr=False)
    public_key: RSAPublicKey

    @property
    def jwk(self) -> dict[str, str]:
        """The public half as it stands in the JWKS (RFC 7517 §4); no private member can be among these."""
        return {"kid": self.kid, "use": "sig", "alg": ALGORITHM, **public_jwk(self.public_key)}


@dataclass(frozen=True, slots=True)
class _Snapshot:
    rows: tuple[SigningKeyRow, ...]
    keys: dict[str, SigningKey]
    loaded_at: datetime | None

    def first(self, *states: State, now: datetime) -> SigningKeyRow | None:
        """The newest key in the first of these states that has one."""
        for state in states:
            found = [row for row in self.rows if state_of(row, now=now) == state]
            if found:
                return found[-1]
        return None


class Keyring:
    """The signing keys in memory: read at each reload, exchanged whole, asked without waiting.

    `app.py` reloads about once a second. Until the first reload there are no keys.
    """

    def __init__(self, database: Database, *, master_key: MasterKey) -> None:
        self._database = database
        self.master_key = master_key
        self._snapshot = _Snapshot(rows=(), keys={}, loaded_at=None)
        self._reloading = asyncio.Lock()

    @property
    def rows(self) -> tuple[SigningKeyRow, ...]:
        """Every stored key as last read, in sequence."""
        return self._snapshot.rows

    @property
    def loaded_at(self) -> datetime | None:
        """When the keys were last read; None before the first time. An old one means an unready node."""
        return self._snapshot.loaded_at

    async def reload(self, *, now: datetime) -> None:
        """Read what changed: one query, and only new keys are parsed.

        Raises TemporarilyUnavailable, or KeyringError when a key cannot be decrypted; the keys known so far
        stay in use then.
        """
        # One at a time, so that an older answer never replaces a newer one.
        async with self._reloading:
            rows = await self._database.read(signing_keys.listed)
            known = self._snapshot.keys
            keys = {row.kid: known.get(row.kid) or await self._load(row) for row in rows}
            self._snapshot = _Snapshot(rows=tuple(rows), keys=keys, loaded_at=now)

    def signing_key(self, *, now: datetime) -> SigningKey:
        """Answer the key that signs now. Raises TemporarilyUnavailable when there is none."""
        snapshot = self._snapshot
        # A clock slightly behind that of the node which made the very first key sees only a next one: it is
        # published and nobody else signs, so it may.
        row = snapshot.first("active", "next", now=now)
        if row is None:
            raise TemporarilyUnavailable(detail="keyring: no key may sign")
        return snapshot.keys[row.kid]

    def jwks(self, *, now: datetime) -> dict[str, list[dict[str, str]]]:
        """Answer the JWK Set for verifiers: keys to come, the one in use, those whose work lives on."""
        snapshot = self._snapshot
        published = [row for row in snapshot.rows if state_of(row, now=now) != "gone"]
        return {"keys": [snapshot.keys[row.kid].jwk for row in published]}

    def verification_key(self, kid: str, *, now: datetime) -> RSAPublicKey | None:
        """Answer the published key of exactly this kid."""
        snapshot = self._snapshot
        for row in snapshot.rows:
            if row.kid == kid and state_of(row, now=now) != "gone":
                return snapshot.keys[kid].public_key
        return None

    def remembered_key(self, kid: str) -> RSAPublicKey | None:
        """Answer the key of exactly this kid, even one long gone, but none that was withdrawn."""
        snapshot = self._snapshot
        for row in snapshot.rows:
            if row.kid == kid and not is_withdrawn(row):
                return snapshot.keys[kid].public_key
        return None

    async def _load(self, row: SigningKeyRow) -> SigningKey:
        try:
            private_der = decrypt(
                self.master_key, row.private_key_encrypted, context=private_key_context(row.kid)
            )
        except DecryptionError as fault:
            raise KeyringError(
                f"signing key {row.kid} cannot be decrypted: {fault}. Start with the master key that this "
                "database was made with; new signing keys are never made in its place"
            ) from fault
        # Checking an RSA key takes some milliseconds of arithmetic: not in the event loop.
        private_key = await asyncio.to_thread(load_der_private_key, private_der, None)
        if not isinstance(private_key, RSAPrivateKey):
            raise KeyringError(f"signing key {row.kid} is not an RSA key")
        public_key = private_key.public_key()
        # The stored public half is for readers of the database; what we publish comes from the private one.
        if thumbprint(public_jwk(public_key)) != row.kid:
            raise KeyringError(f"signing key {row.kid} is not the key that its name says")
        return SigningKey(kid=row.kid, private_key=private_key, public_key=public_key)


def private_key_context(kid: str) -> str:
    """Name the place that an encrypted private key belongs to."""
    return f"signing-key:{kid}"
