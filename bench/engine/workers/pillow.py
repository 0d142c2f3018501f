"""Pillow: draft and thumbnail, the common usage."""

import io

import PIL
from PIL import Image, ImageOps, features
from protocol import serve

Image.MAX_IMAGE_PIXELS = None


def render(data, request):
    image = Image.open(io.BytesIO(data))
    profile = image.info.get("icc_profile")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        # A palette cannot be resampled.
        transparent = "transparency" in image.info or image.mode == "PA"
        image = image.convert("RGBA" if transparent else "RGB")
    # Requests a reduced scale from libjpeg (draft), then reduces by whole factors as far as reducing_gap allows.
    image.thumbnail((request["size"],) * 2, Image.Resampling.LANCZOS)
    # The box is square, so rotating the small image is equivalent and cheaper.
    image = ImageOps.exif_transpose(image)
    out = io.BytesIO()
    if request["format"] == "png":
        image.save(out, "PNG", icc_profile=profile)
    else:
        if image.mode in ("LA", "RGBA"):
            image = image.convert("RGBA")
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=image.getchannel("A"))
            image = white
        image.save(out, "JPEG", quality=request["quality"], icc_profile=profile)
    return out.getvalue(), *image.size


turbo = features.version_feature("libjpeg_turbo")
serve(render, ready=f"Pillow {PIL.__version__}, libjpeg-turbo {turbo}")
