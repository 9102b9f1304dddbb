import asyncio
import hashlib
import struct
import time
from datetime import timedelta
from typing import Any

import cbor2
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa

from idp.passkeys.registration import MAX_PASSKEYS
from idp.settings import Passkeys
from idp.storage import accounts, tables
from idp.storage.database import Database
from tests.passkeys.site import DECOY_KEY, ISSUER, PasskeySite, VisitingBrowser, assert_refused
from tests.support.frozen_clock import FrozenClock
from tests.support.software_authenticator import Algorithm, Json, SoftwareAuthenticator

RP_ID = "id.example.com"
P256_OFF_CURVE = {1: 2, 3: -7, -1: 1, -2: b"\x01" * 32, -3: b"\x02" * 32}


def attested(credential_id: bytes, *, declared: int | None = None, key: bytes | None = None) -> bytes:
    """Authenticator data of a registration, with a credential id of any length."""
    good_key = cbor2.dumps({1: 1, 3: -8, -1: 6, -2: b"\x05" * 32})
    length = len(credential_id) if declared is None else declared
    return (
        hashlib.sha256(RP_ID.encode()).digest()
        + bytes([0x45])
        + bytes(4)
        + bytes(16)
        + struct.pack(">H", length)
        + credential_id
        + (good_key if key is None else key)
    )


def none_attestation(auth_data: bytes) -> bytes:
    return cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": auth_data})


@pytest.mark.parametrize("algorithm", Algorithm)
async def test_a_first_passkey_makes_the_account_real_and_signs_the_browser_in(
    site: PasskeySite, browser: VisitingBrowser, algorithm: Algorithm
) -> None:
    account_id = await site.account()
    token = await site.enrolment(account_id)
    authenticator = SoftwareAuthenticator(aaguid=bytes.fromhex("bada5566a7aa401fbd9645619a55120d"))

    answer = await browser.enrol(token, authenticator, algorithm=algorithm)

    assert (answer.status_code, answer.json()) == (200, {"continue": "/account"})
    [credential] = await site.credentials_of(account_id)
    assert credential.id == authenticator.passkeys[0].id
    assert credential.public_key == authenticator.passkeys[0].public_key
    assert (credential.name, credential.rp_id) == ("1Password", RP_ID)
    assert (credential.backup_eligible, credential.backed_up, credential.user_verified) == (True, True, True)
    assert credential.transports == ["hybrid", "internal"]
    [session] = await site.sessions_of(account_id)
    assert (session.acr, session.amr) == ("phr", ["swk", "user", "mfa"])
    assert session.credential_id == credential.id
    events = [event.event for event in await site.events_of(account_id)]
    assert sorted(events) == ["account_activated", "passkey_added", "sign_in"]


