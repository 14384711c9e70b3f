"""Real and drawn faces as calls show them, for `drawn_face`: pictures of a whole camera frame, some of them spoiled.

Real faces are the clips, FER+ images shown as stills, and portraits that come with Python packages; drawn ones are
painted on the spot (`models.train.drawings`). The two splits share no clip, image or style of drawing.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, median_filter

from models.datasets import data_root, ferplus
from models.train.drawing_styles import HELD_OUT, STYLES
from models.train.drawings import paint

TRAINING_CLIPS: Final = ("brbk7n.mpg", "lbax4n.mpg", "lrwp9a.mpg", "sbia1a.mpg")
TEST_CLIPS: Final = ("lbbc2a.mpg", "lwbsza.mpg", "pwij3p.mpg", "WolfgangLanger_Pexels.mp4", "single_face.jpg")
WEAR: Final = ("clean", "dark", "noise", "blur", "smoothed", "grey", "cast", "small", "h264", "vp8", "jpeg")
_EVERY: Final = 12  # frames
_WIDTHS_PX: Final = (320, 320, 480, 640)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Case:
    """One picture of a call."""

    source: str
    """Clip, corpus or style."""
    drawn: bool
    wear: str
    """One of `WEAR`."""
    rgb: Pixels  # (height, width, 3)


def real_cases(random: np.random.Generator, split: str, stills: int) -> Iterator[Case]:
    """Faces of people, `split` train or test; of each frame a clean picture and three worn ones."""
    clips = data_root() / "clips"
    for name in TRAINING_CLIPS if split == "train" else TEST_CLIPS:
        for frame in pictures(clips / name):
            yield from _worn(random, name, False, frame, 3)
    if split == "test":
        for name, portrait in _portraits():
            yield from _worn(random, name, False, portrait, 12)
    faces = ferplus.load(split)
    # Two votes for "unknown", or one for "not a face": FER2013 holds drawings and statues, too.
    sound = np.flatnonzero((faces.votes[:, 9] == 0) & (faces.votes[:, 8] <= 1))
    for index in random.choice(sound, min(stills, len(sound)), replace=False):
        rgb = np.repeat(faces.images[index][..., None], 3, axis=2)
        ground = np.full(3, int(random.integers(0, 256)), np.uint8)
        yield from _worn(random, "ferplus", False, framed(rgb, ground, random), 0 if random.random() < 0.4 else 1)


def drawn_cases(random: np.random.Generator, split: str, each: int) -> Iterator[Case]:
    """`each` drawings of every style of `split` (train or test), clean and worn."""
    for style in STYLES:
        if (style in HELD_OUT) == (split == "test"):
            for number in range(each):
                drawing = paint(style, random)
                yield from _worn(random, style, True, framed(drawing, drawing[2, 2], random), 1 + number % 2)


def folder_cases(random: np.random.Generator, folder: Path, drawn: bool) -> Iterator[Case]:
    """Pictures of a folder and the folders in it, the folder's name as their source."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            rgb = _on_white(path)
            yield from _worn(random, path.parent.name, drawn, framed(rgb, rgb[0, 0], random) if drawn else rgb, 1)


def pictures(path: Path, every: int = _EVERY) -> Iterator[Pixels]:
    """Every so many frames of a clip or photograph."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0:
                yield frame.to_ndarray(format="rgb24").astype(np.uint8)


def framed(picture: Pixels, ground: Pixels, random: np.random.Generator) -> Pixels:
    """A square picture somewhere in a frame of 16:9 as wide as a layer of a call."""
    width = int(random.choice(_WIDTHS_PX))
    height = width * 9 // 16
    side = int(height * random.uniform(0.55, 1.0))
    frame = np.empty((height, width, 3), np.uint8)
    frame[:] = ground
    top, left = int(random.integers(0, height - side + 1)), int(random.integers(0, width - side + 1))
    frame[top : top + side, left : left + side] = _resized(picture, side, side)
    return frame


def worn(rgb: Pixels, wear: str, random: np.random.Generator) -> Pixels:
    """The picture as a bad camera or network gives it."""
    if wear in ("h264", "vp8"):
        return _coded(rgb, wear, random)
    if wear == "jpeg":
        held = io.BytesIO()
        Image.fromarray(rgb).save(held, "JPEG", quality=int(random.integers(8, 80)))
        return np.asarray(Image.open(held).convert("RGB"))
    values: NDArray[np.floating[Any]] = rgb.astype(np.float32)
    if wear == "dark":
        values = values * random.uniform(0.15, 0.6) + random.normal(0, random.uniform(1, 7), values.shape)
    elif wear == "noise":
        values += random.normal(0, random.uniform(2, 14), values.shape)
    elif wear == "blur":
        sigma_px = random.uniform(0.5, 2.5) * rgb.shape[1] / 480
        values = gaussian_filter(values, (sigma_px, sigma_px, 0))
    elif wear == "smoothed":  # beautifying filters: skin loses its texture, edges stay
        side = int(random.integers(3, 8))
        values = median_filter(values, (side, side, 1))
    elif wear == "grey":
        values = np.repeat(values @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=2)
    elif wear == "cast":
        values *= random.uniform(0.75, 1.2, 3)
    return values.clip(0, 255).astype(np.uint8)


def _worn(random: np.random.Generator, source: str, drawn: bool, rgb: Pixels, times: int) -> Iterator[Case]:
    """The picture as it is, and worn in `times` ways, at other sizes."""
    yield Case(source, drawn, "clean", rgb)
    for wear in random.choice(WEAR[1:], times, replace=False) if times < len(WEAR) else WEAR[1:]:
        limits = (120, 200) if wear == "small" else (240, 640)
        width = int(np.clip(rgb.shape[1] * random.uniform(0.4 if wear == "small" else 0.6, 1.0), *limits)) // 2 * 2
        smaller = _resized(rgb, width, rgb.shape[0] * width // rgb.shape[1] // 2 * 2)
        yield Case(source, drawn, str(wear), np.ascontiguousarray(worn(smaller, str(wear), random)))


def _resized(rgb: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC))


def _coded(rgb: Pixels, codec: str, random: np.random.Generator) -> Pixels:
    """The third of three equal pictures sent through a codec at a low to very low rate."""
    height, width = (length // 2 * 2 for length in rgb.shape[:2])
    held = io.BytesIO()
    quality = {"crf": str(int(random.integers(20, 44 if codec == "h264" else 60)))}
    live = {"b:v": "1M", "deadline": "realtime", "cpu-used": "8"}
    with av.open(held, mode="w", format="matroska") as container:
        if codec == "h264":
            stream = container.add_stream("libx264", rate=15, options={"preset": "veryfast", **quality})
        else:
            stream = container.add_stream("libvpx", rate=15, options=live | quality)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    held.seek(0)
    with av.open(held, mode="r") as coded:
        *_, last = (frame.to_ndarray(format="rgb24") for frame in coded.decode(video=0))
    return last.astype(np.uint8)


def _portraits() -> Sequence[tuple[str, Pixels]]:
    """Photographs in the public domain that come with scikit-image and matplotlib."""
    found = []
    for package, name in (("skimage", "data/astronaut.png"), ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")):
        with files(package).joinpath(name).open("rb") as file:
            found.append((Path(name).stem, np.asarray(Image.open(file).convert("RGB"))))
    return found


def _on_white(path: Path) -> Pixels:
    picture = Image.open(path).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return np.asarray(ground.convert("RGB"))
