"""What a rendition may be besides a smaller image: cropped by its content or a focal point, in several densities, with a
watermark, sharpened, with its copyright, animated, as AVIF."""

import io
import json

import pytest
import requests
from PIL import Image, ImageDraw

import sample_images
from tintype import DESTINATION, SOURCE, run
from waiting import until

BLUE, RED, GREEN = sample_images.BLUE, sample_images.RED, sample_images.GREEN
COPYRIGHT, ARTIST, GPS = 0x8298, 0x013B, 0x8825

SETTINGS = """
[[trigger]]
mirror_deletes = true
[[trigger.rendition]]
size = "40x40"
fit = "cover"
gravity = "smart"
densities = [1, 2, 3]
[[trigger.rendition]]
key = "marked/{key}"
size = "64x64"
format = "png"
metadata = "copyright"
sharpen = 30
watermark = { image = "%s", position = "center", opacity = 100, scale = 50 }
[[trigger.rendition]]
key = "moving/{key}"
size = "32x32"
format = "webp"
animate = true
"""


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, **options)
    return file.getvalue()


def strip(at, width=480):
    """A gray strip with a red disc."""
    image = Image.new("RGB", (width, 120), (128, 132, 136))
    ImageDraw.Draw(image).ellipse((at - 40, 20, at + 40, 100), fill=RED)
    return image


def animation(frames=3, size=(64, 48)):
    """A GIF whose frames are red, green and blue, for 100, 200 and 300 milliseconds."""
    images = [Image.new("RGB", size, (RED, GREEN, BLUE)[number % 3]) for number in range(frames)]
    file = io.BytesIO()
    durations = [100 * (1 + number % 3) for number in range(frames)]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return file.getvalue()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    from tintype import Server

    folder = tmp_path_factory.mktemp("renditions")
    mark = folder / "mark.png"
    mark.write_bytes(png(Image.new("RGBA", (100, 100), (*GREEN, 255))))
    server = Server(folder / "own", SETTINGS % mark)
    try:
        yield server.start()
    finally:
        server.kill()
        Server.shown.remove(server)


def upload(s3, key, body, **options):
    return s3.put_object(Bucket=SOURCE, Key=key, Body=body, **options)["ETag"]


def opened(own, key, etag=None):
    return sample_images.opened(own.thumbnail(key, etag)["Bytes"])


def keys(s3):
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=DESTINATION).get("Contents", [])]


def red_at(image):
    """The mean column of what is red."""
    shown = image.convert("RGB")
    columns = [x for x in range(shown.width) for y in range(shown.height) if shown.getpixel((x, y))[0] > shown.getpixel((x, y))[1] + 60]
    return sum(columns) / len(columns) if columns else None


@pytest.mark.parametrize("at", [60, 240, 420])
def test_smart_shows_what_draws_attention(own, at):
    etag = upload(own.client(), f"smart/{at}.jpg", jpeg(strip(at)))
    image = opened(own, f"thumb_smart/{at}.jpg", etag)
    assert image.size == (40, 40)
    assert 12 < red_at(image) < 28


def test_densities_are_thumbnails_like_others(own):
    s3 = own.client()
    etag = upload(s3, "dense/a.jpg", jpeg(strip(240)))
    sizes = {"thumb_dense/a.jpg": 40, "thumb_dense/a@2x.jpg": 80, "thumb_dense/a@3x.jpg": 120}
    for key, side in sizes.items():
        assert opened(own, key, etag).size == (side, side)
    own.wait_until_idle()
    orphans = [json.loads(line) for line in run("orphans", "--data", own.data).stdout.splitlines()]
    assert not [line for line in orphans if line.get("orphan") == "thumbnail"]
    listed = requests.get(f"{own.api_url}/info", params={"key": "dense/a.jpg"}, timeout=30).json()
    assert {rendition["key"] for rendition in listed["renditions"]} >= set(sizes)
    assert {rendition["state"] for rendition in listed["renditions"]} == {"current"}
    s3.delete_object(Bucket=SOURCE, Key="dense/a.jpg")
    until(lambda: not [key for key in keys(s3) if "dense/" in key], "the thumbnails of every density are gone")


def test_a_focal_point_of_the_metadata(own):
    s3 = own.client()
    body = jpeg(strip(60))
    etag = upload(s3, "focal/a.jpg", body, Metadata={"focal": "0.9,0.5"})
    # The disc, which draws attention, is not shown.
    assert red_at(opened(own, "thumb_focal/a.jpg", etag)) is None
    answer = requests.get(own.api_url, params={"key": "focal/a.jpg"}, timeout=30)
    assert red_at(sample_images.opened(answer.content)) is None
    asked = {"key": "focal/a.jpg", "focal": "0.125,0.5", "size": "50x50"}
    other = requests.get(own.api_url, params=asked, timeout=30)
    assert 20 < red_at(sample_images.opened(other.content)) < 30
    assert other.headers["ETag"] != answer.headers["ETag"]
    # A point that changes without the bytes changes the thumbnail.
    place = {"Bucket": SOURCE, "Key": "focal/a.jpg"}
    s3.copy_object(**place, CopySource=place, Metadata={"focal": "0.125,0.5"}, MetadataDirective="REPLACE")
    until(lambda: red_at(opened(own, "thumb_focal/a.jpg")) is not None, "the thumbnail follows the focal point")
    own.wait_until_idle()
    listed = requests.get(f"{own.api_url}/info", params={"key": "focal/a.jpg"}, timeout=30).json()
    assert {rendition["state"] for rendition in listed["renditions"]} == {"current"}


