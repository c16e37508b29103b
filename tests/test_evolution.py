"""How alpha and beta moved: probabilities of levels by hand, and pictures that show what the rows say."""

import numpy as np
import pytest
from PIL import Image

from hinas_jax.architecture import OPERATIONS
from hinas_jax.evolution import level_probabilities, plot_evolution


def rows(epochs=6, layers=2, leading="skip"):
    """Rows in which one operation leads on every edge, more and more."""
    k = OPERATIONS.index(leading)
    for epoch in range(1, epochs + 1):
        alpha = np.full((layers, 5, 7), 1 / 7)
        alpha[..., k] += 0.05 * epoch
        beta = np.zeros((layers, 2, 3))
        beta[:, 0, 1:] = 0.5
        beta[1:, 1, :2] = 0.5
        yield {"epoch": epoch, "alpha": (alpha / alpha.sum(-1, keepdims=True)).tolist(), "beta": beta.tolist()}


def colours_in(path):
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    found, counts = np.unique(pixels, axis=0, return_counts=True)
    return {"#{:02X}{:02X}{:02X}".format(*colour): int(count) for colour, count in zip(found, counts, strict=True)}


def test_the_probability_of_a_level_is_the_sum_over_the_paths_that_lead_there():
    beta = np.zeros((1, 2, 3, 3))
    beta[0, 0, 0] = 0, 0.25, 0.75
    beta[0, 1, 0], beta[0, 1, 1] = (0, 0.5, 0.5), (0.2, 0.3, 0.5)
    by_hand = [[0.25, 0.75, 0], [0.25 * 0.5 + 0.75 * 0.2, 0.25 * 0.5 + 0.75 * 0.3, 0.75 * 0.5]]
    np.testing.assert_allclose(level_probabilities(beta)[0], by_hand)


@pytest.mark.parametrize(("leading", "colour"), [("skip", "#B0528E"), ("conv3", "#0072B2")])
def test_edges_have_the_colour_of_their_strongest_operation(tmp_path, leading, colour):
    assert plot_evolution(list(rows(leading=leading)), tmp_path / "a.png")
    counts = colours_in(tmp_path / "a.png")
    others = {"#B0528E", "#0072B2"} - {colour}
    assert counts[colour] > 20 * max(counts.get(other, 0) for other in others) > 0  # the legend has them all


def test_none_may_lead_but_is_never_kept(tmp_path):
    plot_evolution(list(rows(leading="none")), tmp_path / "a.png")
    counts = colours_in(tmp_path / "a.png")
    assert counts["#B4BCC5"] < 20_000  # a line and a patch, no edges


@pytest.mark.parametrize("epochs", [1, 2])
def test_few_epochs_are_drawn_too(tmp_path, epochs):
    assert plot_evolution(list(rows(epochs, layers=1)), tmp_path / "a.svg")
    words = (tmp_path / "a.svg").read_text()
    assert "Layer 0" in words
    assert "nan" not in words.lower()


def test_rows_of_a_training_leave_nothing(tmp_path):
    assert not plot_evolution([{"epoch": 1, "loss": 0.1}], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
