"""Formats whose decoders run in processes of their own: AVIF, SVG and, where they are built in, HEIC and JPEG XL."""

import gzip
import io
import json
import os
import signal

import pytest
from PIL import Image, ImageDraw

import sample_images
from tintype import SOURCE, run
from waiting import until


def quarters(mode="RGB"):
    """Red, green, blue and, where there is alpha, nothing."""
    image = Image.new(mode, (320, 240), "white" if mode == "RGB" else (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 159, 119), fill=sample_images.RED)
    draw.rectangle((160, 0, 319, 119), fill=sample_images.GREEN)
    draw.rectangle((0, 120, 159, 239), fill=sample_images.BLUE)
    return image


def avif(image, **options):
    file = io.BytesIO()
    image.save(file, "AVIF", quality=90, speed=9, **options)
    return file.getvalue()


SVG = b"""<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240">
  <rect width="160" height="120" fill="rgb%s"/><rect x="160" width="160" height="120" fill="rgb%s"/>
  <rect y="120" width="160" height="120" fill="rgb%s"/>
</svg>""" % tuple(str(colour).encode() for colour in (sample_images.RED, sample_images.GREEN, sample_images.BLUE))

# Noise of many octaves, over and over: hours of work from a few bytes.
SLOW = (
    b"<svg xmlns='http://www.w3.org/2000/svg' width='128' height='128'><filter id='f' x='0' y='0' width='1' height='1'>"
    + b"<feTurbulence baseFrequency='.9' numOctaves='16'/>" * 20_000
    + b"</filter><rect width='128' height='128' filter='url(#f)'/></svg>"
)


def upload(s3, key, body):
    return s3.put_object(Bucket=SOURCE, Key=key, Body=body)["ETag"]


def check(image, alpha):
    """The quarters of a thumbnail of 128 x 96."""
    assert image.size == (128, 96)
    shown = image.convert("RGBA")
    for place, colour in (((20, 20), sample_images.RED), ((100, 20), sample_images.GREEN), ((20, 80), sample_images.BLUE)):
        assert sample_images.is_near(shown.getpixel(place)[:3], colour), place
        assert shown.getpixel(place)[3] > 250
    last = shown.getpixel((100, 80))
    assert last[3] < 5 if alpha else min(last) > 240, last


@pytest.mark.parametrize(
    ("key", "body", "kind", "alpha"),
    [
        ("codecs/opaque.avif", avif(quarters()), "WEBP", False),
        ("codecs/transparent.avif", avif(quarters("RGBA")), "WEBP", True),
        ("codecs/4-4-4.avif", avif(quarters(), subsampling="4:4:4"), "WEBP", False),
        ("codecs/drawing.svg", SVG, "PNG", True),
        ("codecs/drawing.svgz", gzip.compress(SVG), "PNG", True),
    ],
)
def test_a_thumbnail_appears(server, s3, key, body, kind, alpha):
    etag = upload(s3, key, body)
    found = server.thumbnail(f"thumb_{key}.{kind.lower()}", etag)
    thumbnail = sample_images.opened(found["Bytes"])
    assert thumbnail.format == kind
    check(thumbnail, alpha)


def test_an_avif_is_upright(server, s3):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = quarters().transpose(Image.Transpose.ROTATE_90)
    etag = upload(s3, "codecs/turned.avif", avif(turned, exif=exif))
    check(sample_images.opened(server.thumbnail("thumb_codecs/turned.avif.webp", etag)["Bytes"]), alpha=False)


def test_what_takes_too_long_fails_and_others_do_not_wait(server, s3):
    upload(s3, "codecs/slow.svg", SLOW)
    etag = upload(s3, "codecs/after.svg", SVG)
    server.thumbnail("thumb_codecs/after.svg.png", etag)
    failed = until(
        lambda: [line for line in server.log_text().splitlines() if "codecs/slow.svg" in line and "took longer" in line],
        "the failure in the log",
    )
    assert failed


