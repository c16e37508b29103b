"""Curves and pictures: curves drawn where the numbers are, pixels kept."""

import math
import re

import numpy as np
import pytest
from PIL import Image

from hinas_jax.curves import plot_search, plot_training, side_by_side


def rows(epochs=12, warm=4):
    """Metrics of a search that is evaluated every third epoch and is best at epoch 8."""
    for epoch in range(epochs):
        row = {"epoch": epoch, "step": 100 * (epoch + 1), "seconds": 1.5 * epoch, "loss": 1 / (epoch + 2)}
        row |= {"alpha_entropy": 1.9 - epoch / 50, "beta_entropy": 1.0 - epoch / 50, "skip_count": epoch % 3}
        row |= {"phase": "warmup"} if epoch < warm else {"phase": "alternate", "arch_loss": 1 / (epoch + 1)}
        if epoch % 3 == 2:
            row |= {"psnr": 28.0 - abs(epoch - 8) / 5, "ssim": 0.8 + epoch / 1000}
        yield row


def svg(plot, metrics, folder):
    plot(metrics, folder / "curves.svg")
    return (folder / "curves.svg").read_text()


def said(text):
    return re.findall(r"<text[^>]*>([^<]*)</text>", text)


def lines(text):
    """The points of every curve drawn as a line."""
    paths = re.findall(r'<g id="line2d_\d+">\s*<path d="([^"]*)" clip-path[^>]*stroke-width: 1.5', text)
    return [re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path) for path in paths]


def test_search_draws_each_curve_and_what_is_kept(tmp_path):
    text = svg(plot_search, list(rows()), tmp_path)
    assert {"kept: 28.00 at epoch 8", "kept: 0.8080 at epoch 8"} <= set(said(text))
    assert {"weights, on W", "architecture, on A", "warm-up", "PSNR (dB)", "SSIM"} <= set(said(text))
    assert sorted(len(line) for line in lines(text)) == [4, 4, 8, 12, 12, 12, 12]
    assert "not recorded" not in text


@pytest.mark.parametrize("plot", [plot_search, plot_training])
def test_what_is_measured_on_v_stands_beside_its_protocol(plot, tmp_path):
    assert said(svg(plot, list(rows()), tmp_path)).count("validation (joined patches)") == 2  # PSNR and SSIM


def test_training_counts_in_steps(tmp_path):
    text = svg(plot_training, list(rows()), tmp_path)
    assert {"kept: 28.00 at step 900", "kept: 0.8080 at step 900"} <= set(said(text))
    assert sorted(len(line) for line in lines(text)) == [4, 4, 12]
    assert said(text).count("step") == 3


def test_curve_stands_where_its_numbers_are(tmp_path):
    metrics = [{"epoch": e, "step": e, "seconds": 0, "psnr": p} for e, p in ((0, 20.0), (5, 25.0), (10, 30.0))]
    (line,) = lines(svg(plot_search, metrics, tmp_path))
    points = np.asarray(line, float)
    assert np.allclose(points[1], (points[0] + points[2]) / 2, atol=1e-3)
    assert points[0, 0] < points[2, 0]
    assert points[0, 1] > points[2, 1]  # y grows downwards


def test_later_row_of_an_epoch_counts(tmp_path):
    """A search resumed from a checkpoint writes some epochs again, and may leave their rows out of order."""
    metrics = list(rows())
    repeated = [{**row, "loss": 7.0, "psnr": 50.0} for row in metrics[5:7]]
    resumed = svg(plot_search, metrics[:7] + repeated + metrics[7:], tmp_path)
    assert resumed == svg(plot_search, metrics[:5] + repeated + metrics[7:], tmp_path)
    assert "kept: 50.00 at epoch 5" in said(resumed)


def test_values_that_are_no_numbers_leave_no_point(tmp_path):
    metrics = list(rows())
    metrics[8] |= {"psnr": math.nan, "ssim": None, "loss": math.inf}
    text = svg(plot_search, metrics, tmp_path)
    assert sorted(len(line) for line in lines(text)) == [3, 3, 8, 11, 12, 12, 12]
    assert "kept: 27.40 at epoch 11" in said(text)


