"""A LiveKit room seen by a hidden subscriber. The only importer of `livekit.rtc` in the product (the demo's simulated
participant aside)."""

from sidecar.sources.livekit.call import LiveKitCall
from sidecar.sources.livekit.logs import TokenMask, mask_sdk_logs
from sidecar.sources.livekit.options import LiveKitOptions
from sidecar.sources.livekit.token import observer_token

__all__ = ["LiveKitCall", "LiveKitOptions", "TokenMask", "mask_sdk_logs", "observer_token"]
