"""The reference of a thumbnail: the whole file decoded, reduced in one step, in linear light, in floating point.

Independent of the engine, and written for correctness, not speed.
"""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

# Raised whenever the references change, so that cached ones are rebuilt.
VERSION = 1
LOBES = 3
# The images exceed Pillow's limit for decompression bombs.
Image.MAX_IMAGE_PIXELS = None

_levels = np.arange(256) / 255
TO_LIGHT = np.where(_levels <= 0.04045, _levels / 12.92, ((_levels + 0.055) / 1.055) ** 2.4)


def to_srgb(light):
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def decode(path):
    """Upright pixels as (height, width, 3 or 4), 8 bits, and the profile they are in, None for sRGB."""
    with Image.open(path) as image:
        # No draft: libjpeg-turbo decodes every coefficient, with its fancy upsampling of chroma.
        profile = foreign_profile(image)
        image.load()
        transparent = "transparency" in image.info or image.mode in ("LA", "PA", "RGBA")
        if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
            raise ValueError(f"no reference for images of mode {image.mode}")
        upright = ImageOps.exif_transpose(image)
        return np.asarray(upright.convert("RGBA" if transparent else "RGB")), profile


def foreign_profile(image):
    """The image's profile if it differs visibly from sRGB."""
    embedded = image.info.get("icc_profile")
    if not embedded:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        space = profile.profile.xcolor_space.strip()
        if space not in ("RGB", "GRAY"):
            raise ValueError(f"no reference for a profile of {space}")
        # A gray profile is judged on the same levels, as L.
        steps = np.linspace(0, 255, 18).round().astype(np.uint8)
        if space == "GRAY":
            probe = Image.fromarray(steps[None, :])
        else:
            probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(18, -1, 3))
        converted = ImageCms.profileToProfile(probe, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        # Browsers and peers ignore unusable profiles.
        return None
    off = np.abs(np.asarray(converted, int) - np.asarray(probe.convert("RGB"), int)).max()
    return embedded if off > 2 else None


def profile_to_srgb(image, embedded):
    """8-bit pixels, (height, width, 3 or 4), from a profile to sRGB."""
    colour = Image.fromarray(image[..., :3])
    profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
    if profile.profile.xcolor_space.strip() == "GRAY":
        colour = Image.fromarray(image[..., 0])
    converted = ImageCms.profileToProfile(colour, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.concatenate([np.asarray(converted), image[..., 3:]], axis=-1)


def lanczos(source, target):
    """For each target pixel the first source pixel it takes from, and its weights, normalised at the edges too."""
    ratio = source / target
    window = max(ratio, 1) * LOBES
    rows = []
    for index in range(target):
        # Pixel centres lie at half: the target's edges are the source's edges.
        centre = (index + 0.5) * ratio
        first = max(int(np.floor(centre - window)), 0)
        last = min(int(np.ceil(centre + window)), source)
        distance = (np.arange(first, last) + 0.5 - centre) / max(ratio, 1)
        weights = np.where(np.abs(distance) < LOBES, np.sinc(distance) * np.sinc(distance / LOBES), 0)
        rows.append((first, weights / weights.sum()))
    return rows


def reduce(pixels, width, height):
    """8-bit sRGB pixels to light (premultiplied where there is alpha) of the given size, in float64."""
    source_height, source_width, channels = pixels.shape
    down, across = lanczos(source_height, height), lanczos(source_width, width)
    squeezed = np.empty((height, source_width, channels))
    # In strips of columns: the whole image in float64 would be gigabytes.
    for left in range(0, source_width, 512):
        strip = pixels[:, left : left + 512]
        light = TO_LIGHT[strip[..., :3]]
        if channels == 4:
            alpha = strip[..., 3:] / 255
            light = np.concatenate([light * alpha, alpha], axis=-1)
        flat = light.reshape(source_height, -1)
        for y, (first, weights) in enumerate(down):
            squeezed[y, left : left + 512] = (weights @ flat[first : first + len(weights)]).reshape(-1, channels)
    small = np.empty((height, width, channels))
    for x, (first, weights) in enumerate(across):
        small[:, x] = np.tensordot(squeezed[:, first : first + len(weights)], weights, (1, 0))
    return small


def encode(small):
    """Light to 8-bit sRGB with straight alpha, rounded once."""
    if small.shape[-1] == 4:
        alpha = small[..., 3:].clip(0, 1)
        small = np.concatenate([small[..., :3] / np.maximum(alpha, 1e-9), alpha], axis=-1)
    levels = np.concatenate([to_srgb(small[..., :3]), small[..., 3:].clip(0, 1)], axis=-1)
    return (levels * 255).round().astype(np.uint8)


def render(path, width, height):
    """The reference as 8-bit sRGB, and whether it went through a profile."""
    pixels, profile = decode(path)
    small = encode(reduce(pixels, width, height))
    if profile:
        small = profile_to_srgb(small, profile)
    return small, profile is not None


class References:
    """References by the file's content and the dimensions, cached as PNG between runs."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._hashes = {}

    def of(self, path, width, height):
        """The PNG and whether the file's colours are not sRGB; raises ValueError where there is no reference."""
        if path not in self._hashes:
            self._hashes[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:24]
        stem = f"{self._hashes[path]}-{width}x{height}-v{VERSION}"
        for converted in (False, True):
            cached = self.folder / f"{stem}{'-converted' if converted else ''}.png"
            if cached.exists():
                return cached, converted
        small, converted = render(path, width, height)
        cached = self.folder / f"{stem}{'-converted' if converted else ''}.png"
        # Under another name first, so that an interrupted run leaves no partial reference.
        partial = cached.with_suffix(".partial")
        Image.fromarray(small).save(partial, "PNG")
        partial.rename(cached)
        return cached, converted


def as_seen(path):
    """Converts a thumbnail with a profile that matters to sRGB in place, as a browser would."""
    with Image.open(path) as image:
        profile = foreign_profile(image)
        if not profile:
            return
        transparent = "transparency" in image.info or image.mode in ("LA", "PA", "RGBA")
        pixels = np.asarray(image.convert("RGBA" if transparent else "RGB"))
    Image.fromarray(profile_to_srgb(pixels, profile)).save(path, "PNG")