def test_watermark_and_copyright(own):
    exif = Image.Exif()
    exif[ARTIST], exif[COPYRIGHT] = "Ada", "(c) Ada 2026"
    exif.get_ifd(GPS)[1] = "N"
    exif.get_ifd(GPS)[2] = (52.0, 31.0, 12.0)
    etag = upload(own.client(), "marked.jpg", jpeg(Image.new("RGB", (320, 240), BLUE), exif=exif))
    image = opened(own, "marked/marked.jpg.png", etag)
    shown = image.convert("RGB")
    assert image.size == (64, 48)
    assert sample_images.is_near(shown.getpixel((32, 24)), GREEN)
    assert sample_images.is_near(shown.getpixel((4, 4)), BLUE)
    retained = image.getexif()
    assert (retained[ARTIST], retained[COPYRIGHT]) == ("Ada", "(c) Ada 2026")
    assert GPS not in retained and len(retained) == 2
    # The first rendition retains nothing.
    assert not opened(own, "thumb_marked.jpg", etag).getexif()


def test_animations_move(own):
    etag = upload(own.client(), "moving.gif", animation())
    image = opened(own, "moving/moving.gif.webp", etag)
    assert (image.format, image.size, image.n_frames, image.info["loop"]) == ("WEBP", (32, 24), 3, 0)
    for number, colour in enumerate((RED, GREEN, BLUE)):
        image.seek(number)
        image.load()
        assert sample_images.is_near(image.convert("RGB").getpixel((16, 12)), colour)
        assert image.info["duration"] == 100 * (1 + number)
    # Without animate a GIF is a PNG of its first frame.
    assert opened(own, "thumb_moving.gif.png", etag).format == "PNG"


def test_requests_take_the_same_options(own):
    upload(own.client(), "asked.gif", animation())
    asked = {"key": "asked.gif", "format": "gif", "animate": "true", "size": "20x20"}
    image = sample_images.opened(requests.get(own.api_url, params=asked, timeout=30).content)
    assert (image.format, image.n_frames) == ("GIF", 3)
    for wrong, words in (("sharpen=101", "0 to 100"), ("focal=left", "two shares"), ("format=png&animate=true", "animate = false")):
        answer = requests.get(f"{own.api_url}?key=asked.gif&{wrong}", timeout=30)
        assert answer.status_code == 400 and words in answer.json()["message"], answer.text


def test_make(tmp_path):
    (tmp_path / "a.gif").write_bytes(animation())
    (tmp_path / "b.jpg").write_bytes(jpeg(strip(60)))
    (tmp_path / "mark.png").write_bytes(png(Image.new("RGBA", (10, 10), (*GREEN, 255))))
    made = run("make", "a.gif", "-o", "out", "--animate", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert Image.open(tmp_path / "out/thumb_a.gif").n_frames == 3
    how = ["--size", "48x48", "--fit", "cover", "--gravity", "smart", "--sharpen", "40", "--watermark", "mark.png", "--watermark-opacity", "100"]
    made = run("make", "b.jpg", "-o", "out", *how, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    image = Image.open(tmp_path / "out/thumb_b.jpg").convert("RGB")
    assert 14 < red_at(image) < 34 and sample_images.is_near(image.getpixel((42, 42)), GREEN)
    refused = run("make", "b.jpg", "-o", "out", "--watermark", "b.jpg", cwd=tmp_path)
    assert refused.returncode == 2 and b"a watermark is a PNG" in refused.stderr


def test_too_large_an_animation_is_its_first_frame_with_a_note(tmp_path):
    (tmp_path / "long.gif").write_bytes(animation(60, (1000, 1000)))
    made = run("make", "long.gif", "-o", "out", "--animate", "--format", "webp", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    line = json.loads(made.stdout)
    assert line["note"].startswith("the first frame alone: 60 frames")
    assert getattr(Image.open(line["thumbnail"] if line["thumbnail"].startswith("/") else tmp_path / line["thumbnail"]), "n_frames", 1) == 1


def test_avif_is_written_where_it_is_built_in(tmp_path):
    formats = run("make", "--help").stdout.decode()
    assert "avif" in formats
    image = strip(200).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    (tmp_path / "a.png").write_bytes(png(image))
    made = run("make", "a.png", "-o", "out", "--format", "avif", cwd=tmp_path)
    if made.returncode == 2 and b"does not write avif" in made.stderr:
        pytest.skip("built without avif-out")
    assert made.returncode == 0, made.stderr
    read = Image.open(tmp_path / "out/thumb_a.png.avif")
    assert (read.format, read.size, read.mode) == ("AVIF", (128, 32), "RGBA")
    read.save(tmp_path / "b.webp")
    assert run("make", "b.webp", "-o", "out", "--avif", cwd=tmp_path).returncode == 0
    assert Image.open(tmp_path / "out/thumb_b.webp.avif").format == "AVIF"
