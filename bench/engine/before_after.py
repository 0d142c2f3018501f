"""The README's picture: a drawn photo, and its thumbnail by libvips and by Tintype, three times as large as they are.

    cargo build --release
    target/engine-bench/venv/bin/python bench/engine/before_after.py docs/images/before-after.png

Lit windows, stars and cables are finer than a pixel of the thumbnail. What a reduction makes of their light is what one sees.
"""

import io
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pyvips
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 3000, 2000
THUMBNAIL = 150
MAGNIFIED = 3
SKY = [(10, 14, 34), (52, 40, 78), (214, 120, 84)]


def mixed(a, b, share):
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def sky(draw, horizon):
    for y in range(HEIGHT):
        at = min(y / horizon, 1) * 2
        first = min(int(at), 1)
        draw.line([(0, y), (WIDTH, y)], mixed(SKY[first], SKY[first + 1], at - first))


def scene():
    """A town by the water in the evening."""
    dice = random.Random(5)
    image = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    horizon = 1450
    sky(draw, horizon)
    for _ in range(2500):
        x, y = dice.randrange(WIDTH), int(abs(dice.gauss(0, 350)))
        size = dice.choice([1, 2, 2, 3, 4])
        draw.ellipse([x, y, x + size, y + size], (255, 250, dice.randrange(200, 255)))
    draw.ellipse([2380, 180, 2620, 420], (250, 240, 214))
    x = -20
    while x < WIDTH:
        width, height = dice.randrange(130, 300), dice.randrange(320, 980)
        top = horizon - height
        shade = dice.randrange(14, 30)
        draw.rectangle([x, top, x + width, horizon], (shade, shade + 3, shade + 16))
        if dice.random() < 0.4:
            draw.line([(x + width // 2, top), (x + width // 2, top - 160)], (190, 60, 50), 5)
        step = dice.choice([15, 17, 19])
        lit = dice.uniform(0.25, 0.75)
        for wy in range(top + 18, horizon - 20, step + 5):
            for wx in range(x + 12, x + width - 12, step):
                if dice.random() < lit:
                    draw.rectangle([wx, wy, wx + 6, wy + 9], dice.choice([(255, 214, 130), (255, 236, 190), (206, 228, 255)]))
        x += width + dice.randrange(-10, 25)
    # Its reflection, cut into waves.
    mirrored = image.crop((0, 2 * horizon - HEIGHT, WIDTH, horizon)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    for row in range(HEIGHT - horizon):
        shift = round(14 * math.sin(row / 5) + 8 * math.sin(row / 13))
        strip = mirrored.crop((0, row, WIDTH, row + 1)).point(lambda v: v * 0.62)
        image.paste(strip, (shift, horizon + row))
    # A bridge on cables.
    draw.rectangle([0, horizon - 40, WIDTH, horizon - 18], (28, 30, 44))
    for tower in (700, 2100):
        draw.rectangle([tower - 14, 500, tower + 14, horizon], (226, 222, 214))
        for end in range(-620, 621, 40):
            draw.line([(tower, 520), (tower + end, horizon - 40)], (240, 238, 230), 4)
    return image


def by_tintype(folder, photo):
    program = ROOT / "target/release/tintype"
    command = [program, "make", photo, "-o", folder / "made", "--size", f"{THUMBNAIL}x{THUMBNAIL}", "--format", "png"]
    subprocess.run(command, check=True, capture_output=True)
    return Image.open(next((folder / "made").iterdir())).convert("RGB")


def by_libvips(photo):
    image = pyvips.Image.thumbnail(str(photo), THUMBNAIL, height=THUMBNAIL)
    return Image.open(io.BytesIO(image.write_to_buffer(".png"))).convert("RGB")


def main():
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        photo = folder / "town.jpg"
        drawn = scene()
        drawn.save(photo, quality=92)
        made = [by_libvips(photo), by_tintype(folder, photo)]
        size = photo.stat().st_size
    width, height = (side * MAGNIFIED for side in made[0].size)
    margin, line = 16, 40
    board = Image.new("RGB", (3 * width + 4 * margin, height + line + 2 * margin), (250, 250, 248))
    draw = ImageDraw.Draw(board)
    font = ImageFont.load_default(17)
    pictures = [drawn.resize((width, height), Image.Resampling.BOX)]
    pictures += [one.resize((width, height), Image.Resampling.NEAREST) for one in made]
    names = [f"the photo: {WIDTH} x {HEIGHT}, {size / 1e6:.1f} MB", f"libvips, {THUMBNAIL} pixels", f"Tintype, {THUMBNAIL} pixels"]
    for number, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        left = margin + number * (width + margin)
        board.paste(picture, (left, margin))
        draw.text((left, margin + height + 10), name, (40, 40, 44), font)
    board.quantize(255, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main()
