from idp.errors import InvalidRequest
from idp.web.parameters import Json


def text_field(fields: dict[str, Json], name: str) -> str:
    """Answer a text of a JSON body, empty when it is left out; raises InvalidRequest for any other kind."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text")
    return value
