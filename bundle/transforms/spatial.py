"""Geometry of a projection image: padding to a square, shrinking by area, and one augmentation for LE, DES and SEG."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, Pad, Randomizable, Resize, SpatialPad
from monai.utils import TraceKeys, convert_to_dst_type, ensure_tuple
from scipy import ndimage

from ..keys import CaseKeys, MetaKeys

__all__ = ["AffineDraw", "AlignedAffined", "AreaResized", "PadToSquared", "RandAlignedAffined"]


class PadToSquared(MapTransform, InvertibleTransform):
    """Pad with zeros to a square, on the side of the air, so that the chest wall stays at its edge.

    With ``method="air"`` a left breast, whose chest wall lies at the left edge, is padded on the right, a right breast
    on the left, and a wide image below; ``"symmetric"`` centres the image. The side is ``item["laterality"]``, else
    the first that the images' metadata give; else the half of the first image with the smaller sum is air. All keys of
    an item are padded alike. Traced, so that ``Invertd`` gives back the native grid.

    Shapes:
        (1, H, W) -> (1, S, S) with S = max(H, W), any range.

    Raises:
        ValueError: for an unknown method or laterality; when the images of an item differ in shape.
    """

    def __init__(self, keys: KeysCollection, method: str = "air", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if method not in ("air", "symmetric"):
            raise ValueError(f"Padding method {method!r}: expected 'air' or 'symmetric'.")
        self.method = method
        self.padder = Pad()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        keys = list(self.key_iterator(item))
        shape = _common_shape(item, keys)
        if shape:
            square = SpatialPad([max(shape)] * 2, method="end" if self.method == "air" else "symmetric")
            channel, rows, columns = tuple(square.compute_pad_width(shape))
            if self.method == "air" and _air_on_left(item, keys):
                columns = columns[::-1]
            to_pad: Any = (channel, rows, columns)
            for key in keys:
                item[key] = self.padder(item[key], to_pad=to_pad)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.padder.inverse(item[key])
        return item


def _air_on_left(item: Mapping[Hashable, Any], keys: Sequence[Hashable]) -> bool:
    told = [item.get(CaseKeys.LATERALITY), *(getattr(item[key], "meta", {}).get(MetaKeys.LATERALITY) for key in keys)]
    side = next(filter(None, told), None)
    if side:
        if side not in ("L", "R"):
            raise ValueError(
                f"Laterality {side!r}: expected 'L' or 'R', or nothing to have the side found in the image."
            )
        return side == "R"
    image = item[keys[0]]
    half = image.shape[-1] // 2
    return half > 0 and bool(image[..., :half].sum() < image[..., -half:].sum())


class AreaResized(MapTransform, InvertibleTransform):
    """Shrink images by area averaging, and lesion maps so that no lesion is lost.

    Images take torch's ``area`` mode; a bilinear shrink by 11 would alias. A pixel of a map is 1 where lesions cover at
    least half of it; a connected lesion (8 neighbours) that reaches no such pixel keeps the one it covers most.
    Traced: ``Invertd(nearest_interp=False)`` enlarges images bilinearly (the area mode would leave blocks).

    Args:
        keys: images, (1, H, W) -> (1, size, size) float32.
        seg_keys: lesion maps, (1, H, W) in {0, 1} -> (1, size, size) in {0, 1}.
        size: of the result, in pixels.
        allow_missing_keys: pass over an item that lacks a key.
    """

    def __init__(
        self, keys: KeysCollection, seg_keys: KeysCollection = (), size: int = 256, allow_missing_keys: bool = False
    ) -> None:
        self.image_keys, self.seg_keys = ensure_tuple(keys), ensure_tuple(seg_keys)
        super().__init__(self.image_keys + self.seg_keys, allow_missing_keys)
        self.resize_image = _AreaResize((size, size), inverse_mode="bilinear")
        self.resize_seg = _AreaResize((size, size), inverse_mode="nearest-exact")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if key in self.seg_keys:
                lesions = item[key] > 0
                item[key] = (self.resize_seg(lesions.to(torch.float32)) >= 0.5).to(torch.float32)
                if lesions.any():
                    _keep_lost_lesions(np.asarray(lesions)[0], item[key][0])
            else:
                item[key] = self.resize_image(item[key])
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            resize = self.resize_seg if key in self.seg_keys else self.resize_image
            item[key] = resize.inverse(item[key])
        return item


class _AreaResize(Resize):
    """MONAI's ``Resize`` by area, whose inverse has a mode of its own."""

    def __init__(self, spatial_size: Sequence[int], inverse_mode: str) -> None:
        super().__init__(spatial_size, mode="area")
        self.inverse_mode = inverse_mode

    def inverse_transform(self, data: torch.Tensor, transform: Mapping[Any, Any]) -> torch.Tensor:
        extra = transform[TraceKeys.EXTRA_INFO]
        if extra["mode"] == "area":  # else Invertd has asked for nearest
            transform = {**transform, TraceKeys.EXTRA_INFO: {**extra, "mode": self.inverse_mode}}
        return super().inverse_transform(data, transform)


