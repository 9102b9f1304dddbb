import pytest

from idp.accounts import profile
from idp.accounts.profile import ProfileError

EVERYTHING = {
    "given_name": "Ada",
    "family_name": "Lovelace",
    "middle_name": "Augusta",
    "nickname": "Countess",
    "preferred_username": "ada",
    "profile": "https://ada.example/",
    "picture": "https://ada.example/ada.jpg?size=512",
    "website": "http://blog.ada.example:8080/#latest",
    "gender": "female",
    "birthdate": "1815-12-10",
    "zoneinfo": "America/Argentina/Buenos_Aires",
    "locale": "en-GB",
    "phone_number": "+442071838750;ext=5678",
    "phone_number_verified": "true",
    "address.formatted": "12 St James's Square\nLondon\nSW1Y 4JH",
    "address.street_address": "12 St James's Square",
    "address.locality": "London",
    "address.region": "Greater London",
    "address.postal_code": "SW1Y 4JH",
    "address.country": "GB",
}


def test_every_standard_claim_has_its_own_type() -> None:
    changed = profile.change({}, EVERYTHING)
    assert changed["phone_number_verified"] is True
    assert changed["address"] == {
        "formatted": "12 St James's Square\nLondon\nSW1Y 4JH",
        "street_address": "12 St James's Square",
        "locality": "London",
        "region": "Greater London",
        "postal_code": "SW1Y 4JH",
        "country": "GB",
    }
    assert set(changed) == {name for name in EVERYTHING if "." not in name} | {"address"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sub", "someone else"),
        ("email", "ada@example.com"),
        ("address", "London"),
        ("address.planet", "Earth"),
        ("given_name", " "),
        ("given_name", "a" * 201),
        ("given_name", "Ada\nLovelace"),
        ("nickname", "\u202eadA"),
        ("profile", "javascript:alert(1)"),
        ("picture", "https://ada.example/<svg>"),
        ("website", "ada.example"),
        ("birthdate", "1815-13-10"),
        ("birthdate", "1815-12"),
        ("birthdate", "10.12.1815"),
        ("birthdate", "0000-02-30"),
        ("zoneinfo", "Europe / Paris"),
        ("zoneinfo", "../../etc/passwd"),
        ("locale", "English, please"),
        ("phone_number", "020 7183 8750"),
        ("phone_number", "+0123456"),
        ("phone_number_verified", "yes"),
        ("address.country", "GB\nUS"),
    ],
)
def test_a_value_that_the_claim_cannot_have_is_refused(name: str, text: str) -> None:
    with pytest.raises(ProfileError, match=name):
        profile.change({"phone_number": "+14155550100"}, {name: text})


@pytest.mark.parametrize("birthdate", ["1815", "0000-02-29", "2000-02-29"])
def test_a_birthdate_may_keep_its_year_or_its_day_to_itself(birthdate: str) -> None:
    assert profile.change({}, {"birthdate": birthdate}) == {"birthdate": birthdate}


def test_an_empty_value_takes_a_claim_away() -> None:
    before = profile.change({}, EVERYTHING)
    after = profile.change(before, {"nickname": "", "address.region": "", "gender": ""})
    assert set(before) - set(after) == {"nickname", "gender"}
    assert "region" not in profile.change(before, {"address.region": ""})["address"]  # type: ignore[operator]  # a dict


def test_an_address_without_members_is_none() -> None:
    before = profile.change({}, {"address.country": "GB"})
    assert profile.change(before, {"address.country": ""}) == {}


def test_the_profile_that_was_handed_in_stays_as_it_was() -> None:
    before = profile.change({}, {"address.country": "GB"})
    profile.change(before, {"address.country": "FR", "nickname": "Ada"})
    assert before == {"address": {"country": "GB"}}


def test_a_new_phone_number_is_not_verified_by_the_old_one() -> None:
    before = profile.change({}, {"phone_number": "+14155550100", "phone_number_verified": "true"})
    assert profile.change(before, {"phone_number": "+14155550199"}) == {
        "phone_number": "+14155550199",
        "phone_number_verified": False,
    }


def test_no_phone_number_no_word_about_it() -> None:
    before = profile.change({}, {"phone_number": "+14155550100", "phone_number_verified": "true"})
    assert profile.change(before, {"phone_number": ""}) == {}
    with pytest.raises(ProfileError):
        profile.change({}, {"phone_number_verified": "true"})
