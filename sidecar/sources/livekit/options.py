"""Settings of the LiveKit source."""

from typing import Annotated

from msgspec import Meta

from sidecar.types import Options


class LiveKitOptions(Options, frozen=True):
    """How a room is received."""

    fps: Annotated[float, Meta(gt=0, le=10)] = 5.0
    """Frames a second taken from each camera; the rest is dropped before conversion."""
    ice_servers: Annotated[tuple[str, ...], Meta(min_length=1)] = ("stun:127.0.0.1:3478",)
    """STUN and TURN addresses. Never empty: the SDK would take the server's list, which names public STUN servers."""
    join_timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    """How long joining a room may take, the SDK's own retries included."""
    track_timeout_s: Annotated[float, Meta(gt=0)] = 15.0
    """How long an opened track may take to arrive, and may deliver nothing without being muted."""
    transcript_bytes: Annotated[int, Meta(gt=0)] = 16_384
    """Largest transcript segment that is read."""
    transcript_timeout_s: Annotated[float, Meta(gt=0)] = 5.0
    """How long the rest of an offered transcript segment may take to arrive."""
