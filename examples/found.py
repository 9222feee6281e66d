"""Draw docs/pictures/found.png, the picture in the README, and nothing else:

    oddgan train washers -o washers.oddgan
    python examples/found.py washers.oddgan

A good washer, the one with the median score, and of each kind of defect the one with the highest.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib import pyplot as plt
from PIL import Image

import oddgan

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "found.png"
KINDS = {"scratch": "scratch", "stain": "stain", "broken": "broken tooth", "dent": "dent"}
CARD, TEXT, GREEN, RED, LINE = "#1d2228", "#c9d1d9", "#5fd38d", "#ff7b6b", "#ffd23f"


def main(model: str) -> None:
    """Draw and write the picture."""
    detector, split = oddgan.load(model), oddgan.data.load("washers")
    kinds, scores = np.array(split.kinds), detector.anomaly_score(split.test)
    good = np.flatnonzero(kinds == "good")
    rows = [good[np.argsort(scores[good])[len(good) // 2]]]
    rows += [np.flatnonzero(kinds == kind)[scores[kinds == kind].argmax()] for kind in KINDS]
    pictures = np.asarray(split.test)[rows]
    found = detector.explain(pictures)
    figure, axes = plt.subplots(1, len(rows), figsize=(12, 3.1), dpi=100, facecolor=CARD)
    figure.subplots_adjust(0.008, 0.21, 0.992, 0.968, wspace=0.04)
    for i, (ax, name) in enumerate(zip(axes, ["good", *KINDS.values()], strict=True)):
        ax.imshow(pictures[i], interpolation="bicubic")
        for region in found.regions(i):
            line = np.vstack([region.contour, region.contour[:1]]) - 0.5
            dark = [patheffects.Stroke(linewidth=3, foreground="#00000099"), patheffects.Normal()]
            ax.plot(*line.T, color=LINE, linewidth=1.5, path_effects=dark)
        ax.set(xlim=(-0.5, 127.5), ylim=(127.5, -0.5))
        ax.axis("off")
        verdict, colour = ("anomaly", RED) if found.is_anomaly[i] else ("normal", GREEN)
        below = {"transform": ax.transAxes, "ha": "center", "va": "top"}
        ax.text(0.5, -0.035, f"{name}: {verdict}", color=colour, fontsize=13, fontweight="bold", **below)
        said = f"score {found.score[i]:.1f}, p = {found.p_value[i]:.2g}"
        ax.text(0.5, -0.155, said, color=TEXT, fontsize=11, **below)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)
    plt.close(figure)
    with Image.open(PICTURE) as picture:
        few = picture.convert("RGB").quantize(255, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
