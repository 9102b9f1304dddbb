import struct

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from webauthn.helpers.exceptions import WebAuthnException

# py_webauthn promises its own exceptions and lets through what its decoder (cbor2) and cryptography raise on
# bytes that they did not expect. Each of these, coming from a verification of sized and parsed bytes, says
# that the bytes are wrong; whatever else may come is a fault of ours and stays one.
LIBRARY_FAULTS: tuple[type[Exception], ...] = (
    WebAuthnException,
    InvalidSignature,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    struct.error,
)
