"""Generated images: each has one main colour, which identifies its thumbnail."""

import io
import random

from PIL import Image

RED, GREEN, BLUE = (200, 40, 30), (30, 160, 50), (40, 60, 190)


def _bytes(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(width=640, height=480, colour=RED, **options):
    return _bytes(Image.new("RGB", (width, height), colour), "JPEG", quality=85, **options)


def distinct_jpeg(seed, width=160, height=120):
    """A small JPEG, different for each seed."""
    chance = random.Random(seed)
    tiles = Image.new("RGB", (8, 6))
    tiles.putdata([tuple(chance.randrange(256) for _ in range(3)) for _ in range(48)])
    return _bytes(tiles.resize((width, height), Image.Resampling.NEAREST), "JPEG", quality=80)


def png(width=640, height=480, colour=BLUE):
    return _bytes(Image.new("RGB", (width, height), colour), "PNG")


def noise(width, height):
    """A PNG that hardly compresses, always the same."""
    data = random.Random(1).randbytes(width * height * 3)
    return _bytes(Image.frombytes("RGB", (width, height), data), "PNG")


def gif(width=320, height=240, colour=GREEN):
    return _bytes(Image.new("RGB", (width, height), colour).quantize(4), "GIF")


def rotated_jpeg(width=640, height=480):
    """Orientation 6: shown rotated clockwise by 90 degrees. The stored top half is red, so the shown right half is; the other
    half is blue."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width, height // 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    return _bytes(image, "JPEG", quality=90, exif=exif)


def corrupt_jpeg():
    """A valid header with two fifths of the file."""
    whole = distinct_jpeg("damaged", 640, 480)
    return whole[: len(whole) * 2 // 5]


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def is_near(pixel, colour, tolerance=16):
    return all(abs(a - b) <= tolerance for a, b in zip(pixel[:3], colour, strict=True))


def middle(image):
    return image.convert("RGB").getpixel((image.width // 2, image.height // 2))
