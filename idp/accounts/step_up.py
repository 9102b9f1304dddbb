"""Where a person is sent to confirm an operation, and what they read when that came to nothing."""

from starlette.responses import RedirectResponse, Response

from idp.errors import NextStep, PageError
from idp.sessions import confirmation
from idp.web.parameters import Parameters

OPERATION_FIELD = "operation"


def presented_operation(fields: Parameters) -> str | None:
    """Answer the operation that the form says was confirmed; None when it only begins one."""
    return fields.get(OPERATION_FIELD)


def to_confirmation(operation_id: str) -> Response:
    """Send the browser to the page that asks for a passkey."""
    return RedirectResponse(confirmation.page_of(operation_id), status_code=303)


def not_confirmed() -> PageError:
    """Answer what the person reads when an operation is not (or no longer) confirmed."""
    return PageError(
        "This wasn't confirmed in time",
        "A confirmation works once, for two minutes. Nothing was changed. Start again in your account.",
        code="confirmation_required",
        status=403,
        next_step=NextStep("Go to your account", "/account"),
    )
