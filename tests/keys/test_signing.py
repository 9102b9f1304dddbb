import base64
import hashlib
import hmac
import json
import zlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet, KeySetSerialization

from idp.errors import TemporarilyUnavailable
from idp.keys.compact_jws import TokenError
from idp.keys.keyring import Keyring
from idp.keys.rotation import retire_now, rotate_now
from idp.keys.signing import VerifiedClaims, sign, verify, verify_id_token_hint
from idp.storage.database import Database
from tests.keys.signing_keys import MASTER_KEY, TIMETABLE, fresh_key, open_keyring
from tests.support.frozen_clock import NOON, FrozenClock

ISSUER = "https://id.example.com"
NOW = int(NOON.timestamp())
CLAIMS = {"iss": ISSUER, "aud": "https://api.example.com", "sub": "ada", "iat": NOW, "exp": NOW + 900}
NO_LEEWAY = timedelta(0)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    # Tokens are read from memory: which database the keys came from makes no difference here.
    return sqlite_url


@pytest.fixture
async def keyring(database: Database, clock: FrozenClock) -> Keyring:
    return await open_keyring(database, now=clock())


def _verify(token: str, keyring: Keyring, **changed: Any) -> VerifiedClaims:  # Any: whatever one test spoils
    expected: dict[str, Any] = {
        "expected_typ": "at+jwt",
        "issuer": ISSUER,
        "audience": "https://api.example.com",
        "now": NOON,
        "leeway": NO_LEEWAY,
    }
    return verify(token, keyring=keyring, **{**expected, **changed})


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _private_key(keyring: Keyring) -> RSAPrivateKey:
    return keyring.signing_key(now=NOON).private_key


def _forge(
    keyring: Keyring,
    *,
    header: str | dict[str, Any] | None = None,  # Any: a header may hold what it likes
    payload: str | dict[str, Any] = CLAIMS,  # Any: as may a payload
) -> str:
    """Sign whatever a test wants with our own key, as nobody outside could."""
    kid = keyring.signing_key(now=NOON).kid
    header = {"alg": "RS256", "kid": kid, "typ": "at+jwt"} if header is None else header
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (header, payload)]
    signing_input = ".".join(_encode(part.encode()) for part in parts)
    signature = _private_key(keyring).sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing_input}.{_encode(signature)}"


def _refused(token: str, keyring: Keyring, **changed: Any) -> None:  # Any: as _verify
    with pytest.raises(TokenError):
        _verify(token, keyring, **changed)


async def test_what_was_signed_is_verified(keyring: Keyring) -> None:
    token = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    assert _verify(token, keyring) == CLAIMS


async def test_another_library_verifies_our_token(keyring: Keyring) -> None:
    token = sign(keyring, {**CLAIMS, "name": "Ünïcode 🔑"}, typ="at+jwt", now=NOON)
    serialized: KeySetSerialization = keyring.jwks(now=NOON)  # type: ignore[assignment]  # a plain dict of ours
    decoded = joserfc_jwt.decode(token, KeySet.import_key_set(serialized), algorithms=["RS256"])
    assert decoded.claims == {**CLAIMS, "name": "Ünïcode 🔑"}
    assert decoded.header == {"alg": "RS256", "kid": fresh_key(1).kid, "typ": "at+jwt"}


async def test_another_librarys_token_is_not_ours(keyring: Keyring) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    token = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    signing_input = token.rpartition(".")[0]
    signature = stranger.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    _refused(f"{signing_input}.{_encode(signature)}", keyring)


async def test_the_forgery_of_these_tests_is_good_when_nothing_is_spoiled(keyring: Keyring) -> None:
    assert _verify(_forge(keyring), keyring) == CLAIMS


async def test_nothing_is_signed_without_a_key(database: Database) -> None:
    empty = Keyring(database, master_key=MASTER_KEY)
    with pytest.raises(TemporarilyUnavailable):
        sign(empty, CLAIMS, typ="at+jwt", now=NOON)


async def test_a_claim_that_is_no_json_is_not_signed(keyring: Keyring) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        sign(keyring, {**CLAIMS, "weight": float("nan")}, typ="at+jwt", now=NOON)


async def test_one_kind_of_token_never_passes_for_another(keyring: Keyring) -> None:
    _refused(sign(keyring, CLAIMS, typ="JWT", now=NOON), keyring)
    _refused(sign(keyring, CLAIMS, typ="logout+jwt", now=NOON), keyring)
    _refused(sign(keyring, CLAIMS, typ="at+jwt", now=NOON), keyring, expected_typ="JWT")


