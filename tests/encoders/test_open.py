"""The device that is asked for is the device that is used, or an error."""

from __future__ import annotations

import pytest

from heap.encoders.open import choose_device
from heap.errors import EncoderError


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")],
)
def test_auto_takes_cuda_then_mps_then_cpu(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEAP_DEVICE", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
    assert choose_device() == expected
    assert choose_device("auto") == expected


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("mps", "'mps' was asked for, but torch sees none \\(it sees: cuda, cpu\\)"),
        ("cuda:2", "expected cuda, or cuda:0 to cuda:1"),
        ("cuda:x", "expected cuda, or cuda:0 to cuda:1"),
        ("cpu:1", "expected cpu, or cpu:0 to cpu:0"),
        ("gpu", "unknown, expected auto, cuda, mps or cpu"),
    ],
)
def test_nothing_else_is_used_in_its_place(asked: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(EncoderError, match=words):
        choose_device(asked)
    assert choose_device("cuda:1") == "cuda:1"
    monkeypatch.setenv("HEAP_DEVICE", "cuda:1")
    assert choose_device() == "cuda:1"
    assert choose_device("cpu") == "cpu"
