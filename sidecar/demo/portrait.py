"""A photograph filmed by a slowly moving camera, where no video of a face is at hand."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image

from sidecar.demo.media import FPS, HEIGHT_PX, WIDTH_PX

_LOOP_S: Final = 8
_QUALITY: Final = 3  # quantiser of MPEG-4 part 2, 1 best to 31


@dataclass(frozen=True, slots=True)
class Portrait:
    """A photograph and where its face is, in its own pixels."""

    photograph: Image.Image
    face_px: tuple[float, float]
    """Centre of the face, x and y."""
    view_px: float
    """Width of the part that fills the picture."""


def astronaut() -> Portrait:
    """Eileen Collins by NASA, public domain; comes with scikit-image."""
    return Portrait(_photograph("skimage", "data/astronaut.png"), (226.0, 122.0), 330.0)


def admiral() -> Portrait:
    """Grace Hopper by the United States Navy, public domain; comes with matplotlib."""
    return Portrait(_photograph("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"), (268.0, 205.0), 420.0)


def film(portrait: Portrait, path: Path) -> None:
    """Write a loop of 8 s at 640x360 whose end meets its beginning."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.codec_context.qmin = stream.codec_context.qmax = _QUALITY
        for picture in _pictures(portrait):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        container.mux(stream.encode())


def _photograph(package: str, name: str) -> Image.Image:
    with files(package).joinpath(name).open("rb") as file:
        return Image.open(file).convert("RGB")


def _pictures(portrait: Portrait) -> Iterator[Image.Image]:
    centre_x, centre_y = portrait.face_px
    for number in range(_LOOP_S * FPS):
        turn = 2 * math.pi * number / (_LOOP_S * FPS)
        width = portrait.view_px * (1 + 0.08 * math.sin(turn))
        height = width * HEIGHT_PX / WIDTH_PX
        left = centre_x - width / 2 + 0.03 * width * math.sin(turn)
        top = max(0.0, centre_y - height / 2 + 0.04 * height * math.sin(2 * turn))
        view = (left, top, left + width, top + height)
        yield portrait.photograph.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BILINEAR, view)