@pytest.mark.parametrize("form", ["pem", "der", "jwk", "n"])
async def test_a_mac_keyed_with_the_public_key_is_refused(keyring: Keyring, form: str) -> None:
    # PyJWT CVE-2022-29217, CVE-2016-10555.
    key = keyring.signing_key(now=NOON)
    secret = {
        "pem": key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(key.jwk).encode(),
        "n": key.jwk["n"].encode(),
    }[form]
    for algorithm in ("HS256", "RS256"):
        header = _encode(json.dumps({"alg": algorithm, "kid": key.kid, "typ": "at+jwt"}).encode())
        signing_input = f"{header}.{_encode(json.dumps(CLAIMS).encode())}"
        mac = hmac.digest(secret, signing_input.encode(), hashlib.sha256)
        _refused(f"{signing_input}.{_encode(mac)}", keyring)


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "HS256", "RS512", "PS256", "ES256", 1, None]
)
async def test_any_algorithm_but_rs256_is_refused(keyring: Keyring, algorithm: object) -> None:
    header = {"alg": algorithm, "kid": fresh_key(1).kid, "typ": "at+jwt"}
    _refused(_forge(keyring, header=header), keyring)
    unsigned = _forge(keyring, header=header).rpartition(".")[0] + "."
    _refused(unsigned, keyring)


async def test_rs512_and_ps256_under_our_kid_are_refused(keyring: Keyring) -> None:
    signing_input = _forge(keyring).rpartition(".")[0].encode()
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    for signature in (
        _private_key(keyring).sign(signing_input, padding.PKCS1v15(), hashes.SHA512()),
        _private_key(keyring).sign(signing_input, pss, hashes.SHA256()),
    ):
        _refused(f"{signing_input.decode()}.{_encode(signature)}", keyring)


@pytest.mark.parametrize(
    "kid",
    ["", "../../x", "' OR 1=1 --", "\0", "x" * 10_000, ["x"], {"x": 1}, 1, True, None],
)
async def test_any_kid_but_ours_is_refused(keyring: Keyring, kid: object) -> None:
    _refused(_forge(keyring, header={"alg": "RS256", "kid": kid, "typ": "at+jwt"}), keyring)


async def test_a_kid_that_is_not_in_the_keyring_is_refused(keyring: Keyring) -> None:
    _refused(_forge(keyring, header={"alg": "RS256", "kid": fresh_key(2).kid, "typ": "at+jwt"}), keyring)


