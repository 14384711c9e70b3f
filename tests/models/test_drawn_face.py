"""The drawings that are painted for `drawn_face`, and the table that its recipe writes."""

import tomllib

import numpy as np
import pytest

from models.evaluate.drawn import rates
from models.evaluate.drawn_cases import WEAR, drawn_cases, worn
from models.train.drawing_styles import HELD_OUT, STYLES
from models.train.drawings import paint
from models.train.drawn_face import Finder, fit


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_gives_the_same_drawing_again(style: str) -> None:
    first, second, other = (paint(style, np.random.default_rng(seed), 120) for seed in (1, 1, 2))
    assert first.shape == (120, 120, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_styles_that_are_judged_are_not_learnt() -> None:
    random = np.random.default_rng(0)
    learnt, held_out = ({case.source for case in drawn_cases(random, split, 1)} for split in ("train", "test"))
    assert held_out == set(HELD_OUT)
    assert learnt == set(STYLES) - held_out


@pytest.mark.parametrize("wear", WEAR)
def test_a_worn_picture_keeps_its_shape(wear: str) -> None:
    random = np.random.default_rng(0)
    picture = paint("flat", random, 120)
    spoiled = worn(picture, wear, random)
    assert (spoiled.shape, spoiled.dtype) == (picture.shape, picture.dtype)


def test_the_table_holds_what_was_fitted() -> None:
    random = np.random.default_rng(0)
    drawn = np.arange(200) >= 120
    features = random.normal(5, 2, (200, 4))
    features[drawn, 1] += 9
    table, scores = fit(features, drawn)
    read = tomllib.loads(table)
    standard = ((features - read["mean"]) / read["deviation"]).clip(-3, 3)
    np.testing.assert_allclose(standard @ read["weight"] + read["intercept"], scores, atol=1e-3)
    assert ((scores > 0) == drawn).mean() > 0.95


def test_the_rates_are_by_source_and_by_wear() -> None:
    found = list(Finder().found(drawn_cases(np.random.default_rng(0), "test", 2)))
    table = rates(found)
    assert table["faces"] == len(found)
    assert set(table["source"]) <= set(HELD_OUT)
    assert table["share"] > 0.7