def test_warm_up_ends_between_its_last_epoch_and_the_next(tmp_path):
    def shades(metrics):
        return re.findall(r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+)[^"]*"[^>]*fill: #f1f3f5', with_shades(metrics))

    def with_shades(metrics):
        return svg(plot_search, metrics, tmp_path)

    assert not shades(list(rows(warm=0)))
    four, eight = shades(list(rows(warm=4))), shades(list(rows(warm=8)))
    assert len(four) >= len(eight) >= 6
    # epochs 3.5 and 7.5 on an axis from -1 to 12
    spans = [abs(float(a) - float(b)) for a, b in (four[0], eight[0])]
    assert spans[1] / spans[0] == pytest.approx(8.5 / 4.5, rel=1e-3)


@pytest.mark.parametrize("plot", [plot_search, plot_training])
@pytest.mark.parametrize(
    "metrics",
    [
        [],
        [{"epoch": 0, "step": 1, "seconds": 0.0}],
        [{"epoch": 0, "step": 1, "seconds": 0.0, "loss": 0.5, "skip_count": 3, "phase": "warmup"}],
        [{"epoch": e, "step": e, "seconds": 0.0, "loss": -0.1} for e in range(3)],
        [{"epoch": e, "step": e, "seconds": 0.0, "loss": 0.2, "psnr": 25.0} for e in range(3)],
    ],
)
def test_scant_metrics_are_drawn_too(plot, metrics, tmp_path):
    plot(metrics, tmp_path / "curves.png")
    assert np.asarray(Image.open(tmp_path / "curves.png").convert("L")).min() < 100
    if not metrics:
        assert said(svg(plot, metrics, tmp_path)).count("not recorded") == (6 if plot is plot_search else 3)


def test_same_metrics_same_bytes(tmp_path):
    assert svg(plot_search, list(rows()), tmp_path) == svg(plot_search, list(rows()), tmp_path)


def test_curves_end_in_svg_or_png(tmp_path):
    with pytest.raises(ValueError, match=r"curves\.pdf: a drawing ends in \.svg or \.png"):
        plot_search(list(rows()), tmp_path / "curves.pdf")


# ---- Pictures ----------------------------------------------------------------------------------------------


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def sheet(pictures, folder, **options):
    side_by_side(pictures, folder / "sheet.png", **options)
    return np.asarray(Image.open(folder / "sheet.png"))


def find(image, part):
    """The columns at which a part stands in an image, pixel by pixel."""
    height, width = part.shape[:2]
    part = np.broadcast_to(part, (height, width, 3))
    windows = np.lib.stride_tricks.sliding_window_view(image, (1, width), axis=(0, 1))[..., 0, :]
    tops = np.argwhere((windows == part[0].T).all((-1, -2)))
    return [left for top, left in tops if (image[top : top + height, left : left + width] == part).all()]


def test_pictures_stand_in_order_with_their_own_pixels(tmp_path):
    pictures = {
        "noisy": picture(150, 140),
        "restored": picture(150, 140, 1, 1),
        "small": picture(70, 75, 3, 2),
    }
    image = sheet(pictures, tmp_path, captions={"noisy": "18.60 dB"})
    (first,), (second,), (third,) = (find(image, part) for part in pictures.values())
    assert first + 140 < second
    assert second + 140 < third


@pytest.mark.parametrize(("side", "times"), [(128, 2), (50, 5), (129, 1), (256, 1)])
def test_small_pictures_are_enlarged_without_blur(side, times, tmp_path):
    parts = {"a": picture(side, 40), "b": picture(20, 30, 1, 1)}
    image = sheet(parts, tmp_path)
    for part in parts.values():
        assert len(find(image, np.kron(part, np.ones((times, times, 1), np.uint8)))) == 1


def test_labels_and_captions_leave_ink_where_they_belong(tmp_path):
    white = np.full((200, 160, 3), 255, np.uint8)
    plain = sheet({"": white, " ": white}, tmp_path)
    assert (plain == 255).all()
    above = sheet({"noisy": white, " ": white}, tmp_path)
    ink = np.argwhere((above < 255).any(-1))
    assert len(ink)
    assert ink[:, 0].max() < 28  # above the pictures
    assert ink[:, 1].max() < 14 + 160  # over the first
    below = sheet({"": white, " ": white}, tmp_path, captions={" ": "24.31 dB"})
    ink = np.argwhere((below < 255).any(-1))
    assert ink[:, 0].min() >= 28 + 200
    assert ink[:, 1].min() > 14 + 160


def test_long_words_are_not_cut(tmp_path):
    part = picture(200, 150)
    image = sheet({"a": part}, tmp_path, captions={"a": "a caption that is a good deal wider than its picture"})
    assert image.shape[1] > 300
    assert len(find(image, part)) == 1
    for edge in (image[:, :10], image[:, -10:], image[-5:]):
        assert (edge == 255).all()


def test_greek_letters_have_a_glyph(tmp_path):
    white = np.full((200, 160, 3), 255, np.uint8)
    assert not np.array_equal(
        sheet({"\N{GREEK SMALL LETTER SIGMA}": white}, tmp_path), sheet({"\uffff": white}, tmp_path)
    )


@pytest.mark.parametrize(
    ("pictures", "name", "captions", "message"),
    [
        ({}, "a.png", None, "there is no picture"),
        ({"a": picture(8, 8)}, "a.jpg", None, r"a\.jpg: pictures side by side go into a \.png"),
        ({"a": picture(8, 8, 2)}, "a.png", None, r"picture 'a' is uint8 of shape \(8, 8, 2\)"),
        ({"a": picture(8, 8)[..., 0]}, "a.png", None, r"picture 'a' is uint8 of shape \(8, 8\)"),
        ({"a": picture(8, 8) / 255}, "a.png", None, "picture 'a' is float64"),
        ({"a": picture(8, 8)}, "a.png", {"b": "24 dB"}, "caption 'b' belongs to no picture"),
    ],
)
def test_what_cannot_be_shown_is_refused(pictures, name, captions, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        side_by_side(pictures, tmp_path / name, captions=captions)
    assert not list(tmp_path.iterdir())