async def test_options_ask_for_a_discoverable_verified_passkey_without_attestation(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    token = await site.enrolment(await site.account(email="Ada@Example.com", name="Ada"))

    options = await browser.options("enrolment", {"enrolment": token})

    assert options["rp"] == {"id": RP_ID, "name": "idp"}
    assert (options["user"]["name"], options["user"]["displayName"]) == ("Ada@Example.com", "Ada")
    assert len(options["user"]["id"]) == 43
    assert len(options["challenge"]) == 43
    assert [parameter["alg"] for parameter in options["pubKeyCredParams"]] == [-7, -8, -257]
    assert options["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert (options["attestation"], options["timeout"]) == ("none", 300_000)
    assert options["excludeCredentials"] == []


async def test_packed_self_attestation_is_accepted(site: PasskeySite, browser: VisitingBrowser) -> None:
    account_id = await site.account()
    token = await site.enrolment(account_id)

    answer = await browser.enrol(token, SoftwareAuthenticator(), format="packed")

    assert answer.status_code == 200
    assert len(await site.credentials_of(account_id)) == 1


SPOILT: list[tuple[str, dict[str, Any], str]] = [
    # Any: what a test spoils is of many types.
    ("K1 type", {"type": "webauthn.get"}, "client_data_type"),
    ("K3 http", {"origin": "http://id.example.com"}, "origin_mismatch"),
    ("K3 other port", {"origin": "https://id.example.com:8443"}, "origin_mismatch"),
    ("K3 default port spelt", {"origin": "https://id.example.com:443"}, "origin_mismatch"),
    ("K3 sub-domain", {"origin": "https://a.id.example.com"}, "origin_mismatch"),
    ("K3 super-domain", {"origin": "https://example.com"}, "origin_mismatch"),
    ("K3 suffix", {"origin": "https://id.example.com.evil.org"}, "origin_mismatch"),
    ("K3 trailing dot", {"origin": "https://id.example.com."}, "origin_mismatch"),
    ("K3 trailing slash", {"origin": "https://id.example.com/"}, "origin_mismatch"),
    ("K3 upper case", {"origin": "https://ID.example.com"}, "origin_mismatch"),
    ("K3 null", {"origin": "null"}, "origin_mismatch"),
    ("K3 list", {"client_data": {"origin": [ISSUER]}}, "origin_mismatch"),
    ("framed", {"cross_origin": True}, "cross_origin"),
    ("framed, as text", {"client_data": {"crossOrigin": "false"}}, "cross_origin"),
    ("framed, as zero", {"client_data": {"crossOrigin": 0}}, "cross_origin"),
    ("top origin", {"top_origin": "https://evil.org"}, "cross_origin"),
    ("own top origin", {"top_origin": ISSUER}, "cross_origin"),
    ("K5 parent rp id", {"rp_id": "example.com"}, "rp_id_hash_mismatch"),
    ("K5 sibling rp id", {"rp_id": "www.example.com"}, "rp_id_hash_mismatch"),
    ("K6 no presence", {"user_present": False}, "user_not_present"),
    ("K6 no verification", {"user_verified": False}, "user_not_verified"),
    (
        "K7 backed up, not eligible",
        {"backup_eligible": False, "backed_up": True},
        "backup_flags_inconsistent",
    ),
    ("no attested credential", {"attested": False}, "authenticator_data_malformed"),
    ("K9 none with content", {"attestation_statement": {"alg": -7}}, "attestation_not_accepted"),
    ("K9 unknown format", {"format": "acme"}, "attestation_not_accepted"),
    (
        "K9 fido-u2f",
        {"format": "fido-u2f", "attestation_statement": {"sig": b"1"}},
        "attestation_not_accepted",
    ),
    (
        "K9 bad self signature",
        {
            "format": "packed",
            "attestation_statement": {"alg": -7, "sig": b"\x30\x06\x02\x01\x01\x02\x01\x01"},
        },
        "registration_not_verified",
    ),
    (
        "K9 self signature of no kind",
        {"format": "packed", "attestation_statement": {"alg": "x", "sig": 7}},
        "registration_not_verified",
    ),
    (
        "K9 own root",
        {"format": "packed", "attestation_statement": {"alg": -7, "sig": b"1", "x5c": [b"1"]}},
        "attestation_not_accepted",
    ),
    ("K10 length 0", {"attestation_object": none_attestation(attested(b""))}, "credential_id_length"),
    (
        "K10 length 1024",
        {"attestation_object": none_attestation(attested(b"a" * 1024))},
        "credential_id_length",
    ),
    (
        "K10 declared 65535",
        {"attestation_object": none_attestation(attested(b"a" * 16, declared=65_535))},
        "authenticator_data_malformed",
    ),
    (
        "another id attested",
        {"attestation_object": none_attestation(attested(b"a" * 16))},
        "credential_id_mismatch",
    ),
    ("K16 id is not rawId", {"id": "AAAA"}, "credential_malformed"),
    ("K16 padding", {"id": "AA==", "raw_id": "AA=="}, "credential_malformed"),
    ("K16 standard alphabet", {"id": "++//", "raw_id": "++//"}, "credential_malformed"),
    ("K16 white space", {"id": "AAAA\n", "raw_id": "AAAA\n"}, "credential_malformed"),
    ("K16 spare bits", {"id": "AB", "raw_id": "AB"}, "credential_malformed"),
    ("K16 other type", {"credential_type": "password"}, "credential_malformed"),
    ("id of 1024 bytes", {"credential_id": b"a" * 1024}, "credential_malformed"),
    ("trailing authenticator data", {"extra_bytes": b"\x00"}, "authenticator_data_malformed"),
    ("flag ED without extensions", {"flags": 0xC5}, "cbor_malformed"),
    ("extensions that are no map", {"flags": 0xC5, "extra_bytes": b"\x80"}, "authenticator_data_malformed"),
    ("key off its curve", {"public_key": cbor2.dumps(P256_OFF_CURVE)}, "registration_not_verified"),
    ("key of unknown kind", {"public_key": cbor2.dumps({1: 2, 3: -35, -1: 2})}, "public_key_not_accepted"),
    ("key that is no map", {"public_key": cbor2.dumps([1, 2])}, "public_key_not_accepted"),
    (
        "key of U2F",
        {"public_key": b"\x04" + b"\x01" * 64},
        "public_key_not_accepted",
    ),
    (
        "key with a stray member",
        {"public_key": cbor2.dumps({1: 1, 3: -8, -1: 6, -2: b"\x05" * 32, 2: b"kid"})},
        "public_key_not_accepted",
    ),
    (
        "key of wrong length",
        {"public_key": cbor2.dumps({1: 1, 3: -8, -1: 6, -2: b"\x05" * 31})},
        "public_key_not_accepted",
    ),
    (
        "RSA of 1024 bits",
        {"public_key": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 128, -2: b"\x01\x00\x01"})},
        "public_key_not_accepted",
    ),
    (
        "RSA of 16384 bits",
        {"public_key": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 2048, -2: b"\x01\x00\x01"})},
        "public_key_not_accepted",
    ),
    (
        "RSA with exponent 1",
        {"public_key": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 256, -2: b"\x01"})},
        "public_key_not_accepted",
    ),
    ("client data over the limit", {"client_data": {"x": "y" * 4000}}, "credential_malformed"),
]


