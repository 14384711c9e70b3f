"""Drawn faces made on the spot: what `drawn_face` is trained and judged on, so that no artist's drawings are needed.

`paint("anime", random)` gives one drawing. A style fixes how eyes, outlines, hair and shading are done; everything else
is drawn by chance. `drawing_styles` lists the styles.
"""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, uniform_filter

from models.train.drawing_styles import STYLES, Colour, Style

SIDE_PX: Final = 270
_SCALE: Final = 2
"""Drawings are made twice as large and reduced, which smooths their edges."""

T = TypeVar("T")
Pixels = NDArray[np.uint8]
Field = NDArray[np.float64]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

_INK: Final[tuple[Colour, ...]] = ((0, 0, 0), (30, 20, 20), (60, 30, 20), (40, 40, 90))
_LIPS: Final[tuple[Colour, ...]] = ((180, 0, 0), (200, 90, 90), (120, 40, 40), (0, 0, 0))


def paint(style: str, random: np.random.Generator, side_px: int = SIDE_PX) -> Pixels:
    """One drawing of `style` on a ground that fills it: (side_px, side_px, 3) uint8 RGB."""
    return _Painter(STYLES[style], random, side_px).picture()


class _Painter:
    """One face. Lengths are shares of the face's half width `_unit`, from the middle of the face."""

    def __init__(self, style: Style, random: np.random.Generator, side_px: int) -> None:
        self._style, self._random, self._side = style, random, side_px * _SCALE
        self._unit = self._side * random.uniform(0.22, 0.34)
        self._middle = (self._side * random.uniform(0.46, 0.54), self._side * random.uniform(0.48, 0.56))
        self._tall = random.uniform(1.1, 1.4)
        self._line = self._unit * 2 * random.uniform(*style.outline)
        self._ink = self._pick(_INK)
        red, green, blue = (int(c) for c in random.integers(90, 256, 3))
        self._ground: Colour = (red, green, blue) if random.random() < 0.6 else (255, 255, 255)
        self._skin = self._ground if style.colourless else self._jitter(self._pick(style.skins))
        self._hair = self._ground if style.colourless else self._jitter(self._pick(style.hairs))
        self._lean = random.uniform(-0.06, 0.06)
        self._lids = random.uniform(-0.6, 0.6)
        self._turn = random.uniform(-0.4, 0.4) if random.random() < 0.4 else 0.0
        self._image = Image.new("RGB", (self._side, self._side), self._ground)
        self._draw = ImageDraw.Draw(self._image)

    def picture(self) -> Pixels:
        self._background()
        hairy = self._random.random() < self._style.hair
        if hairy:
            self._back_hair()
        self._body()
        self._head()
        self._shade()
        self._eyes()
        self._nose()
        if self._random.random() < 0.15:
            self._beard()
        self._mouth()
        if self._random.random() < 0.1:
            self._moustache()
        if hairy:
            self._fringe()
        if self._random.random() < 0.2:
            self._glasses()
        small = self._image.reduce(_SCALE)
        return self._finished(
            small.rotate(self._random.uniform(-6, 6), Image.Resampling.BILINEAR, fillcolor=self._ground)
        )

    def _pick(self, choices: tuple[T, ...]) -> T:
        return choices[int(self._random.integers(len(choices)))]

    def _jitter(self, colour: Colour) -> Colour:
        red, green, blue = np.clip(np.array(colour) + self._random.integers(-14, 15, 3), 0, 255)
        return int(red), int(green), int(blue)

    def _at(self, x: float, y: float) -> Point:
        return self._middle[0] + (x + self._lean * y) * self._unit, self._middle[1] + y * self._unit

    def _box(self, x: float, y: float, half_width: float, half_height: float) -> Box:
        (left, top), (right, bottom) = (
            self._at(x - half_width, y - half_height),
            self._at(x + half_width, y + half_height),
        )
        return min(left, right), min(top, bottom), max(left, right), max(top, bottom)

    def _oval(self, box: Box, fill: Colour | None, line: bool = True) -> None:
        width = round(self._line) if line else 0
        self._draw.ellipse(box, fill=fill, outline=self._ink if width else None, width=max(width, 1))

    def _shape(self, points: list[Point], fill: Colour) -> None:
        self._draw.polygon(points, fill=fill)
        if self._line >= 1:
            self._draw.line([*points, points[0]], fill=self._ink, width=round(self._line), joint="curve")

    def _stroke(self, points: list[Point], colour: Colour, width: float) -> None:
        self._draw.line(points, fill=colour, width=max(round(width * self._unit), 2), joint="curve")

    def _background(self) -> None:
        if self._style.colourless or self._random.random() < 0.6:
            return
        other = np.array(self._jitter(self._ground)) * self._random.uniform(0.5, 1.0)
        ramp = np.linspace(0, 1, self._side)[:, None, None]
        mixed = (1 - ramp) * np.array(self._ground) + ramp * other
        self._image.paste(Image.fromarray(np.broadcast_to(mixed, (self._side, self._side, 3)).astype(np.uint8)))

    def _back_hair(self) -> None:
        length = self._random.uniform(-0.2, 1.6)
        self._oval(self._box(0, -0.3, 1.2, 1.25 * self._tall), self._hair)
        if length > 0.3:
            corners = [(-1.2, -0.3), (1.2, -0.3), (1.15, length), (-1.15, length)]
            self._shape([self._at(x, y) for x, y in corners], self._hair)

    def _body(self) -> None:
        if self._random.random() < 0.3:
            return
        shirt = self._ground if self._style.colourless else self._jitter((120, 130, 160))
        neck = [(-0.4, 0.6), (0.4, 0.6), (0.45, 1.8), (-0.45, 1.8)]
        self._shape([self._at(x, y) for x, y in neck], self._skin)
        self._oval(self._box(0, self._tall + 1.6, 1.8, 1.2), shirt)

    def _head(self) -> None:
        if self._random.random() < 0.6:
            for side in (-1, 1):
                self._oval(self._box(side * 1.0, 0.05, 0.16, 0.26), self._skin)
        angles = np.linspace(0, 2 * np.pi, 80, endpoint=False)
        power, jaw = self._random.uniform(0.75, 1.05), self._random.uniform(0.0, 0.3)
        x = np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** power
        y = np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** power * self._tall
        x = x * (1 - jaw * np.clip(y, 0, None))
        self._outline = [self._at(float(a), float(b)) for a, b in zip(x, y, strict=True)]
        self._shape(self._outline, self._skin)

    def _mask(self) -> Image.Image:
        mask = Image.new("L", self._image.size)
        ImageDraw.Draw(mask).polygon(self._outline, fill=255)
        return mask

    def _shade(self) -> None:
        """Light on the head, within its outline."""
        kind = self._pick(self._style.shade)
        if kind == "none":
            return
        if kind == "hatching":
            self._hatching()
            return
        y, x = np.mgrid[: self._side, : self._side].astype(np.float64)
        x, y = (x - self._middle[0]) / self._unit, (y - self._middle[1]) / self._unit / self._tall
        dark = _darkness(kind, x, y, self._random)
        skin = np.array(self._skin) * (1 - dark[..., None] * self._random.uniform(0.25, 0.6))
        self._image.paste(Image.fromarray(skin.clip(0, 255).astype(np.uint8)), (0, 0), self._mask())
        self._draw = ImageDraw.Draw(self._image)
        if self._line >= 1:
            self._draw.line([*self._outline, self._outline[0]], fill=self._ink, width=round(self._line))

    def _hatching(self) -> None:
        over = self._image.copy()
        pen, side = ImageDraw.Draw(over), int(self._pick((-1, 1)))
        for step in np.arange(0.2, 1.3, self._random.uniform(0.05, 0.12)):
            start, end = self._at(side * step, -0.9 + step / 2), self._at(side * (step - 0.3), 1.1)
            pen.line([start, end], fill=self._ink, width=max(round(self._line / 2), 2))
        self._image.paste(over, (0, 0), self._mask())
        self._draw = ImageDraw.Draw(self._image)

    def _eyes(self) -> None:
        kind, apart = self._pick(self._style.eyes), self._random.uniform(0.36, 0.48)
        height, size = self._random.uniform(-0.25, -0.05), self._random.uniform(0.13, 0.22)
        brow, slant = height - size - self._random.uniform(0.12, 0.3), self._random.uniform(-0.12, 0.12)
        iris = self._jitter(self._pick(((60, 110, 60), (70, 50, 30), (60, 100, 170), (10, 10, 10))))
        glance = self._random.uniform(-0.3, 0.3)
        for side in (-1, 1):
            middle = self._turn * 0.6 + side * apart * (1 - 0.4 * max(side * self._turn, 0))
            self._eye(kind, (middle, height), size, iris, glance)
            inner, outer = middle - side * 1.2 * size, middle + side * 1.2 * size
            points = [self._at(inner, brow + slant), self._at(middle, brow - 0.05), self._at(outer, brow - slant / 2)]
            self._stroke(
                points, self._ink if self._style.colourless else self._hair_or_ink(), self._random.uniform(0.03, 0.09)
            )

    def _hair_or_ink(self) -> Colour:
        return self._hair if sum(self._hair) < 400 else self._ink

    def _eye(self, kind: str, at: Point, size: float, iris: Colour, glance: float) -> None:
        x, y = at
        pupil = x + glance * size
        if kind == "dot":
            self._oval(self._box(x, y, size * 0.45, size * 0.6), self._ink, line=False)
            return
        if kind == "shut":
            lid = [self._at(x + a * size, y + self._lids * size * (1 - a * a)) for a in np.linspace(-1, 1, 9)]
            self._stroke(lid, self._ink, 0.05)
            return
        wide, high = {"round": (1.0, 0.9), "almond": (1.3, 0.6), "large": (1.3, 1.7)}[kind]
        white = self._ground if self._style.colourless else (255, 255, 255)
        if kind == "almond":
            turns = np.linspace(0, np.pi, 12)
            lids = [(float(-np.cos(t)), float(-np.sin(t))) for t in turns] + [
                (float(np.cos(t)), float(np.sin(t))) for t in turns
            ]
            self._shape([self._at(x + a * wide * size, y + b * high * size) for a, b in lids], white)
        else:
            self._oval(self._box(x, y, wide * size, high * size), white)
        ball = 0.55 * size if kind != "large" else 0.9 * size
        self._oval(self._box(pupil, y, ball, ball * (1.4 if kind == "large" else 1)), iris, line=False)
        self._oval(self._box(pupil, y, ball * 0.5, ball * 0.6), (0, 0, 0), line=False)
        if kind == "large" or self._random.random() < 0.4:
            self._oval(
                self._box(pupil - ball * 0.35, y - ball * 0.4, ball * 0.3, ball * 0.3), (255, 255, 255), line=False
            )
        lash = [
            self._at(x + a * wide * size, y - high * size * float(np.sqrt(1 - a * a))) for a in np.linspace(-1, 1, 9)
        ]
        self._stroke(lash, self._ink, 0.03 if kind != "large" else 0.06)

    def _nose(self) -> None:
        kind, length = self._pick(self._style.noses), self._random.uniform(0.25, 0.45)
        tone = self._ink if self._style.colourless or self._line >= 1 else self._darker(0.75)
        x, side = self._turn, -1 if self._turn > 0 else 1
        if kind == "line":
            points = [self._at(x, length - 0.4), self._at(x - side * 0.08, length), self._at(x + side * 0.06, length)]
            self._stroke(points, tone, 0.03)
        elif kind == "hook":
            turns = np.linspace(-1.6, 1.8, 12)
            tip = [self._at(x - side * 0.14 * float(np.cos(t)), length - 0.1 + 0.13 * float(np.sin(t))) for t in turns]
            self._stroke([self._at(x + side * 0.02, length - 0.6), *tip], tone, self._random.uniform(0.03, 0.06))
        elif kind == "dots":
            for nostril in (-1, 1):
                self._oval(self._box(x + nostril * 0.07, length, 0.03, 0.025), tone, line=False)
        elif kind == "wedge":
            corners = [self._at(x, length - 0.3), self._at(x - 0.14, length), self._at(x + 0.14, length)]
            self._draw.polygon(corners, fill=self._darker(0.85))

    def _darker(self, share: float) -> Colour:
        red, green, blue = (int(c * share) for c in self._skin)
        return red, green, blue

    def _mouth(self) -> None:
        kind, height = self._pick(self._style.mouths), self._random.uniform(0.6, 0.75)
        half, bend = self._random.uniform(0.2, 0.45), self._random.uniform(-0.12, 0.25)
        colour = self._ink if self._style.colourless else self._pick(_LIPS)
        across = np.linspace(-1, 1, 15)
        x = self._turn * 0.7
        low = [self._at(x + a * half, height + bend * (1 - a * a)) for a in across]
        if kind == "arc":
            self._stroke(low, colour, self._random.uniform(0.03, 0.07))
            return
        opening = self._random.uniform(0.08, 0.25) if kind == "open" else -0.06
        high = [self._at(x + a * half, height + (bend - opening) * (1 - a * a)) for a in across]
        inside = (110, 20, 30) if kind == "open" and not self._style.colourless else colour
        self._shape([*low, *reversed(high)], inside)
        if kind == "open" and self._random.random() < 0.6:
            teeth = [self._at(x + a * half * 0.8, height + (bend - opening * 0.6) * (1 - a * a)) for a in across]
            self._draw.polygon([*high[2:-2], *reversed(teeth[2:-2])], fill=(255, 255, 255))

    def _beard(self) -> None:
        under = [
            self._at(0.97 * float(np.cos(t)), self._tall * float(np.sin(t))) for t in np.linspace(0.1, np.pi - 0.1, 20)
        ]
        lip = self._random.uniform(0.45, 0.6)
        self._shape([*under, self._at(-0.4, lip), self._at(0.4, lip)], self._hair)

    def _moustache(self) -> None:
        x, half, low = self._turn * 0.7, self._random.uniform(0.2, 0.4), self._random.uniform(0.5, 0.58)
        across = np.linspace(-1, 1, 11)
        edge = [self._at(x + a * half, low + 0.08 * a * a) for a in across]
        above = [self._at(x + a * half, low - 0.1 * (1 - abs(a))) for a in reversed(across)]
        self._shape([*edge, *above], self._hair_or_ink())

    def _fringe(self) -> None:
        edge, teeth = -self._random.uniform(0.45, 0.8), int(self._random.integers(2, 8))
        across = np.linspace(-1.08, 1.08, 2 * teeth + 1)
        strands = [self._at(float(a), edge + (0.18 if i % 2 else 0.0)) for i, a in enumerate(across)]
        dome = [
            self._at(1.12 * float(np.cos(t)), -0.2 - 1.2 * self._tall * float(np.sin(t)))
            for t in np.linspace(0, np.pi, 24)
        ]
        self._shape([*strands, *dome], self._hair)

    def _glasses(self) -> None:
        rim = self._pick(_INK)
        lens = rim if self._random.random() < 0.3 else None
        for side in (-1, 1):
            box = self._box(self._turn * 0.6 + side * 0.42, -0.12, 0.32, 0.26)
            width = max(round(0.05 * self._unit), 2)
            self._draw.rounded_rectangle(box, radius=self._unit * 0.12, fill=lens, outline=rim, width=width)
        middle = self._turn * 0.6
        self._stroke([self._at(middle - 0.1, -0.14), self._at(middle + 0.1, -0.14)], rim, 0.05)

    def _finished(self, image: Image.Image) -> Pixels:
        kind = self._pick(self._style.finish)
        pixels = np.asarray(image)
        if kind == "airbrush":
            sigma_px = self._random.uniform(0.5, 2.0) * self._side / 540
            pixels = gaussian_filter(pixels, (sigma_px, sigma_px, 0))
        elif kind == "rough":
            pixels = _roughened(pixels, self._random)
        elif kind == "grey":
            pixels = np.repeat(np.asarray(image.convert("L"))[..., None], 3, axis=2)
        elif kind in ("paper", "grain"):
            grain = self._random.normal(0, 1, pixels.shape[:2])
            if kind == "paper":
                grain = uniform_filter(grain, 5) * 4
            noisy = pixels + grain[..., None] * self._random.uniform(2, 9)
            pixels = noisy.clip(0, 255).astype(np.uint8)
        return np.ascontiguousarray(pixels)


