import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from idp import opaque_token

SECRET_LENGTH = 32
KEY_ID_LENGTH = 2
_LONGEST_FILE = 1024
_READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class MasterKeyError(Exception):
    """The master key cannot be used; the message names the file and the remedy, never its content."""


@dataclass(frozen=True, slots=True, eq=False)
class MasterKey:
    """The deployment's one secret outside the database; every other server key is derived from it."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_LENGTH:
            raise MasterKeyError(f"a master key has {SECRET_LENGTH} bytes")

    @property
    def key_id(self) -> bytes:
        """Two public bytes that tell which master key something was made with; a hint, not a proof."""
        return self._digest("key id")[:KEY_ID_LENGTH]

    @property
    def fingerprint(self) -> str:
        """A public name of this key, by which the nodes of a deployment notice that theirs differ."""
        return self._digest("fingerprint")[:16].hex()

    def derive(self, purpose: str, length: int = 32) -> bytes:
        """Derive the key of one purpose (RFC 5869); two purposes' keys tell nothing of each other."""
        # RFC 5869 §3.1: a salt adds nothing where the input is already uniformly random.
        derivation = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=f"idp {purpose}".encode())
        return derivation.derive(self.secret)

    def _digest(self, label: str) -> bytes:
        # The label keeps each digest apart from the others and from any bare SHA-256 of the secret.
        return hashlib.sha256(f"idp master key {label}\0".encode() + self.secret).digest()


def load_master_key(path: Path) -> MasterKey:
    """Read the master key from a file that nobody but its owner may read. Raises MasterKeyError."""
    try:
        with path.open("rb") as file:
            # Asked of the open file, so that it cannot be exchanged between the question and the reading.
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LONGEST_FILE)
    except FileNotFoundError as fault:
        raise MasterKeyError(
            f"{path}: there is no master key; `idp keys new-master-key {path}` writes one"
        ) from fault
    except OSError as fault:
        raise MasterKeyError(f"{path}: the master key cannot be read ({fault.strerror})") from fault
    if mode & _READABLE_BY_OTHERS:
        raise MasterKeyError(f"{path}: others than its owner may read the master key; run `chmod 600 {path}`")
    return MasterKey(_secret(path, content))


def _secret(path: Path, content: bytes) -> bytes:
    try:
        line = content.removesuffix(b"\n").decode("ascii")
    except UnicodeDecodeError as fault:
        raise _malformed(path) from fault
    secret = opaque_token.decode(line)
    if secret is None or len(secret) != SECRET_LENGTH:
        raise _malformed(path)
    return secret


def _malformed(path: Path) -> MasterKeyError:
    return MasterKeyError(
        f"{path}: is not a master key: {SECRET_LENGTH} bytes as unpadded base64url on one line. "
        "Restore the right file from its backup; a new key cannot read what the old one encrypted"
    )


def write_new_master_key(path: Path) -> MasterKey:
    """Draw a master key and write it to a new file that its owner alone may read. Raises MasterKeyError."""
    secret = opaque_token.random_bytes(SECRET_LENGTH)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise MasterKeyError(f"{path.parent}: the folder cannot be made ({fault.strerror})") from fault
    try:
        # O_EXCL: an existing key is never overwritten, and of two writers one wins.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as fault:
        raise MasterKeyError(f"{path}: exists already and is not overwritten; choose another name") from fault
    except OSError as fault:
        raise MasterKeyError(f"{path}: cannot be written ({fault.strerror})") from fault
    with os.fdopen(descriptor, "wb") as file:
        file.write(opaque_token.encode(secret).encode() + b"\n")
        file.flush()
        os.fsync(descriptor)
    return MasterKey(secret)
