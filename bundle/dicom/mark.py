"""The word SYNTHETIC drawn into an image, in the air beside the breast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .source import breast_side

__all__ = ["WORD", "marked"]

WORD = "SYNTHETIC"
LETTERS = {  # 5 x 7 dots
    "S": (".####", "#....", "#....", ".###.", "....#", "....#", "####."),
    "Y": ("#...#", "#...#", ".#.#.", "..#..", "..#..", "..#..", "..#.."),
    "N": ("#...#", "##..#", "##..#", "#.#.#", "#..##", "#..##", "#...#"),
    "T": ("#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#.."),
    "H": ("#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
    "I": ("#####", "..#..", "..#..", "..#..", "..#..", "..#..", "#####"),
    "C": (".####", "#....", "#....", "#....", "#....", "#....", ".####"),
}


def marked(pixels: NDArray[np.uint16], ink: int, share: int = 40) -> NDArray[np.uint16]:
    """A copy with the word in it.

    It stands at the edge that the breast is farther away from, at the first height from above where it covers the
    least of the breast: none of it, where the air has room for it. Nothing else is changed, not even under it.

    Args:
        pixels: (H, W), MONOCHROME2: the air is dark.
        ink: the value to draw with.
        share: of the image's height that a letter takes, 1 / share; dots are whole pixels, and the word is never wider
            than the image.

    Raises:
        ValueError: for an image too small for the word.
    """
    word = _word()
    rows, columns = pixels.shape
    dot = min(max(1, round(rows / share / word.shape[0])), columns // (word.shape[1] + 2), rows // (word.shape[0] + 2))
    if dot < 1:
        least = f"{word.shape[0] + 2} x {word.shape[1] + 2}"
        raise ValueError(f"an image of {rows} x {columns} pixels has no room for {WORD}, expected {least} or more.")
    drawn = np.kron(word, np.ones((dot, dot), bool))
    height, width = drawn.shape
    left = dot if breast_side(pixels) == "right" else columns - dot - width
    strip = (pixels[:, left : left + width].astype(np.float64) - pixels.min()).sum(axis=1)
    sums = np.concatenate([[0.0], np.cumsum(strip)])
    tops = np.arange(dot, rows - height - dot + 1)
    covered = sums[tops + height] - sums[tops]
    slack = 0.002 * float(np.ptp(pixels)) * drawn.size  # air may be grainy
    top = int(tops[np.flatnonzero(covered <= covered.min() + slack)[0]])
    result = pixels.copy()
    result[top : top + height, left : left + width][drawn] = ink
    return result


def _word() -> NDArray[np.bool_]:
    letters = [np.array([[dot == "#" for dot in row] for row in LETTERS[letter]]) for letter in WORD]
    gap = np.zeros((7, 1), bool)
    return np.concatenate([part for letter in letters for part in (letter, gap)][:-1], axis=1)
