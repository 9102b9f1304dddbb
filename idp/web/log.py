import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from idp.request_context import request_context

MAX_VALUE_LENGTH = 300


def configure(*, log_format: Literal["console", "json"], log_level: str) -> None:
    """Set up the log once for the process: one event a line on standard error."""
    renderers: tuple[structlog.typing.Processor, ...] = (
        (_exception_as_data, _one_line, structlog.processors.JSONRenderer())
        if log_format == "json"
        else (
            _one_line,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback),
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_request,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log_level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


# Any: structlog's own processor signature.
def _add_request(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = request_context.get()
    if context:
        event["request_id"] = context.request_id
        event["address"] = context.address
    return event


def _one_line(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep strangers' text from forging lines, colours or pages of log."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = clean(value)
    return event


# A traceback never shows local variables: secrets are among them.
_exception_as_data = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def _write_traceback(sio: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """Write a traceback for a person: each line of it clean and marked, so that none looks like an event."""
    for text in traceback.format_exception(*exc_info):
        sio.writelines(f"\n    | {clean(line)}" for line in text.splitlines())


def clean(text: str) -> str:
    """Spell control, line-breaking and direction-changing characters as escapes, and cut what is too long."""
    if len(text) > MAX_VALUE_LENGTH:
        text = text[:MAX_VALUE_LENGTH] + "…"
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