@pytest.mark.parametrize(
    "member",
    [
        {"crit": ["x"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"zip": "DEF"},
        {"jku": "http://127.0.0.1:9/"},
        {"x5u": "http://127.0.0.1:9/"},
        {"x5c": ["AAAA"]},
        {"jwk": {"kty": "oct", "k": "AA"}},
        {"cty": "JWT"},
        {"anything": 1},
    ],
)
async def test_any_further_header_member_is_refused(keyring: Keyring, member: dict[str, object]) -> None:
    # PyJWT CVE-2026-32597 (crit), Authlib CVE-2026-27962 (jwk), RFC 8725 §3.10.
    header = {"alg": "RS256", "kid": fresh_key(1).kid, "typ": "at+jwt", **member}
    _refused(_forge(keyring, header=header), keyring)


@pytest.mark.parametrize("missing", ["alg", "kid", "typ"])
async def test_a_missing_header_member_is_refused(keyring: Keyring, missing: str) -> None:
    header = {"alg": "RS256", "kid": fresh_key(1).kid, "typ": "at+jwt"}
    del header[missing]
    _refused(_forge(keyring, header=header), keyring)


async def test_a_repeated_header_member_is_refused(keyring: Keyring) -> None:
    header = f'{{"alg":"none","alg":"RS256","kid":"{fresh_key(1).kid}","typ":"at+jwt"}}'
    _refused(_forge(keyring, header=header), keyring)


@pytest.mark.parametrize(
    "payload",
    [
        '{"aud":"x",' + json.dumps(CLAIMS)[1:],
        json.dumps({**CLAIMS, "deep": "HERE"}).replace('"HERE"', '{"a":1,"a":2}'),
        json.dumps(CLAIMS)[:-1] + ',"x":NaN}',
        json.dumps(CLAIMS)[:-1] + ',"x":-Infinity}',
        json.dumps(CLAIMS)[:-1] + ',"x":' + "9" * 5000 + "}",
        json.dumps(CLAIMS)[:-1] + ',"x":' + "[" * 5000 + "]" * 5000 + "}",
        json.dumps(CLAIMS) + " x",
        "[]",
        '"text"',
        "1",
        "null",
        "",
    ],
)
async def test_a_payload_that_is_no_strict_object_is_refused(keyring: Keyring, payload: str) -> None:
    _refused(_forge(keyring, payload=payload), keyring)


async def test_a_deep_header_is_refused_before_any_key_is_used(keyring: Keyring) -> None:
    _refused(f"{_encode(b'[' * 9000)}.{_encode(b'{}')}.{_encode(b'x')}", keyring)


async def test_a_token_has_one_spelling(keyring: Keyring) -> None:
    # Zitadel CVE-2026-27840: white space, padding, spare bits, the other alphabet, further or fewer segments.
    token = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    header, payload, signature = token.split(".")
    # 256 bytes leave 4 spare bits in the last character.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
    for spoiled in (
        f" {token}",
        f"{token}\n",
        f"{token}=",
        f"{token}==",
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}=.{signature}",
        f"{header}\n.{payload}.{signature}",
        f"{header}.{payload}.{spare}",
        f"{header}.{payload}.{signature[:-1]}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}..{signature}",
        f".{payload}.{signature}",
        f"{token}.",
        f"{token}.AAAA",
        f".{token}",
        f"{header}.{payload}.{signature}AAAA",
        f"{header}.{payload}.{signature[:100]}+{signature[101:]}",
        "",
        ".",
        "..",
        "...",
        "é..",
        "\ud800" + token,
        f"{header}.\ud800.{signature}",
    ):
        _refused(spoiled, keyring)


async def test_an_encrypted_token_is_refused_undecrypted(keyring: Keyring) -> None:
    bomb = _encode(zlib.compress(b"\0" * 1_000_000))
    header = _encode(
        json.dumps({"alg": "PBES2-HS256+A128KW", "p2c": 2**31, "enc": "A128GCM", "zip": "DEF"}).encode()
    )
    _refused(f"{header}.AAAA.AAAA.{bomb}.AAAA", keyring)


async def test_a_token_over_the_limit_is_refused_unread(keyring: Keyring) -> None:
    _refused(_forge(keyring, payload={**CLAIMS, "x": "x" * 16_384}), keyring)


async def test_every_changed_character_is_noticed(keyring: Keyring) -> None:
    token = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    for position in range(len(token)):
        changed = "A" if token[position] != "A" else "B"
        _refused(token[:position] + changed + token[position + 1 :], keyring)


@pytest.mark.parametrize(
    "issuer",
    [ISSUER + "/", ISSUER + ".evil.com", ISSUER[:-1], "", ISSUER.upper(), [ISSUER], {ISSUER: 1}, None, 1],
)
async def test_any_issuer_but_ours_is_refused(keyring: Keyring, issuer: object) -> None:
    # PyJWT GHSA-75c5-xw7c-p5pm: a part of the issuer was enough.
    _refused(_forge(keyring, payload={**CLAIMS, "iss": issuer}), keyring)


@pytest.mark.parametrize(
    "audience",
    [
        "https://api.example.com.evil.com",
        "",
        "https://api",
        [],
        ["x"],
        {"https://api.example.com": 1},
        None,
        1,
    ],
)
async def test_any_audience_but_the_expected_is_refused(keyring: Keyring, audience: object) -> None:
    _refused(_forge(keyring, payload={**CLAIMS, "aud": audience}), keyring)


async def test_the_expected_audience_may_be_one_of_several(keyring: Keyring) -> None:
    token = _forge(keyring, payload={**CLAIMS, "aud": ["x", "https://api.example.com"]})
    assert _verify(token, keyring)["aud"] == ["x", "https://api.example.com"]


async def test_without_an_expected_audience_it_is_left_to_the_caller(keyring: Keyring) -> None:
    assert _verify(_forge(keyring), keyring, audience=None)["aud"] == "https://api.example.com"


NO_INSTANTS = [True, False, 1.5, float(NOW + 1), str(NOW + 1), [NOW + 1], {}, None]


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NO_INSTANTS)
async def test_an_instant_that_is_no_whole_number_is_refused(
    keyring: Keyring, name: str, value: object
) -> None:
    _refused(_forge(keyring, payload={**CLAIMS, name: value}), keyring)


