from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heap.errors import DataError
from heap.evaluate import truth
from heap.evaluate.truth import Photo, class_labels


def saliency_truth(one: Photo, reading: Any) -> Any:
    return truth.saliency_truth(one, reading)[0]


def photo(mask: Path | None = None, class_mask: Path | None = None, size: tuple[int, int] = (1, 4)) -> Photo:
    return Photo("a", "images/a.jpg", size, mask, class_mask, None)


def save(path: Path, values: Any) -> Path:
    Image.fromarray(np.array(values, np.uint8)).save(path)
    return path


def test_grey_pixels_are_foreground_only_for_tokencut(tmp_path: Path) -> None:
    one = photo(mask=save(tmp_path / "a.png", [[0, 1, 254, 255]]))
    assert saliency_truth(one, "255").tolist() == [[False, False, False, True]]
    assert saliency_truth(one, "nonzero").tolist() == [[False, True, True, True]]


def test_without_a_binary_truth_classes_are_foreground(tmp_path: Path) -> None:
    one = photo(class_mask=save(tmp_path / "a.png", [[0, 1, 20, 255]]))
    for reading in ("255", "nonzero"):
        assert saliency_truth(one, reading).tolist() == [[False, True, True, False]]


def test_palette_files_hold_classes(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 20, 255]], np.uint8)).convert("P")
    image.putpalette([value for i in range(256) for value in (255 - i, i, 7)])
    image.save(tmp_path / "a.png")
    assert class_labels(photo(class_mask=tmp_path / "a.png")).tolist() == [[0, 1, 20, 255]]


def test_no_truth_names_the_photo() -> None:
    with pytest.raises(DataError, match=r"images/a\.jpg: the manifest names no truth"):
        saliency_truth(photo(), "255")


def test_another_size_names_the_file(tmp_path: Path) -> None:
    one = photo(mask=save(tmp_path / "a.png", [[0, 1, 254, 255]]), size=(4, 1))
    with pytest.raises(DataError, match=r"a\.png: 1 x 4 px, but its photo has 4 x 1"):
        saliency_truth(one, "255")
