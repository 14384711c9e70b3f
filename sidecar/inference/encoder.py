"""What a model and an encoder are to the rest of the program."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from sidecar.types import EncoderOutput

Unit_contra = TypeVar("Unit_contra", contravariant=True)


class Model(Protocol):
    """A loaded network. Blocking: call it from the thread that owns it."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Outputs by name for one batch of inputs by name; axis 0 is the batch."""
        ...


class Encoder(Protocol[Unit_contra]):
    """Turns one media unit into emotion logits and an embedding."""

    async def encode(self, unit: Unit_contra) -> EncoderOutput:
        """Raises `Overloaded` when shed and `PermitRevoked` when consent ended meanwhile."""
        ...
