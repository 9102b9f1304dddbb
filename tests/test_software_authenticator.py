import json
from typing import Any

import cbor2
import pytest
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.registration.verify_registration_response import VerifiedRegistration

from tests.support.software_authenticator import (
    Algorithm,
    InvalidStateError,
    Json,
    NotAllowedError,
    SoftwareAuthenticator,
    SoftwarePasskey,
)

_ORIGIN = "https://id.example.com"
_RP_ID = "id.example.com"
_CHALLENGE = b"a challenge of thirty-two bytes."
_USER_HANDLE = b"a user handle"


@pytest.fixture
def authenticator() -> SoftwareAuthenticator:
    return SoftwareAuthenticator()


@pytest.fixture
def creation_options() -> Json:
    options = generate_registration_options(
        rp_id=_RP_ID,
        rp_name="Example",
        user_name="ada@example.com",
        user_id=_USER_HANDLE,
        challenge=_CHALLENGE,
        supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in Algorithm],
    )
    return dict(json.loads(options_to_json(options)))


@pytest.fixture
def request_options() -> Json:
    return dict(
        json.loads(options_to_json(generate_authentication_options(rp_id=_RP_ID, challenge=_CHALLENGE)))
    )


def _verify_registration(credential: Json) -> VerifiedRegistration:
    return verify_registration_response(
        credential=credential,
        expected_challenge=_CHALLENGE,
        expected_rp_id=_RP_ID,
        expected_origin=_ORIGIN,
        require_user_verification=True,
        supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in Algorithm],
    )


def _verify_assertion(
    credential: Json, passkey: SoftwarePasskey, *, sign_count: int = 0
) -> VerifiedAuthentication:
    return verify_authentication_response(
        credential=credential,
        expected_challenge=_CHALLENGE,
        expected_rp_id=_RP_ID,
        expected_origin=_ORIGIN,
        credential_public_key=passkey.public_key,
        credential_current_sign_count=sign_count,
        require_user_verification=True,
    )


@pytest.mark.parametrize("algorithm", Algorithm)
def test_another_implementation_accepts_both_ceremonies(
    authenticator: SoftwareAuthenticator, creation_options: Json, request_options: Json, algorithm: Algorithm
) -> None:
    created = authenticator.create(creation_options, origin=_ORIGIN, algorithm=algorithm)
    registered = _verify_registration(created)
    passkey = authenticator.passkeys[0]
    got = authenticator.get(request_options, origin=_ORIGIN)

    assert registered.credential_id == passkey.id == base64url_to_bytes(created["id"])
    assert registered.credential_public_key == passkey.public_key
    assert registered.credential_backed_up
    assert _verify_assertion(got, passkey).credential_id == passkey.id
    assert base64url_to_bytes(got["response"]["userHandle"]) == _USER_HANDLE


def test_self_attestation_is_accepted(authenticator: SoftwareAuthenticator, creation_options: Json) -> None:
    created = authenticator.create(creation_options, origin=_ORIGIN, format="packed")

    assert _verify_registration(created).fmt == "packed"


def test_a_registration_has_the_members_that_browsers_send(
    authenticator: SoftwareAuthenticator, creation_options: Json
) -> None:
    created = authenticator.create(creation_options | {"extensions": {"credProps": True}}, origin=_ORIGIN)

    assert set(created) == {
        "id",
        "rawId",
        "type",
        "authenticatorAttachment",
        "clientExtensionResults",
        "response",
    }
    assert set(created["response"]) == {
        "clientDataJSON",
        "authenticatorData",
        "transports",
        "publicKey",
        "publicKeyAlgorithm",
        "attestationObject",
    }
    assert created["clientExtensionResults"] == {"credProps": {"rk": True}}
    assert base64url_to_bytes(created["response"]["clientDataJSON"]) == (
        b'{"type":"webauthn.create","challenge":"YSBjaGFsbGVuZ2Ugb2YgdGhpcnR5LXR3byBieXRlcy4",'
        b'"origin":"https://id.example.com","crossOrigin":false}'
    )


def test_an_assertion_has_the_members_that_browsers_send(
    authenticator: SoftwareAuthenticator, creation_options: Json, request_options: Json
) -> None:
    authenticator.create(creation_options, origin=_ORIGIN)

    got = authenticator.get(request_options, origin=_ORIGIN)

    assert set(got["response"]) == {"clientDataJSON", "authenticatorData", "signature", "userHandle"}


def test_a_second_passkey_of_the_same_account_is_refused_by_the_exclude_list(
    authenticator: SoftwareAuthenticator, creation_options: Json
) -> None:
    first = authenticator.create(creation_options, origin=_ORIGIN)

    with pytest.raises(InvalidStateError):
        authenticator.create(
            creation_options | {"excludeCredentials": [{"id": first["id"], "type": "public-key"}]},
            origin=_ORIGIN,
        )


