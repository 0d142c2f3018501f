"""Pillow: draft and thumbnail, as most people use it."""

import io

import PIL
from PIL import Image, ImageOps, features
from protocol import serve

Image.MAX_IMAGE_PIXELS = None


def render(data, request):
    picture = Image.open(io.BytesIO(data))
    profile = picture.info.get("icc_profile")
    if picture.mode not in ("L", "LA", "RGB", "RGBA"):
        # A palette cannot be resampled.
        transparent = "transparency" in picture.info or picture.mode == "PA"
        picture = picture.convert("RGBA" if transparent else "RGB")
    # Asks libjpeg for a reduced scale (draft), then reduces by whole factors as far as reducing_gap allows.
    picture.thumbnail((request["size"],) * 2, Image.Resampling.LANCZOS)
    # The box is square, so turning the small picture is as good as turning the large one, and cheap.
    picture = ImageOps.exif_transpose(picture)
    out = io.BytesIO()
    if request["format"] == "png":
        picture.save(out, "PNG", icc_profile=profile)
    else:
        if picture.mode in ("LA", "RGBA"):
            picture = picture.convert("RGBA")
            white = Image.new("RGB", picture.size, "white")
            white.paste(picture, mask=picture.getchannel("A"))
            picture = white
        picture.save(out, "JPEG", quality=request["quality"], icc_profile=profile)
    return out.getvalue(), *picture.size


turbo = features.version_feature("libjpeg_turbo")
serve(render, ready=f"Pillow {PIL.__version__}, libjpeg-turbo {turbo}")