def _keep_lost_lesions(lesions: np.ndarray, small: torch.Tensor) -> None:
    """Set in ``small``, in place, the best-covered pixel of each connected lesion that touches none set there."""
    rows, columns = (_area_bins(full, out) for full, out in zip(lesions.shape, small.shape, strict=True))
    labels, _ = ndimage.label(lesions, structure=np.ones((3, 3)))
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        lesion = (labels[box] == number).astype(np.float32)
        coverage = rows[:, box[0]] @ lesion @ columns[:, box[1]].T
        if not (coverage * np.asarray(small)).any():
            small.view(-1)[int(coverage.argmax())] = 1


def _area_bins(full: int, out: int) -> np.ndarray:
    """(out, full) weights of torch's area mode: bin i averages pixels floor(i full/out) to ceil((i + 1) full/out)."""
    index, pixel = np.arange(out)[:, None], np.arange(full)
    inside = (pixel >= index * full // out) & (pixel < -(-(index + 1) * full // out))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class AffineDraw:
    """One geometric change: the content is flipped, then zoomed and turned about the image's centre, then shifted.

    ``shift``: (down, right) as a fraction of height and width; ``zoom``: above 1 enlarges; ``flip``: left to right;
    ``angle``: degrees, counter-clockwise as displayed.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    flip: bool = False
    angle: float = 0.0

    @property
    def resamples(self) -> bool:
        """Whether pixels have to be interpolated; a flip alone or no change at all is exact."""
        return any(self.shift) or self.zoom != 1 or self.angle != 0

    def theta(self, height: int, width: int) -> torch.Tensor:
        """(1, 2, 3) float32, from output to input coordinates, as ``affine_grid(align_corners=False)`` wants it."""
        turn, mirror = np.deg2rad(self.angle), -1.0 if self.flip else 1.0
        # inverse of shift * turn * zoom * flip on (x right, y down) in pixels about the centre
        inverse = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / self.zoom
        inverse[0] *= mirror
        half = np.array([width, height]) / 2
        linear = inverse * half / half[:, None]
        offset = -linear @ (2 * np.array(self.shift[::-1], dtype=float))
        return torch.from_numpy(np.column_stack([linear, offset])).to(torch.float32)[None]


class AlignedAffined(MapTransform):
    """Flip, zoom, turn and shift LE, DES and SEG together by given amounts: the deterministic twin of the random one.

    One fused resampling, zeros outside, bilinear for images, nearest for maps; a flip alone, or nothing, is exact. For
    training: it is not recorded in ``applied_operations``.

    Args:
        keys: images, (1, H, W) float, plain tensors or MetaTensors.
        seg_keys: lesion maps, (1, H, W) in {0, 1}, and so they stay.
        shift, zoom, flip, angle: see :class:`AffineDraw`.
        allow_missing_keys: pass over an item that lacks a key.

    Raises:
        ValueError: when the images of an item differ in shape; for a zoom that is not positive.
    """

    def __init__(
        self,
        keys: KeysCollection,
        seg_keys: KeysCollection = (),
        shift: Sequence[float] = (0.0, 0.0),
        zoom: float = 1.0,
        flip: bool = False,
        angle: float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        self.image_keys, self.seg_keys = ensure_tuple(keys), ensure_tuple(seg_keys)
        super().__init__(self.image_keys + self.seg_keys, allow_missing_keys)
        if zoom <= 0:
            raise ValueError(f"Zoom {zoom}: expected a factor above 0, 1 for no change.")
        down, right = shift
        self.draw = AffineDraw((down, right), zoom, flip, angle)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        keys = list(self.key_iterator(item))
        shape = _common_shape(item, keys)
        if not self.draw.resamples:
            for key in keys if self.draw.flip else ():
                item[key] = torch.flip(item[key], dims=(-1,))
            return item
        if shape:
            grid = F.affine_grid(self.draw.theta(*shape), [1, 1, *shape], align_corners=False)
            for mode, group in (("bilinear", self.image_keys), ("nearest", self.seg_keys)):
                _sample(item, [key for key in keys if key in group], grid, mode)
        return item


def _sample(item: dict[Hashable, Any], keys: Sequence[Hashable], grid: torch.Tensor, mode: str) -> None:
    """Replace the images of ``keys``, all of one shape, by one stacked resampling."""
    if not keys:
        return
    plain = [item[key].as_tensor() if isinstance(item[key], MetaTensor) else item[key] for key in keys]
    stack = torch.cat(plain).to(torch.float32)[None]
    moved = F.grid_sample(stack, grid.to(stack.device), mode=mode, padding_mode="zeros", align_corners=False)[0]
    for key, image in zip(keys, moved.split([len(image) for image in plain]), strict=True):
        item[key] = convert_to_dst_type(image, dst=item[key])[0]


class RandAlignedAffined(Randomizable, MapTransform):
    """Shift, zoom, flip, turn, each with its own chance; one draw for LE, DES and SEG (arXiv 2505.03018, augmentation).

    Every call consumes the same amount of random numbers, whatever it changes. ``draw`` is the last one.

    Args:
        keys, seg_keys: as in :class:`AlignedAffined`.
        prob: chance of each of the four changes, independently, in [0, 1].
        max_shift: uniform in +-max_shift along both axes, as a fraction of height and width.
        max_zoom: factor uniform in 1 +- max_zoom.
        max_angle: uniform in +-max_angle, degrees.
        allow_missing_keys: pass over an item that lacks a key.

    Raises:
        ValueError: for a chance outside [0, 1], a negative range, a zoom range of 1 or more.
    """

    def __init__(
        self,
        keys: KeysCollection,
        seg_keys: KeysCollection = (),
        prob: float = 0.3,
        max_shift: float = 0.1,
        max_zoom: float = 0.1,
        max_angle: float = 15.0,
        allow_missing_keys: bool = False,
    ) -> None:
        self.image_keys, self.seg_keys = ensure_tuple(keys), ensure_tuple(seg_keys)
        MapTransform.__init__(self, self.image_keys + self.seg_keys, allow_missing_keys)
        if not 0 <= prob <= 1:
            raise ValueError(f"Chance of each change {prob}: expected a number in [0, 1].")
        if min(max_shift, max_zoom, max_angle) < 0 or max_zoom >= 1:
            raise ValueError(
                f"max_shift {max_shift}, max_zoom {max_zoom}, max_angle {max_angle}: expected none below 0, and a zoom "
                "range below 1."
            )
        self.prob, self.max_shift, self.max_zoom, self.max_angle = prob, max_shift, max_zoom, max_angle
        self.draw = AffineDraw()

    def randomize(self, data: Any = None) -> None:
        """Draw eight numbers: four chances, then two shifts, a zoom and an angle."""
        shifts, zooms, flips, turns = self.R.random_sample(4) < self.prob
        down, right, zoom, angle = self.R.uniform(-1, 1, size=4)
        self.draw = AffineDraw(
            shift=(float(down) * self.max_shift, float(right) * self.max_shift) if shifts else (0.0, 0.0),
            zoom=1 + float(zoom) * self.max_zoom if zooms else 1.0,
            flip=bool(flips),
            angle=float(angle) * self.max_angle if turns else 0.0,
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize()
        twin = AlignedAffined(
            self.image_keys, self.seg_keys, **asdict(self.draw), allow_missing_keys=self.allow_missing_keys
        )
        return twin(data)


def _common_shape(item: Mapping[Hashable, Any], keys: Sequence[Hashable]) -> tuple[int, int] | None:
    """(H, W) of all keys, None without any."""
    shapes = {key: tuple(item[key].shape[-2:]) for key in keys}
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f"The images of {item.get(CaseKeys.CASE_ID, 'an item')} differ in shape, {shapes}: expected one grid. "
            "Align them when the datalist is made: python -m scripts.prepare"
        )
    return next(iter(shapes.values()), None)
