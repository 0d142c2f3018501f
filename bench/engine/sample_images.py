"""Generated images for runs without a corpus, from fixed seeds, in the same groups as a corpus.

They have the features of photographs that cost decoders time: gradients, texture at every scale, edges and grain.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Raised whenever the images change.
VERSION = 1


def draw(folder):
    done = folder / f"version-{VERSION}"
    if done.exists():
        return folder
    large, medium = scene(4000, 3000, seed=1), scene(3000, 2000, seed=2)
    products = [product(1000, 816, seed) for seed in range(3, 7)]
    turned = Image.Exif()
    turned[0x0112] = 6
    images = {
        "jpeg-camera/12mp-420.jpg": (large, {"quality": 90}),
        "jpeg-camera/12mp-420-turned.jpg": (large.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {"quality": 85, "exif": turned}),
        "jpeg-camera/6mp-422.jpg": (medium, {"quality": 92, "subsampling": 1}),
        "jpeg-camera/6mp-444-restarts.jpg": (medium, {"quality": 88, "subsampling": 0, "restart_marker_rows": 1}),
        "jpeg-camera/6mp-gray.jpg": (medium.convert("L"), {"quality": 90}),
        "jpeg-progressive/12mp-420.jpg": (large, {"quality": 90, "progressive": True}),
        "jpeg-progressive/6mp-444.jpg": (medium, {"quality": 85, "subsampling": 0, "progressive": True}),
        "jpeg-progressive/1mp-420.jpg": (flat(products[0]), {"quality": 85, "progressive": True}),
        "png-photo/6mp.png": (medium, {}),
        "png-photo/1mp-gray.png": (flat(products[1]).convert("L"), {}),
        "webp/6mp.webp": (medium, {"quality": 80}),
        "webp/1mp.webp": (flat(products[2]), {"quality": 80}),
        "webp/1mp-alpha.webp": (products[2], {"quality": 80}),
        "webp/1mp-lossless.webp": (products[3], {"lossless": True}),
    }
    for number, image in enumerate(products):
        images[f"jpeg-product/1mp-{number}.jpg"] = flat(image), {"quality": 80 + 4 * number}
        images[f"png-product/1mp-rgba-{number}.png"] = image, {}
        images[f"png-product/1mp-palette-{number}.png"] = flat(image).quantize(200), {}
    for name, (image, settings) in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **settings)
    done.touch()
    return folder


def scene(width, height, seed):
    """Hills of noise at every scale, objects with hard edges, slight grain."""
    random = np.random.default_rng(seed)
    light = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 10):
        noise = random.normal(size=(2**octave * height // width + 2, 2**octave, 3)).astype(np.float32)
        layers = [Image.fromarray(noise[..., channel]) for channel in range(3)]
        grown = [np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC)) for layer in layers]
        light += np.stack(grown, -1) * 0.75**octave
    light = 128 + 60 * (light.mean(-1, keepdims=True) * 0.7 + light * 0.3)
    image = Image.fromarray(light.clip(0, 255).astype(np.uint8))
    canvas = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = random.integers(0, width), random.integers(0, height)
        extent = int(random.integers(width // 200, width // 12))
        colour = tuple(map(int, random.integers(0, 256, 3)))
        shape = canvas.ellipse if random.random() < 0.5 else canvas.rectangle
        shape((x, y, x + extent, y + extent), fill=colour, outline="black", width=max(width // 1000, 1))
    # Lens blur of about a pixel, and sensor noise.
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), np.float32)
    return Image.fromarray((soft + random.normal(0, 2.5, soft.shape)).clip(0, 255).astype(np.uint8))


def product(width, height, seed):
    """A cut-out: textured inside, transparent around, with a smooth edge."""
    random = np.random.default_rng(seed)
    mask = Image.new("L", (width * 2, height * 2))
    canvas = ImageDraw.Draw(mask)
    for _ in range(5):
        x, y = random.integers(width // 3, width), random.integers(height // 3, height)
        across, down = random.integers(width // 4, width), random.integers(height // 4, height)
        canvas.rounded_rectangle((x, y, x + across, y + down), radius=int(min(across, down) // 3), fill=255)
    image = scene(width, height, seed)
    image.putalpha(mask.resize((width, height), Image.Resampling.BOX))
    return image


def flat(image):
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white
