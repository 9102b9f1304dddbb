"""Mutated ceremonies: whatever is sent, the answer is a refusal, and never the server's fault."""

import base64
import copy
from dataclasses import dataclass
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification import assertion, attestation, ctap_cbor, presented_credential
from idp.passkeys.verification.ceremony_error import CeremonyError
from tests.passkeys.site import ISSUER, PasskeySite
from tests.support.software_authenticator import Algorithm, Json, SoftwareAuthenticator

# What is not signed and not read may be anything: only what counts is mutated.
REGISTRATION_MEMBERS = ["clientDataJSON", "attestationObject"]
ASSERTION_MEMBERS = ["clientDataJSON", "authenticatorData", "signature", "userHandle"]
RELYING_PARTY = RelyingParty(
    id="id.example.com", name="Example", origins=(ISSUER,), user_verification="required"
)
CHALLENGE = b"c" * 32

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=50),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=8,
)


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of bytes or text; where, is a fraction of whatever length it meets."""

    kind: str
    where: int
    inserted: bytes

    def apply(self, original: bytes) -> bytes:
        value = bytearray(original)
        at = self.where % max(1, len(value))
        match self.kind:
            case "flip" if value:
                value[at] ^= 1 << self.where % 8
            case "set" if value:
                value[at] = self.inserted[0]
            case "insert":
                value[at:at] = self.inserted
            case "delete":
                del value[at : at + len(self.inserted)]
            case "cut":
                del value[at:]
            case _:
                value += value[at:]
        return bytes(value)


edits = st.builds(
    Edit,
    kind=st.sampled_from(["flip", "set", "insert", "delete", "cut", "repeat"]),
    where=st.integers(0, 2**20),
    inserted=st.binary(min_size=1, max_size=8),
)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change to a credential; drawn without looking at it, so that keys and signatures may be random."""

    kind: str
    member: int
    edits: list[Edit]
    text: str
    value: Any  # Any: whatever JSON can say.

    def apply(self, credential: Json, members: list[str]) -> Json:
        spoilt = copy.deepcopy(credential)
        response, name = spoilt["response"], members[self.member % len(members)]
        match self.kind:
            case "bytes":
                response[name] = encode(self._edited(decode(response[name])))
            case "text":
                at = self.edits[0].where % len(response[name])
                response[name] = response[name][:at] + self.text + response[name][at:]
            case "value":
                response[name] = self.value
            case "missing":
                del response[name]
            case "id":
                spoilt["id"] = spoilt["rawId"] = encode(self._edited(decode(spoilt["rawId"])))
            case _:
                spoilt[("id", "rawId", "type", "response")[self.member]] = self.value
        return spoilt

    def _edited(self, value: bytes) -> bytes:
        for edit in self.edits:
            value = edit.apply(value)
        return value


mutations = st.builds(
    Mutation,
    kind=st.sampled_from(["bytes", "bytes", "bytes", "text", "value", "missing", "id", "outer"]),
    member=st.integers(0, 3),
    edits=st.lists(edits, min_size=1, max_size=3),
    text=st.text(min_size=1, max_size=4),
    value=json_values,
)


def encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutation=mutations)
async def test_no_mutated_registration_succeeds_or_breaks_the_server(
    site: PasskeySite, mutation: Mutation
) -> None:
    account_id = await site.account()
    token = await site.enrolment(account_id)
    browser = site.browser()
    options = await browser.options("enrolment", {"enrolment": token})
    # Self attestation, so that every byte of the authenticator data is signed.
    credential = SoftwareAuthenticator().create(options, origin=ISSUER, format="packed")
    spoilt = mutation.apply(credential, REGISTRATION_MEMBERS)
    assume(spoilt != credential)

    answer = await browser.finish_enrolment(token, spoilt)

    assert answer.status_code == 400, answer.text
    assert await site.credentials_of(account_id) == []


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutation=mutations)
async def test_no_mutated_assertion_succeeds_or_breaks_the_server(
    site: PasskeySite, mutation: Mutation
) -> None:
    person = await site.person()
    browser = site.browser()
    credential = person.authenticator.get(await browser.options("authentication"), origin=ISSUER)
    spoilt = mutation.apply(credential, ASSERTION_MEMBERS)
    assume(spoilt != credential)

    answer = await browser.finish_sign_in(spoilt)

    assert answer.status_code == 400, answer.text
    assert len(await site.sessions_of(person.account_id)) == 1