def _darkness(kind: str, x: Field, y: Field, random: np.random.Generator) -> Field:
    """Shadow 0-1 at places in half widths of the head from its middle."""
    angle = random.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    if kind == "cel":
        dark = (along > random.uniform(0.2, 0.6) - 0.2 * x * x).astype(np.float64)
    elif kind == "radial":
        dark = np.hypot(x - 0.3 * np.cos(angle), y - 0.3 * np.sin(angle)) - 0.1
    elif kind == "soft":
        cheeks = [np.exp(-((x - side * 0.5) ** 2 + (y - 0.3) ** 2) / 0.04) for side in (-1, 1)]
        dark = 0.5 / (1 + np.exp(-6 * (along - 0.3))) + 0.3 * (cheeks[0] + cheeks[1])
    else:
        dark = 1 - np.clip(0.75 * np.sqrt(np.clip(1 - x * x - y * y, 0, 1)) - 0.5 * along, 0, 1)
    shadow: Field = np.clip(dark, 0, 1)
    return shadow


def _roughened(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """The picture with its pixels pushed about by a smooth field, as by an unsteady hand."""
    side = len(pixels)
    cells = max(side // int(random.integers(6, 16)), 4)
    across, down = (_smooth_field(random, cells, side) for _ in range(2))
    y, x = np.mgrid[:side, :side]
    rows = np.clip(np.rint(y + down), 0, side - 1).astype(int)
    columns = np.clip(np.rint(x + across), 0, side - 1).astype(int)
    moved: Pixels = pixels[rows, columns]
    return moved


def _smooth_field(random: np.random.Generator, cells: int, side: int) -> NDArray[np.float32]:
    """(side, side) random values of deviation 2, constant over side / cells pixels."""
    coarse = Image.fromarray(random.normal(0, 2.0, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