def test_an_allow_list_chooses_among_passkeys(
    authenticator: SoftwareAuthenticator, creation_options: Json, request_options: Json
) -> None:
    first = authenticator.create(creation_options, origin=_ORIGIN)
    authenticator.create(creation_options, origin=_ORIGIN)
    allowed = request_options | {"allowCredentials": [{"id": first["id"], "type": "public-key"}]}

    assert authenticator.get(allowed, origin=_ORIGIN)["id"] == first["id"]
    assert authenticator.get(request_options, origin=_ORIGIN)["id"] != first["id"]


def test_no_passkey_answers_for_another_relying_party(
    authenticator: SoftwareAuthenticator, creation_options: Json, request_options: Json
) -> None:
    authenticator.create(creation_options, origin=_ORIGIN)

    with pytest.raises(NotAllowedError):
        authenticator.get(request_options | {"rpId": "other.example"}, origin=_ORIGIN)


def test_an_authenticator_that_counts_raises_its_counter(
    creation_options: Json, request_options: Json
) -> None:
    authenticator = SoftwareAuthenticator(counts=True, backed_up=False)
    authenticator.create(creation_options, origin=_ORIGIN)

    counts = [
        _verify_assertion(
            authenticator.get(request_options, origin=_ORIGIN), authenticator.passkeys[0], sign_count=seen
        ).new_sign_count
        for seen in (0, 1)
    ]

    assert counts == [1, 2]


_SPOILT_ALIKE: list[dict[str, Any]] = [  # Any: keyword arguments of many types.
    {"type": "webauthn.other"},
    {"challenge": "b3RoZXI"},
    {"client_data": {"origin": "https://evil.example"}},
    {"client_data_json": b"no JSON"},
    {"rp_id": "evil.example"},
    {"rp_id_hash": bytes(32)},
    {"user_present": False},
    {"user_verified": False},
    {"flags": 0},
    {"backup_eligible": False},
    {"extra_bytes": b"\x00"},
    {"authenticator_data": bytes(37)},
    {"id": "AAAA"},
    {"raw_id": "AAAA"},
    {"credential_type": "password"},
]
_SPOILT_CREATIONS: list[dict[str, Any]] = [
    {"attested": False},
    {"public_key": cbor2.dumps({1: 2, 3: -47, -1: 8, -2: bytes(32), -3: bytes(32)})},
    {"attestation_object": b"\xff"},
    {"format": "packed", "attestation_statement": {"alg": -7, "sig": b"\x00" * 70}},
]
_SPOILT_REQUESTS: list[dict[str, Any]] = [
    {"signature": b"\x00" * 70},
    {"sign_count": 3},
]


@pytest.mark.parametrize("spoilt", _SPOILT_ALIKE + _SPOILT_CREATIONS, ids=str)
def test_what_a_test_spoils_in_a_registration_is_noticed(
    authenticator: SoftwareAuthenticator, creation_options: Json, spoilt: dict[str, Any]
) -> None:
    created = authenticator.create(creation_options, origin=_ORIGIN, **spoilt)

    with pytest.raises(WebAuthnException):
        _verify_registration(created)


@pytest.mark.parametrize("spoilt", _SPOILT_ALIKE + _SPOILT_REQUESTS, ids=str)
def test_what_a_test_spoils_in_an_assertion_is_noticed(
    authenticator: SoftwareAuthenticator,
    creation_options: Json,
    request_options: Json,
    spoilt: dict[str, Any],
) -> None:
    authenticator.create(creation_options, origin=_ORIGIN)
    got = authenticator.get(request_options, origin=_ORIGIN, **spoilt)

    with pytest.raises(WebAuthnException):
        _verify_assertion(got, authenticator.passkeys[0], sign_count=9)


def test_an_assertion_may_leave_out_the_user_handle(
    authenticator: SoftwareAuthenticator, creation_options: Json, request_options: Json
) -> None:
    authenticator.create(creation_options, origin=_ORIGIN)

    assert (
        "userHandle" not in authenticator.get(request_options, origin=_ORIGIN, user_handle=None)["response"]
    )


def test_a_credential_id_may_be_of_any_length(
    authenticator: SoftwareAuthenticator, creation_options: Json
) -> None:
    created = authenticator.create(creation_options, origin=_ORIGIN, credential_id=bytes(1024))

    assert _verify_registration(created).credential_id == bytes(1024)


def test_a_frame_tells_the_page_around_it(
    authenticator: SoftwareAuthenticator, creation_options: Json, request_options: Json
) -> None:
    authenticator.create(creation_options, origin=_ORIGIN)

    got = authenticator.get(
        request_options, origin=_ORIGIN, cross_origin=True, top_origin="https://evil.example"
    )

    client_data = json.loads(base64url_to_bytes(got["response"]["clientDataJSON"]))
    assert client_data["crossOrigin"] is True
    assert client_data["topOrigin"] == "https://evil.example"