@pytest.mark.parametrize(
    ("spoilt", "reason"), [case[1:] for case in SPOILT], ids=[case[0] for case in SPOILT]
)
async def test_a_spoilt_registration_stores_nothing_and_uses_its_challenge_up(
    site: PasskeySite, browser: VisitingBrowser, spoilt: dict[str, Any], reason: str
) -> None:
    token = await site.enrolment(await site.account())
    before = await site.digest()

    answer = await browser.enrol(token, SoftwareAuthenticator(), **spoilt)

    assert_refused(answer)
    assert await site.digest() == before
    event = await site.last_event()
    assert (event.event, event.outcome, event.reason) == ("passkey_added", "failure", reason)
    assert (await browser.enrol(token, SoftwareAuthenticator())).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{",
        b"{}",
        b'{"challenge":"AAAA"}',
        b'{"challenge":7}',
        b"[" * 3000,
        b'{"a":' * 500,
    ],
)
async def test_client_data_that_cannot_be_read_is_refused(
    site: PasskeySite, browser: VisitingBrowser, raw: bytes
) -> None:
    token = await site.enrolment(await site.account())
    before = await site.digest()

    answer = await browser.enrol(token, SoftwareAuthenticator(), client_data_json=raw)

    assert_refused(answer)
    assert await site.digest() == before