@pytest.mark.parametrize("name", ["exp", "iat", "iss", "aud"])
async def test_a_missing_claim_is_refused(keyring: Keyring, name: str) -> None:
    _refused(_forge(keyring, payload={key: value for key, value in CLAIMS.items() if key != name}), keyring)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"exp": NOW},
        {"exp": 0},
        {"exp": -1},
        {"exp": -(10**400)},
        {"iat": NOW + 1},
        {"iat": 10**400},
        {"nbf": NOW + 1},
        {"nbf": NOW + 3600},
    ],
)
async def test_a_token_that_is_not_valid_now_is_refused(keyring: Keyring, spoiled: dict[str, int]) -> None:
    _refused(_forge(keyring, payload={**CLAIMS, **spoiled}), keyring)


async def test_validity_is_judged_by_the_time_that_is_passed_in(keyring: Keyring) -> None:
    token = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    assert _verify(token, keyring, now=NOON + timedelta(seconds=899.9))
    _refused(token, keyring, now=NOON + timedelta(seconds=900))
    _refused(token, keyring, now=NOON - timedelta(seconds=1))


async def test_leeway_widens_both_ends(keyring: Keyring) -> None:
    token = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    leeway = timedelta(seconds=5)
    assert _verify(token, keyring, now=NOON + timedelta(seconds=904), leeway=leeway)
    assert _verify(token, keyring, now=NOON - timedelta(seconds=5), leeway=leeway)
    _refused(token, keyring, now=NOON + timedelta(seconds=905), leeway=leeway)
    _refused(token, keyring, now=NOON - timedelta(seconds=6), leeway=leeway)


async def test_tokens_of_a_withdrawn_key_are_refused_at_once(
    keyring: Keyring, database: Database, clock: FrozenClock
) -> None:
    access_token = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    id_token = sign(keyring, CLAIMS, typ="JWT", now=NOON)
    await database.transact(retire_now, fresh_key(1).kid, fresh=fresh_key(2), now=clock())
    await keyring.reload(now=clock())
    _refused(access_token, keyring)
    with pytest.raises(TokenError):
        verify_id_token_hint(id_token, keyring=keyring, issuer=ISSUER)
    renewed = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    assert _verify(renewed, keyring) == CLAIMS


async def test_an_id_token_hint_is_good_after_it_expired_and_its_key_went(
    keyring: Keyring, database: Database, clock: FrozenClock
) -> None:
    hint = sign(keyring, CLAIMS, typ="JWT", now=NOON)
    await database.transact(rotate_now, fresh=fresh_key(2), timetable=TIMETABLE, now=clock())
    await keyring.reload(now=clock())
    clock.advance(timedelta(days=30))
    assert fresh_key(1).kid not in {key["kid"] for key in keyring.jwks(now=clock())["keys"]}
    assert verify_id_token_hint(hint, keyring=keyring, issuer=ISSUER) == CLAIMS
    _refused(hint, keyring, expected_typ="JWT", now=clock())


async def test_a_hint_is_an_id_token_of_ours_with_its_signature(keyring: Keyring) -> None:
    hint = sign(keyring, CLAIMS, typ="JWT", now=NOON)
    foreign = sign(keyring, {**CLAIMS, "iss": "https://evil.example.com"}, typ="JWT", now=NOON)
    access_token = sign(keyring, CLAIMS, typ="at+jwt", now=NOON)
    unsigned = _encode(json.dumps({"alg": "none"}).encode()) + "." + hint.split(".")[1] + "."
    for refused in (foreign, access_token, unsigned, hint[:-8] + "AAAAAAAA"):
        with pytest.raises(TokenError):
            verify_id_token_hint(refused, keyring=keyring, issuer=ISSUER)


class _NoKeys:
    """Stands where no key is ever reached: these texts fail before."""

    def verification_key(self, kid: str, *, now: object) -> None:
        return None


@given(text=st.text(max_size=200) | st.text(alphabet="AQabe01-_.=", max_size=200))
@example("e30.e30.e30")
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    with pytest.raises(TokenError):
        verify(
            text,
            keyring=_NoKeys(),  # type: ignore[arg-type]  # the only thing asked of it
            expected_typ="at+jwt",
            issuer=ISSUER,
            audience=None,
            now=NOON,
            leeway=NO_LEEWAY,
        )
