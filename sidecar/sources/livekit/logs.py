"""Keeps names and tokens out of the log: the SDK quotes them in its messages."""

import logging
import re
from typing import Final

_TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_EVENT: Final = re.compile(r"^error running user callback for \w+")


def without_tokens(text: str) -> str:
    """The text with every JSON web token masked."""
    return _TOKEN.sub("(token)", text)


class TokenMask(logging.Filter):
    """Masks tokens and quoted names in the records of the SDK's own logger, `livekit`."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _QUOTED.sub('"..."', without_tokens(record.getMessage()))
        record.args = None
        return True


class EventMask(logging.Filter):
    """Cuts the events out of the root logger's records: there the SDK logs an event that it cannot handle, with the
    identity, name and attributes of a participant."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        event = _EVENT.match(record.getMessage())
        if event is not None:
            record.msg, record.args = f"{event[0]}: {type(error).__name__}", None
            record.exc_info = record.exc_text = None
        return True


_MASKS: Final = (("livekit", TokenMask()), (None, EventMask()))


def mask_sdk_logs() -> None:
    """Mask what the SDK logs in this process from now on. Idempotent."""
    for name, mask in _MASKS:
        logging.getLogger(name).addFilter(mask)