@dataclass(frozen=True, slots=True)
class Ceremonies:
    """One passkey's registration and assertion, both right."""

    registration: Json
    assertion: Json
    public_key: bytes


def ceremonies_with(algorithm: Algorithm) -> Ceremonies:
    authenticator = SoftwareAuthenticator()
    registration = authenticator.create(
        {
            "rp": {"id": RELYING_PARTY.id},
            "user": {"id": "AAAA"},
            "challenge": encode(CHALLENGE),
            "pubKeyCredParams": [{"type": "public-key", "alg": int(algorithm)}],
        },
        origin=ISSUER,
        format="packed",
    )
    answer = authenticator.get({"challenge": encode(CHALLENGE), "rpId": RELYING_PARTY.id}, origin=ISSUER)
    return Ceremonies(registration, answer, authenticator.passkeys[0].public_key)


CEREMONIES = {algorithm: ceremonies_with(algorithm) for algorithm in Algorithm}


@pytest.mark.parametrize("algorithm", Algorithm)
@settings(max_examples=500, deadline=None, derandomize=True)
@given(mutation=mutations)
def test_the_verifier_of_registrations_knows_one_kind_of_failure(
    algorithm: Algorithm, mutation: Mutation
) -> None:
    def verify(credential: Json) -> None:
        attestation.verify(
            presented_credential.read_registration(credential),
            expected_challenge=CHALLENGE,
            relying_party=RELYING_PARTY,
        )

    right = CEREMONIES[algorithm].registration
    spoilt = mutation.apply(right, REGISTRATION_MEMBERS)
    assume(spoilt != right)

    verify(right)
    with pytest.raises(CeremonyError):
        verify(spoilt)


@pytest.mark.parametrize("algorithm", Algorithm)
@settings(max_examples=500, deadline=None, derandomize=True)
@given(mutation=mutations)
def test_the_verifier_of_assertions_knows_one_kind_of_failure(
    algorithm: Algorithm, mutation: Mutation
) -> None:
    def verify(credential: Json) -> None:
        assertion.verify(
            presented_credential.read_assertion(credential),
            public_key=CEREMONIES[algorithm].public_key,
            expected_challenge=CHALLENGE,
            relying_party=RELYING_PARTY,
        )

    right = CEREMONIES[algorithm].assertion
    spoilt = mutation.apply(right, ["clientDataJSON", "authenticatorData", "signature"])
    # Whose the id is, is found out before: the verifier itself only wants one that is well formed.
    assume(spoilt != right and mutation.kind != "id")

    verify(right)
    with pytest.raises(CeremonyError):
        verify(spoilt)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200))
def test_the_cbor_decoder_knows_one_kind_of_failure(data: bytes) -> None:
    try:
        ctap_cbor.decode(data)
    except CeremonyError:
        return


cbor_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=300)
    | st.text(max_size=80),
    lambda children: (
        st.lists(children, max_size=30)
        | st.dictionaries(st.integers(-(2**63), 2**63) | st.text(max_size=10), children, max_size=30)
    ),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(value=cbor_values)
def test_the_cbor_decoder_agrees_with_another_implementation(value: Any) -> None:
    encoded = cbor2.dumps(value, canonical=True)

    try:
        decoded = ctap_cbor.decode(encoded)
    except CeremonyError:
        assert depth(value) > ctap_cbor.MAX_DEPTH
        return

    assert decoded == value


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0
