"""Every error the sidecar raises on purpose.

    SidecarError
    |-- ConfigurationError      usage, configuration, an unreadable file      exit 2
    |   |-- PackError           a model is missing, altered or does not fit
    |   |-- RecordingError      a recording cannot be read
    |   `-- StateInUse          another worker holds the state folder
    |-- CredentialsRefused      LiveKit or Redis said no                      exit 3
    |-- Unavailable             a server cannot be reached                    retryable
    |-- Overloaded              the work was shed to keep latency bounded     retryable
    |-- PermitRevoked           consent ended while the work was under way
    |-- TrackUnavailable        a track cannot be read (encrypted, gone)
    |   `-- UnsupportedCodec    it arrives, but is not decoded here
    |-- UnsupportedLanguage     words in a language the text model does not read
    |-- InferenceFailed         the runtime failed on a batch                 retryable
    |-- AuditUnavailable        the audit cannot be written: nothing may be granted   exit 2
    |-- AuditBroken             an audit chain does not verify                exit 1
    `-- InvariantBroken         a bug: the program is wrong, not its input

Errors of other libraries are translated into these at the edge that meets them.
"""

from typing import ClassVar


class SidecarError(Exception):
    """Base of all errors raised on purpose. `retryable`: trying again later may succeed."""

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1


class ConfigurationError(SidecarError):
    """What the operator gave cannot be used; the message says what to change."""

    exit_code = 2


class PackError(ConfigurationError):
    """A model is missing, altered, under a refused licence or not of the declared shape."""


class RecordingError(ConfigurationError):
    """A recording cannot be opened or decoded."""


class StateInUse(ConfigurationError):
    """Another worker holds the lock of the state folder."""


class CredentialsRefused(SidecarError):
    """A server was reached and refused the credentials."""

    exit_code = 3


class Unavailable(SidecarError):
    """A server cannot be reached at present."""

    retryable = True


class Overloaded(SidecarError):
    """The work was shed: its queue was full or its deadline had passed."""

    retryable = True


class PermitRevoked(SidecarError):
    """The permit of a unit was revoked; the unit must be forgotten."""


class TrackUnavailable(SidecarError):
    """A track ended or cannot be decoded."""


class UnsupportedCodec(TrackUnavailable):
    """A track arrives in a format that is not decoded here."""


class UnsupportedLanguage(SidecarError):
    """The words are in a language that the text model does not read."""

    def __init__(self, language: str) -> None:
        super().__init__(f"the text model does not read {language!r}")
        self.language = language


class InferenceFailed(SidecarError):
    """The model runtime failed on a batch (out of memory, a lost device)."""

    retryable = True


class AuditUnavailable(SidecarError):
    """The audit cannot be written at present, so nothing may be granted."""

    exit_code = 2


class AuditBroken(SidecarError):
    """An audit chain does not verify."""


class InvariantBroken(SidecarError):
    """A rule of the program itself was violated."""
