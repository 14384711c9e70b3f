"""Keeps tokens out of messages: the SDK quotes a refused one in its errors and its log."""

import logging
import re
from typing import Final

_TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


def without_tokens(text: str) -> str:
    """The text with every JSON web token masked."""
    return _TOKEN.sub("(token)", text)


class TokenMask(logging.Filter):
    """Masks tokens in records; the composition root adds it to the SDK's logger, `livekit`."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = without_tokens(record.getMessage())
        record.args = None
        return True
