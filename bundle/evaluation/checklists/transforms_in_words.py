"""The transforms of a config as a sentence for the methods section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["in_words"]

TECHNICAL = ("EnsureTyped", "SelectItemsd", "LoadImaged", "EnsureChannelFirstd")  # nothing that changes a value
SKIPPED_KEYS = ("keys", "seg_keys", "allow_missing_keys", "like")


def in_words(transforms: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    """What each transform does, in order; one that is not known by its name and its numbers.

    Args:
        transforms: as in the config, each with ``_target_``.
        config: its root, for references such as ``@image_size``.
    """
    said = []
    for transform in transforms:
        name = str(transform.get("_target_", "")).rsplit(".", 1)[-1]
        if name in TECHNICAL or transform.get("_disabled_") is True:
            continue
        values = {key: _resolved(value, config) for key, value in transform.items() if not key.startswith("_")}
        words = _WORDS[name](values) if name in _WORDS else _plain(name, values)
        said += [words] if words else []
    return "; ".join(said)


def _resolved(value: Any, config: Mapping[str, Any]) -> Any:
    return config.get(value[1:], value) if isinstance(value, str) and value.startswith("@") else value


def _plain(name: str, values: Mapping[str, Any]) -> str:
    numbers = ", ".join(f"{key} {value}" for key, value in values.items() if key not in SKIPPED_KEYS)
    return f"{name} ({numbers})" if numbers else name


def _contrast(values: Mapping[str, Any]) -> str:
    method, window = values.get("method", "window"), values.get("window")
    if method == "window" and window:
        return f"LE and DES clipped to the window {window[0]:g} (width {window[1]:g}), in the units of the file"
    if method == "window":
        return "LE and DES clipped, each to its own display window (one that has none, as JPEG and PNG, is not clipped)"
    if method == "percentile":
        low, high = values.get("percentiles", (1.0, 99.0))
        return f"LE and DES clipped, each to the percentiles {low:g} and {high:g} of its breast"
    return ""


def _pad(values: Mapping[str, Any]) -> str:
    where = "on the side of the air" if values.get("method", "air") == "air" else "on both sides"
    return f"zero-padded to a square {where}"


def _resize(values: Mapping[str, Any]) -> str:
    size = values.get("size", 256)
    return (
        f"shrunk to {size} x {size} pixels by area averaging, lesion maps so that a pixel counts where lesions cover "
        "half of it and no lesion is lost"
    )


def _scale(values: Mapping[str, Any]) -> str:
    low, high = values.get("minv", 0), values.get("maxv", 1)
    return f"each of LE and DES scaled from its minimum and maximum to [{low:g}, {high:g}]"


def _augment(values: Mapping[str, Any]) -> str:
    shift, zoom = 100 * values.get("max_shift", 0.1), 100 * values.get("max_zoom", 0.1)
    return (
        f"shift up to {shift:g} % of the side, zoom up to {zoom:g} %, horizontal flip, rotation up to "
        f"{values.get('max_angle', 15.0):g} degrees, each with probability {values.get('prob', 0.3):g}; one draw for "
        "LE, DES and lesion map"
    )


_WORDS = {
    "EmptySegd": lambda values: "",
    "PadToSquared": _pad,
    "ContrastStretchd": _contrast,
    "ScaleIntensityd": _scale,
    "AreaResized": _resize,
    "RandAlignedAffined": _augment,
}
