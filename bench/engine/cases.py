#!/usr/bin/env python3
"""Whether files of every kind are rendered right.

    cases.py cases FOLDER [PART]
                              each file of FOLDER/CASES.tsv as it says there: `name, kind, expected, reference`
    cases.py formats FOLDER [PART]
                              each file of FOLDER/MANIFEST.tsv against Pillow's full decode and LittleCMS; what may
                              differ, and why, is in cases_exceptions.tsv

PART: only names that hold it. TINTYPE_BIN is the program (target/release/tintype by default); it is given one file at a
time. Exit code 1 if one is wrong.
"""

import importlib
import io
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

import reference as linear

HERE = Path(__file__).parent
PROGRAM = os.environ.get("TINTYPE_BIN", HERE.parents[1] / "target/release/tintype")
# Codes of 0 to 255, on average over the pixels and channels of the thumbnail.
CASE_TOLERANCE = 5
FORMAT_TOLERANCE = 3
# The brightest code of what is neither black nor haze.
VISIBLE = 150
# Kinds that are read; the others of the corpus are refused.
READ = {"jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heic", "jxl", "svg"}

# Pillow has no reader of its own for these: with a plug-in they are compared, otherwise that they are rendered is all.
COMPARED = READ - {"svg"}
for kind, plugin, opener in (("heic", "pillow_heif", "register_heif_opener"), ("jxl", "pillow_jxl", None)):
    try:
        module = importlib.import_module(plugin)
        if opener:
            getattr(module, opener)()
    except ImportError:
        COMPARED -= {kind}

Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")


def render(path, folder):
    """The thumbnail as PNG, or the error."""
    out = Path(folder) / path.name
    command = [PROGRAM, "make", path, "-o", out, "--format", "png", "--size", "128x128"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    made = list(out.glob("thumb_*")) if out.is_dir() else []
    if ended.returncode == 0 and made:
        with Image.open(made[0]) as image:
            image.load()
            return image, None
    return None, (ended.stderr.strip() or ended.stdout.strip() or f"exit code {ended.returncode}").splitlines()[-1]


def over_gray(image):
    """RGB; transparency becomes gray, so that hidden colours do not count."""
    image = image.convert("RGBA" if image.mode != "RGB" else "RGB")
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (128, 128, 128, 255)), image).convert("RGB")


def difference(one, other):
    """Mean difference in codes; None if the sizes differ."""
    if one.size != other.size:
        return None
    bands = ImageStat.Stat(ImageChops.difference(over_gray(one), over_gray(other))).mean
    return sum(bands) / len(bands)


def judge_case(image, error, expected, reference):
    """None if right, or what is wrong."""
    if expected == "malformed":
        return None if error and "malformed" in error else f"not refused as malformed: {error}"
    if expected == "picture-or-unsupported" and error:
        return None if "unsupported" in error else error
    if error:
        return error
    if expected == "visible":
        brightest = max(high for _, high in over_gray(image).getextrema())
        return None if brightest > VISIBLE else f"the brightest code is {brightest}"
    if reference:
        with Image.open(reference) as right:
            off = difference(image, right)
        if off is None:
            return f"{image.size} is not {right.size}"
        return None if off <= CASE_TOLERANCE else f"differs by {off:.1f} codes"
    return None


def cases(folder, scratch, part):
    for line in (folder / "CASES.tsv").read_text().splitlines():
        name, kind, expected, reference, *_ = [*line.split("\t"), "", ""]
        if name == "name" or part not in name:
            continue
        image, error = render(folder / name, scratch)
        yield name, kind, judge_case(image, error, expected, folder / reference if reference else None)


def to_srgb(image):
    """8 bits in sRGB, as colour-managed software shows the file."""
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if transparent and not image.mode.endswith("a") else None
    info = image.info
    profile = info.get("icc_profile")
    if image.mode == "LAB":
        return ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB", 5000), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    elif image.mode in ("I", "F"):
        raise ValueError(f"samples of mode {image.mode}, which have no range")
    if image.mode == "La":
        image = image.convert("LA")
        alpha = image.getchannel("A")
    if image.mode in ("1", "LA"):
        image = image.convert("L")
    elif image.mode not in ("L", "CMYK", "RGB"):
        image = image.convert("RGBA")
        alpha = image.getchannel("A") if transparent else None
        image = image.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            if space == "GRAY":
                # Pillow opens gray with alpha of 16 bits as RGBA.
                image = image.convert("L")
            if {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(space) == image.mode:
                image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except ImageCms.PyCMSError:
            # Browsers ignore unusable profiles.
            pass
    elif info.get("gamma") and "srgb" not in info:
        # As browsers do (W3C PNG, third edition, section 13.13).
        curve = [round(255 * float(linear.to_srgb(np.array((code / 255) ** (1 / info["gamma"]))))) for code in range(256)]
        image = image.point(curve * len(image.getbands()))
    image = image.convert("RGB")
    if alpha:
        image.putalpha(alpha)
    return image


def reference(path, size):
    """The size of the upright image, and its thumbnail, reduced in linear light."""
    with Image.open(path) as image:
        bilevel = image.format == "TIFF" and image.mode == "1"
        image.load()
        upright = to_srgb(ImageOps.exif_transpose(image))
    full = upright.size
    # Those of hundreds of megapixels do not fit in floating point.
    factor = int((full[0] * full[1] / 3e7) ** 0.5)
    if factor > 1:
        upright = upright.reduce(min(factor, *full))
    if bilevel:
        # Scale to gray: the share of white is the code.
        return full, upright.resize(size, Image.Resampling.LANCZOS)
    return full, Image.fromarray(linear.encode(linear.reduce(np.asarray(upright), *size)))


def exceptions():
    lines = (HERE / "cases_exceptions.tsv").read_text().splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))


def formats(folder, scratch, part):
    accepted = exceptions()
    for line in (folder / "MANIFEST.tsv").read_text().splitlines()[1:]:
        name = line.split("\t")[0]
        kind = name.split("/")[0]
        if kind not in READ or part not in name:
            continue
        image, error = render(folder / name, scratch)
        wrong = error
        if image and kind in COMPARED:
            try:
                full, right = reference(folder / name, image.size)
                scale = min(1, 128 / max(full))
                size = tuple(max(1, round(side * scale)) for side in full)
                off = difference(image, right)
                if max(abs(a - b) for a, b in zip(size, image.size)) > 1:
                    wrong = f"{image.size} of an image of {full}"
                elif off > FORMAT_TOLERANCE:
                    wrong = f"differs by {off:.1f} codes"
            except (OSError, ValueError, SyntaxError) as unread:
                wrong = f"no reference: {unread}"
        if wrong and name in accepted:
            print(f"except {name}: {wrong}: {accepted[name]}")
            continue
        yield name, kind, wrong


def main():
    mode, folder, part, *_ = [*sys.argv[1:], ""]
    wrong = count = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, kind, why in {"cases": cases, "formats": formats}[mode](Path(folder), scratch, part):
            count += 1
            if why:
                wrong += 1
                print(f"wrong {name} ({kind}): {why}")
    print(f"{count - wrong} of {count} right")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
