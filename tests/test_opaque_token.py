from idp import opaque_token


def test_an_identifier_is_never_taken_for_an_option_of_a_command() -> None:
    identifiers = {opaque_token.new_identifier() for _ in range(2000)}
    assert len(identifiers) == 2000
    assert all(identifier[0].isalnum() for identifier in identifiers)
    assert all(len(identifier) == 22 for identifier in identifiers)
