"""A supervised linear classifier of patches: what a reading of these features could reach with labels."""

from __future__ import annotations

import numpy as np
import torch

Model = tuple[np.ndarray, float, np.ndarray]


def linear(features: list[np.ndarray], truths: list[np.ndarray], steps: int = 60) -> Model:
    """Fit logistic regression on centred unit features; returns weights, bias and the centre."""
    x = torch.from_numpy(np.concatenate(features).astype(np.float32))
    y = torch.from_numpy(np.concatenate(truths).astype(np.float32))
    mean = x.mean(0)
    x = torch.nn.functional.normalize(x - mean, dim=-1)
    w, b = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([w, b], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ w + b, y) + 1e-5 * (w @ w)
        loss.backward()
        return loss

    optimiser.step(closure)
    return w.detach().numpy(), b.item(), mean.numpy()


def apply(model: Model, features: np.ndarray) -> np.ndarray:
    """Foreground probability `(N,)` of features `(N, D)`."""
    w, b, mean = model
    x = features.astype(np.float32) - mean
    x /= np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)
    return 1 / (1 + np.exp(-(x @ w + b)))
