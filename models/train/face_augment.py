"""Makes photographs look like faces cut from a video call: loosely framed, dim, soft, compressed, partly hidden.

Everything works on whole batches of luma (batch, 1, 48, 48) float32, 0-255, and draws from torch's generator.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 0.10
"""Largest framing error, as a share of the crop's side."""
SCALE = 0.12
ROTATION_DEG = 12.0
DEGRADED_SHARE = 0.2
"""Share of the batch that each degradation of light, detail and coding touches, independently."""
HIDDEN_SHARE = 0.2
BLOCK_PX = 8


def augment(faces: Tensor) -> Tensor:
    """uint8 or float (batch, 1, 48, 48) to float32 of the same shape, still 0-255."""
    x = reframed(faces.float())
    for degradation in (dimmed, softened, compressed):
        touched = torch.rand(len(x)) < DEGRADED_SHARE
        if touched.any():
            x[touched] = degradation(x[touched])
    return hidden(x.clamp(0, 255))


def reframed(faces: Tensor) -> Tensor:
    """Mirror half of them; turn, scale and shift all by what alignment gets wrong."""
    count = len(faces)
    angle = _uniform(count, -1, 1) * math.radians(ROTATION_DEG)
    zoom = torch.exp(_uniform(count, -1, 1) * math.log1p(SCALE))
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    shift = _uniform((count, 2), -2 * SHIFT, 2 * SHIFT)  # affine_grid spans -1..1
    rows = torch.stack((cosine * mirror, -sine, shift[:, 0], sine * mirror, cosine, shift[:, 1]), 1)
    grid = F.affine_grid(rows.view(count, 2, 3), list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def dimmed(faces: Tensor) -> Tensor:
    """Uneven and low light: gamma, a sideways falloff, little gain, then the sensor's noise."""
    count, side = len(faces), faces.shape[-1]
    gamma = torch.exp(_uniform((count, 1, 1, 1), -0.4, 0.4))
    falloff = 1 - _uniform((count, 1, 1, 1), 0, 0.5) * torch.linspace(0, 1, side)
    x = (faces.clamp(0, 255) / 255) ** gamma * 255 * falloff * _uniform((count, 1, 1, 1), 0.25, 1.0)
    return x + torch.randn_like(x) * _uniform((count, 1, 1, 1), 0, 6)


def softened(faces: Tensor) -> Tensor:
    """The detail of a smaller face, one size for all of them: 18 to 40 px, scaled up again."""
    side = int(torch.randint(18, 41, ()))
    small = F.interpolate(faces, (side, side), mode="bilinear", antialias=True)
    return F.interpolate(small, faces.shape[-2:], mode="bilinear")


def compressed(faces: Tensor) -> Tensor:
    """Round the cosine coefficients of 8x8 blocks, coarser for higher frequencies: the loss of JPEG and VP8."""
    count, side = len(faces), faces.shape[-1]
    blocks = F.unfold(faces, BLOCK_PX, stride=BLOCK_PX).transpose(1, 2).reshape(count, -1, BLOCK_PX, BLOCK_PX)
    basis = _cosine_basis()
    frequency = torch.arange(BLOCK_PX, dtype=torch.float32)
    step = (1 + frequency + frequency[:, None]) * _uniform((count, 1, 1, 1), 1, 8)
    coefficients = (basis @ blocks @ basis.T / step).round() * step
    restored = (basis.T @ coefficients @ basis).flatten(2).transpose(1, 2)
    return F.fold(restored, (side, side), BLOCK_PX, stride=BLOCK_PX)


def hidden(faces: Tensor) -> Tensor:
    """A flat rectangle, up to 40 % of the side each way, over some of them (cutout, DeVries and Taylor 2017)."""
    count, side = len(faces), faces.shape[-1]
    size = _uniform((count, 2), 0.15, 0.4) * side
    start = _uniform((count, 2), 0, 1) * (side - size)
    at = torch.arange(side, dtype=torch.float32)
    inside = (at >= start[..., None]) & (at < (start + size)[..., None])  # (batch, 2, side)
    touched = (torch.rand(count) < HIDDEN_SHARE)[:, None, None]
    mask = inside[:, 0, :, None] & inside[:, 1, None, :] & touched
    return torch.where(mask[:, None], _uniform((count, 1, 1, 1), 0, 255), faces)


def _cosine_basis() -> Tensor:
    """The orthonormal DCT-II as a matrix (8, 8): rows are frequencies."""
    at = torch.arange(BLOCK_PX, dtype=torch.float32)
    basis = torch.cos(math.pi / BLOCK_PX * (at + 0.5) * at[:, None]) * math.sqrt(2 / BLOCK_PX)
    basis[0] /= math.sqrt(2)
    return basis


def _uniform(shape: int | tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.rand(shape) * (high - low) + low
