"""How drawn faces are done, style by style: the alternatives among which `drawings` chooses by chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Colour = tuple[int, int, int]

_SKINS: Final[tuple[Colour, ...]] = (
    (255, 224, 189),
    (253, 219, 180),
    (234, 192, 134),
    (198, 134, 66),
    (141, 85, 36),
    (84, 52, 28),
    (255, 204, 77),
    (250, 250, 250),
    (240, 180, 160),
)
_HAIR: Final[tuple[Colour, ...]] = (
    (20, 16, 14),
    (74, 44, 20),
    (160, 110, 50),
    (230, 200, 120),
    (190, 60, 30),
    (150, 150, 155),
    (90, 60, 180),
    (240, 120, 170),
)


@dataclass(frozen=True, slots=True)
class Style:
    """How the faces of one style are done; tuples are alternatives of which chance takes one."""

    eyes: tuple[str, ...] = ("round", "almond")
    """`dot`, `round`, `almond`, `large`, `shut`."""
    noses: tuple[str, ...] = ("line", "dots", "wedge", "hook", "none")
    mouths: tuple[str, ...] = ("arc", "open", "lips")
    outline: tuple[float, float] = (0.008, 0.02)
    """Least and greatest width of the lines, in shares of the face's width; 0 draws no outline round the areas."""
    hair: float = 0.8
    """Share of the faces that have some."""
    shade: tuple[str, ...] = ("none",)
    """`none`, `cel`, `radial`, `round` (a lit ball), `soft` (blurred shadows), `hatching`."""
    finish: tuple[str, ...] = ("none",)
    """`none`, `rough`, `paper`, `grey`, `grain`, `airbrush`."""
    colourless: bool = False
    """Lines on a plain ground, nothing filled."""
    skins: tuple[Colour, ...] = _SKINS
    hairs: tuple[Colour, ...] = _HAIR


STYLES: Final[Mapping[str, Style]] = {
    "flat": Style(outline=(0.0, 0.0), shade=("none", "cel")),
    "outlined": Style(),
    "emoji": Style(
        eyes=("dot", "round"),
        noses=("none",),
        hair=0.0,
        outline=(0.0, 0.015),
        shade=("none", "radial"),
        skins=_SKINS[6:7],
    ),
    "cel": Style(eyes=("large", "almond"), noses=("dots", "wedge", "line"), shade=("cel",)),
    "soft": Style(eyes=("almond", "round"), outline=(0.0, 0.012), shade=("soft", "radial")),
    "clay": Style(eyes=("round", "almond"), outline=(0.0, 0.0), shade=("round",), finish=("none", "grain")),
    "pencil": Style(colourless=True, shade=("none", "hatching"), finish=("rough", "grey", "paper")),
    "ink": Style(colourless=True, outline=(0.012, 0.03)),
    "comic": Style(
        noses=("line", "hook", "none"),
        outline=(0.012, 0.025),
        skins=((255, 255, 255), (245, 220, 200), (150, 100, 70)),
        hairs=((0, 0, 0), (25, 20, 20), (255, 255, 255)),
    ),
    "glossy": Style(
        eyes=("round", "dot", "almond", "shut"),
        noses=("none", "dots", "wedge"),
        outline=(0.0, 0.0),
        shade=("soft", "radial", "round"),
        finish=("airbrush",),
        skins=(*_SKINS[:7], (255, 204, 77)),
    ),
    "mixed": Style(
        eyes=("dot", "round", "almond", "large", "shut"),
        outline=(0.0, 0.03),
        shade=("none", "none", "cel", "radial", "round", "soft", "hatching"),
        finish=("none", "none", "rough", "paper", "grey", "grain", "airbrush"),
    ),
    "marker": Style(outline=(0.015, 0.035), finish=("rough", "paper", "grain")),
    "anime": Style(
        eyes=("large",), noses=("dots", "wedge", "none"), mouths=("arc", "open"), shade=("cel", "soft"), hair=1.0
    ),
    "gradient": Style(eyes=("almond",), outline=(0.0, 0.01), shade=("radial", "round"), finish=("grain", "none")),
    "crayon": Style(shade=("hatching", "cel"), finish=("rough", "paper")),
}
HELD_OUT: Final = ("anime", "gradient", "crayon", "ink")