async def test_client_data_with_a_member_twice_is_refused(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    token = await site.enrolment(await site.account())
    options = await browser.options("enrolment", {"enrolment": token})
    twice = (
        f'{{"type":"webauthn.create","challenge":"{options["challenge"]}","origin":"https://evil.org",'
        f'"origin":"{ISSUER}","crossOrigin":false}}'
    )
    credential = SoftwareAuthenticator().create(options, origin=ISSUER, client_data_json=twice.encode())

    assert_refused(await browser.finish_enrolment(token, credential))


HOSTILE_CBOR = {
    "nested arrays": b"\x81" * 12_000,
    "nested maps": b"\xa1\x01" * 6_000,
    "array of 2^32": b"\x9a\xff\xff\xff\xff",
    "string of 2^64": b"\x5b" + b"\xff" * 8,
    "map of 2^32": b"\xba\xff\xff\xff\xff",
    "indefinite map": b"\xbf\x63fmt\x64none\xff",
    "indefinite string": b"\x5f\x41a\x41b\xff",
    "tag": b"\xc2\x41\x01",
    "tags in tags": b"\xd8\x1c" * 4_000 + b"\x00",
    "shared reference": b"\xd8\x1d\x00",
    "float": b"\xfb" + bytes(8),
    "undefined": b"\xf7",
    "duplicate key": b"\xa2\x63fmt\x64none\x63fmt\x64none",
    "key that is a list": b"\xa1\x80\x00",
    "key that is true": b"\xa1\xf5\x00",
    "text that is no UTF-8": b"\x62\xff\xfe",
    "reserved argument": b"\x1c",
    "short argument": b"\x19\x01",
    "trailing byte": cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": b""}) + b"\x00",
    "stray member": cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": b"", "x": 1}),
    "missing member": cbor2.dumps({"fmt": "none", "attStmt": {}}),
    "members of wrong type": cbor2.dumps({"fmt": 1, "attStmt": [], "authData": "x"}),
    "no map": cbor2.dumps([1, 2, 3]),
    "short authenticator data": cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": b"x" * 36}),
    "flag AT and nothing behind it": none_attestation(
        hashlib.sha256(RP_ID.encode()).digest() + bytes([0x45]) + bytes(4)
    ),
    "hostile key": none_attestation(attested(b"a" * 16, key=b"\x81" * 9_000)),
    "empty": b"",
    "too large": b"\x00" * 17_000,
}


@pytest.mark.parametrize("attestation_object", HOSTILE_CBOR.values(), ids=HOSTILE_CBOR.keys())
async def test_hostile_cbor_is_refused_at_once(
    site: PasskeySite, browser: VisitingBrowser, attestation_object: bytes
) -> None:
    token = await site.enrolment(await site.account())
    before = await site.digest()
    options = await browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER, attestation_object=attestation_object)
    started = time.monotonic()

    answer = await browser.finish_enrolment(token, credential)

    assert_refused(answer)
    assert time.monotonic() - started < 1
    assert await site.digest() == before
    assert (await browser.enrol(token, SoftwareAuthenticator())).status_code == 200


MALFORMED_CREDENTIALS: list[Any] = [  # Any: whatever JSON can say.
    None,
    "",
    7,
    [],
    {},
    {"response": None},
    {"response": []},
    {"response": {"clientDataJSON": 7}},
    {"response": {"clientDataJSON": ""}},
    {"response": {"clientDataJSON": "e30="}},
    {"response": {"clientDataJSON": "e30 "}},
]


@pytest.mark.parametrize("credential", MALFORMED_CREDENTIALS)
async def test_json_that_is_no_credential_is_refused(
    site: PasskeySite, browser: VisitingBrowser, credential: Any
) -> None:
    token = await site.enrolment(await site.account())

    assert_refused(await browser.finish_enrolment(token, credential))
    assert_refused(await browser.finish_sign_in(credential))


@pytest.mark.parametrize("member", ["id", "rawId", "type"])
async def test_a_credential_without_a_member_is_refused(
    site: PasskeySite, browser: VisitingBrowser, member: str
) -> None:
    token = await site.enrolment(await site.account())
    options = await browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    del credential[member]

    assert_refused(await browser.finish_enrolment(token, credential))


@pytest.mark.parametrize("transports", ["usb", {"usb": 1}, ["usb"] * 17])
async def test_transports_that_are_no_short_list_are_refused(
    site: PasskeySite, browser: VisitingBrowser, transports: Any
) -> None:
    token = await site.enrolment(await site.account())

    assert_refused(await browser.enrol(token, SoftwareAuthenticator(), transports=transports))


async def test_unknown_transports_are_left_out_and_none_at_all_are_fine(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    account_id = await site.account()
    token = await site.enrolment(account_id)
    options = await browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER, transports=["warp", "usb"])

    assert (await browser.finish_enrolment(token, credential)).status_code == 200
    assert [found.transports for found in await site.credentials_of(account_id)] == [["usb"]]