def processes(role, of=None):
    """The codec processes in a role, by their numbers; those below the process `of`."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as line:
                arguments = line.read().split(b"\0")
            with open(f"/proc/{entry}/stat") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if arguments[1:3] == [b"codec-process", role] and of in (None, parent):
            found.append(int(entry))
    return found


def test_a_killed_process_is_replaced_and_all_end_with_the_server(new_server):
    own = new_server().start()
    s3 = own.client()
    (supervisor,) = processes(b"supervisor", own.process.pid)
    for number in range(3):
        own.thumbnail(f"thumb_{number}.svg.png", upload(s3, f"{number}.svg", SVG))
        workers = processes(b"worker", supervisor)
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    own.kill()
    until(lambda: not os.path.exists(f"/proc/{supervisor}/cmdline") or not processes(b"supervisor", own.process.pid), "no supervisor")
    until(lambda: not processes(b"worker", supervisor), "no worker")


def test_probe_and_make(tmp_path):
    (tmp_path / "a.avif").write_bytes(avif(quarters("RGBA")))
    (tmp_path / "b.svg").write_bytes(SVG)
    (tmp_path / "secret.png").write_bytes(sample_images.png(320, 240))
    outside = SVG.replace(b"</svg>", b"<image width='320' height='240' href='secret.png'/></svg>")
    (tmp_path / "c.svg").write_bytes(outside)
    probed = run("probe", "a.avif", "b.svg", cwd=tmp_path)
    first, second = (json.loads(line) for line in probed.stdout.decode().splitlines())
    assert (first["format"], first["width"], first["height"], first["alpha"]) == ("avif", 320, 240, True)
    assert (second["format"], second["width"], second["height"]) == ("svg", 320, 240)
    made = run("make", "a.avif", "b.svg", "c.svg", "-o", "out", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    for name in ("thumb_a.avif.webp", "thumb_b.svg.png", "thumb_c.svg.png"):
        with Image.open(tmp_path / "out" / name) as image:
            check(image, alpha=True)
    enlarged = run("make", "b.svg", "-o", "large", "--size", "640x480", "--enlarge", cwd=tmp_path)
    assert enlarged.returncode == 0, enlarged.stderr
    with Image.open(tmp_path / "large" / "thumb_b.svg.png") as image:
        # Rendered at that size, not enlarged: an edge is an edge.
        pixels = image.convert("RGBA")
        assert pixels.size == (640, 480)
        assert [pixels.getpixel((x, 100))[0] for x in (318, 319)] == [pixels.getpixel((10, 10))[0]] * 2


def test_corrupt_files_are_refused_with_the_reason(tmp_path):
    whole = avif(quarters())
    (tmp_path / "cut.avif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.avif").write_bytes(whole[:-200] + bytes(255 - byte for byte in whole[-200:]))
    (tmp_path / "cut.svg").write_bytes(SVG[:-20])
    (tmp_path / "cut.svgz").write_bytes(gzip.compress(SVG)[:-30])
    for name in ("cut.avif", "cut.svg", "cut.svgz"):
        ended = run("make", name, "-o", "out", cwd=tmp_path)
        assert ended.returncode == 1, name
        # Of a gzip file that is cut off nothing says that it was a drawing.
        reason = b"unsupported" if name == "cut.svgz" else b"malformed"
        assert reason in ended.stderr + ended.stdout, (name, ended.stderr)
    assert run("make", "flipped.avif", "-o", "out", cwd=tmp_path).returncode in (0, 1)


@pytest.mark.parametrize(
    ("name", "plugin", "kind"), [("a.heic", "pillow_heif", "HEIF"), ("a.jxl", "pillow_jxl", "JXL")], ids=["heic", "jxl"]
)
def test_formats_that_a_build_may_lack(tmp_path, name, plugin, kind):
    module = pytest.importorskip(plugin)
    if kind == "HEIF":
        module.register_heif_opener()
    quarters().save(tmp_path / name, kind, quality=90)
    made = run("make", name, "-o", "out", cwd=tmp_path)
    if b"unsupported" in made.stderr + made.stdout:
        pytest.skip("this program was built without it")
    assert made.returncode == 0, made.stderr
    with Image.open(tmp_path / "out" / f"thumb_{name}.webp") as image:
        check(image, alpha=False)