async def test_a_challenge_is_used_once(site: PasskeySite, browser: VisitingBrowser) -> None:
    token = await site.enrolment(await site.account())
    options = await browser.options("enrolment", {"enrolment": token})
    authenticator = SoftwareAuthenticator()
    spoilt = authenticator.create(options, origin="https://evil.org")
    right = authenticator.create(options, origin=ISSUER)
    before = await site.digest()

    assert_refused(await browser.finish_enrolment(token, spoilt))
    assert_refused(await browser.finish_enrolment(token, right))
    assert (await site.last_event()).reason == "challenge_unknown"
    assert await site.digest() == before


async def test_eight_parallel_finishes_of_one_challenge_make_one_passkey(site: PasskeySite) -> None:
    account_id = await site.account()
    token = await site.enrolment(account_id)
    browser = site.browser()
    options = await browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)

    answers = await asyncio.gather(*(browser.finish_enrolment(token, credential) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert len(await site.credentials_of(account_id)) == 1
    assert len(await site.sessions_of(account_id)) == 1


async def test_eight_parallel_ceremonies_of_one_enrolment_make_one_passkey(site: PasskeySite) -> None:
    account_id = await site.account()
    token = await site.enrolment(account_id)

    answers = await asyncio.gather(
        *(site.browser().enrol(token, SoftwareAuthenticator()) for _ in range(8)), return_exceptions=True
    )

    # Who begins after the first one finished is refused at the options already.
    finished = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert [answer.status_code for answer in finished].count(200) == 1
    assert len(await site.credentials_of(account_id)) == 1
    assert len(await site.sessions_of(account_id)) == 1


async def test_a_challenge_is_no_other_browsers(site: PasskeySite, browser: VisitingBrowser) -> None:
    token = await site.enrolment(await site.account())
    options = await browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    before = await site.digest()

    assert_refused(await site.browser().finish_enrolment(token, credential))
    assert await site.digest() == before
    # Nor could the other browser use the challenge up.
    assert (await browser.finish_enrolment(token, credential)).status_code == 200


async def test_a_challenge_expires_after_five_minutes(
    site: PasskeySite, browser: VisitingBrowser, clock: FrozenClock
) -> None:
    token = await site.enrolment(await site.account())
    options = await browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    before = await site.digest()

    clock.advance(timedelta(minutes=5))

    assert_refused(await browser.finish_enrolment(token, credential))
    assert await site.digest() == before


async def test_a_sign_in_challenge_enrols_nobody(site: PasskeySite, browser: VisitingBrowser) -> None:
    token = await site.enrolment(await site.account())
    options = await browser.options("enrolment", {"enrolment": token})
    options["challenge"] = (await browser.options("authentication"))["challenge"]
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    before = await site.digest()

    assert_refused(await browser.finish_enrolment(token, credential))
    assert await site.digest() == before


async def test_a_made_up_challenge_is_refused(site: PasskeySite, browser: VisitingBrowser) -> None:
    token = await site.enrolment(await site.account())

    assert_refused(await browser.enrol(token, SoftwareAuthenticator(), challenge="A" * 43))
    assert_refused(await browser.enrol(token, SoftwareAuthenticator(), challenge=""))


async def test_a_ceremony_begun_for_one_enrolment_finishes_no_other(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    ada, bob = await site.account(), await site.account(email="bob@example.com")
    of_ada, of_bob = await site.enrolment(ada), await site.enrolment(bob)
    options = await browser.options("enrolment", {"enrolment": of_ada})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    before = await site.digest()

    assert_refused(await browser.finish_enrolment(of_bob, credential))
    assert (await site.last_event()).reason == "challenge_of_other_enrolment"
    assert await site.digest() == before


async def test_the_user_id_in_a_request_is_not_read(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person()
    bob = await site.account(email="bob@example.com")
    token = await site.enrolment(bob)
    options = await browser.options("enrolment", {"enrolment": token})
    options["user"]["id"] = "AAAA"
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    body: Json = {"enrolment": token, "credential": credential, "account_id": person.account_id}

    assert (await browser.post("/passkeys/enrolment", body)).status_code == 200
    assert len(await site.credentials_of(person.account_id)) == 1
    assert len(await site.credentials_of(bob)) == 1


async def test_a_credential_id_that_an_account_has_is_nobody_elses(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person()
    token = await site.enrolment(await site.account(email="eve@example.com"))
    before = await site.digest()

    answer = await browser.enrol(token, SoftwareAuthenticator(), credential_id=person.passkey.id)

    assert_refused(answer)
    assert (await site.last_event()).reason == "credential_known"
    assert await site.digest() == before


async def test_one_credential_id_enrolled_twice_at_once_is_one_accounts(site: PasskeySite) -> None:
    tokens = [await site.enrolment(await site.account(email=f"{name}@example.com")) for name in "abcdef"]

    answers = await asyncio.gather(
        *(site.browser().enrol(token, SoftwareAuthenticator(), credential_id=b"same" * 4) for token in tokens)
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 5


@pytest.mark.parametrize("status", ["disabled", "deleted"])
async def test_an_account_that_is_off_enrols_nothing(
    site: PasskeySite, browser: VisitingBrowser, status: str
) -> None:
    account_id = await site.account()
    token = await site.enrolment(account_id)
    options = await browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    await site.database.transact(accounts.set_status, account_id=account_id, status=status, now=site.clock())
    before = await site.digest()

    assert_refused(await browser.finish_enrolment(token, credential), code="enrolment_unavailable")
    begun = await browser.post("/passkeys/enrolment/options", {"enrolment": token})
    assert_refused(begun, code="enrolment_unavailable")
    assert await site.digest() == before


async def test_unknown_used_expired_and_foreign_enrolments_get_one_answer(
    site: PasskeySite, clock: FrozenClock
) -> None:
    used = await site.enrolment(await site.account(email="used@example.com"))
    await site.browser().enrol(used, SoftwareAuthenticator())
    foreign = await site.enrolment(
        await site.account(email="foreign@example.com"), kind="sign_up", browser_sha256=b"f" * 32
    )
    expired = await site.enrolment(await site.account(email="expired@example.com"))
    await site.execute(
        sa.update(tables.enrolments)
        .where(tables.enrolments.c.used_at.is_(None), tables.enrolments.c.kind == "invitation")
        .values(expires_at=clock())
    )

    answers = [
        await site.browser().post("/passkeys/enrolment/options", {"enrolment": token})
        for token in ("A" * 43, "", "ü" * 5000, used, foreign, expired)
    ]

    for answer in answers:
        assert_refused(answer, code="enrolment_unavailable")
    assert len({answer.json()["message"] for answer in answers}) == 1


async def test_a_sign_up_is_finished_by_the_browser_that_began_it(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    token = await site.enrolment(await site.account(), kind="sign_up", browser_sha256=browser.sha256)

    stolen = await site.browser().post("/passkeys/enrolment/options", {"enrolment": token})

    assert_refused(stolen, code="enrolment_unavailable")
    assert (await browser.enrol(token, SoftwareAuthenticator())).status_code == 200


async def test_finishing_an_enrolment_ends_the_accounts_others(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    account_id = await site.account()
    first, second = await site.enrolment(account_id), await site.enrolment(account_id)
    options = await browser.options("enrolment", {"enrolment": second})
    waiting = SoftwareAuthenticator().create(options, origin=ISSUER)

    assert (await site.browser().enrol(first, SoftwareAuthenticator())).status_code == 200
    assert_refused(await browser.finish_enrolment(second, waiting), code="enrolment_unavailable")
    assert len(await site.credentials_of(account_id)) == 1


async def test_a_recovery_enrolment_gives_an_account_another_passkey(site: PasskeySite) -> None:
    person = await site.person()
    token = await site.enrolment(person.account_id, kind="recovery")
    browser = site.browser()
    options = await browser.options("enrolment", {"enrolment": token})

    answer = await browser.enrol(token, SoftwareAuthenticator())

    assert [descriptor["type"] for descriptor in options["excludeCredentials"]] == ["public-key"]
    assert answer.status_code == 200
    assert len(await site.credentials_of(person.account_id)) == 2


async def test_eight_parallel_set_ups_make_one_administrator(site: PasskeySite) -> None:
    waiting = []
    for number in range(8):
        account_id = await site.account(email=f"root{number}@example.com", role="owner")
        token = await site.enrolment(account_id, kind="first_administrator")
        browser = site.browser()
        options = await browser.options("enrolment", {"enrolment": token})
        waiting.append((browser, token, SoftwareAuthenticator().create(options, origin=ISSUER)))

    answers = await asyncio.gather(
        *(browser.finish_enrolment(token, credential) for browser, token, credential in waiting)
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    active = [row for row in (await site.digest())["accounts"] if "active" in row]
    assert len(active) == 1
    late = await site.browser().post("/passkeys/enrolment/options", {"enrolment": waiting[0][1]})
    assert_refused(late, code="enrolment_unavailable")


async def test_a_set_up_finds_the_administrator_who_came_by_another_way(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    token = await site.enrolment(
        await site.account(email="first@example.com", role="owner"), kind="first_administrator"
    )
    options = await browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    other = await site.account(email="other@example.com", role="administrator")
    assert (
        await site.browser().enrol(await site.enrolment(other), SoftwareAuthenticator())
    ).status_code == 200
    before = await site.digest()

    assert_refused(await browser.finish_enrolment(token, credential), code="enrolment_unavailable")
    assert await site.digest() == before


async def test_an_account_holds_so_many_passkeys_and_no_more(site: PasskeySite) -> None:
    person = await site.person()
    for _ in range(MAX_PASSKEYS - 1):
        assert (await person.browser.add(SoftwareAuthenticator())).status_code == 200

    operation = await person.browser.confirmed()
    answer = await person.browser.post("/passkeys/addition/options", {"operation": operation})

    assert_refused(answer, code="too_many_passkeys")


async def test_without_required_verification_a_touch_enrols_and_claims_no_more(
    database: Database, clock: FrozenClock
) -> None:
    site = PasskeySite(database, clock, passkeys=Passkeys(user_verification="preferred"))
    account_id = await site.account()
    token = await site.enrolment(account_id)

    answer = await site.browser().enrol(token, SoftwareAuthenticator(backed_up=False), user_verified=False)

    assert answer.status_code == 200
    [session] = await site.sessions_of(account_id)
    assert (session.acr, session.amr) == ("presence", ["hwk", "user"])
    await site.close()


async def test_a_rsa_passkey_of_4096_bits_is_the_largest(site: PasskeySite, browser: VisitingBrowser) -> None:
    numbers = rsa.generate_private_key(public_exponent=65_537, key_size=4096).public_key().public_numbers()
    key = {1: 3, 3: -257, -1: numbers.n.to_bytes(512, "big"), -2: b"\x01\x00\x01"}
    token = await site.enrolment(await site.account())

    answer = await browser.enrol(token, SoftwareAuthenticator(), public_key=cbor2.dumps(key))

    assert answer.status_code == 200


async def test_the_session_cookie_is_host_bound_and_out_of_scripts_reach(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    answer = await browser.enrol(await site.enrolment(await site.account()), SoftwareAuthenticator())

    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert cookie.startswith("__Host-idp-")
        for attribute in ("HttpOnly", "Path=/", "SameSite=lax", "Secure"):
            assert attribute in cookie


async def test_no_secret_of_a_ceremony_reaches_the_log(
    site: PasskeySite, browser: VisitingBrowser, capfd: pytest.CaptureFixture[str]
) -> None:
    token = await site.enrolment(await site.account())
    authenticator = SoftwareAuthenticator()
    options = await browser.options("enrolment", {"enrolment": token})
    credential = authenticator.create(options, origin=ISSUER)
    await browser.finish_enrolment(token, credential)
    assertion = authenticator.get(await browser.options("authentication"), origin=ISSUER)
    await browser.finish_sign_in(assertion)
    await browser.finish_sign_in(assertion)

    captured = capfd.readouterr()
    for secret in (
        token,
        options["challenge"],
        options["user"]["id"],
        credential["id"],
        assertion["response"]["signature"],
        DECOY_KEY.decode(),
        *browser.client.cookies.values(),
    ):
        assert secret not in captured.out + captured.err
