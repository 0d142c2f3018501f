"""From an upload to its thumbnail."""

import concurrent.futures

import pytest

import sample_images
from tintype import DESTINATION, SOURCE
from waiting import until


@pytest.fixture
def own(new_server):
    """A separate server, for tests that count or restart."""
    return new_server().start()


def upload(s3, key, body, bucket=SOURCE, **how):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **how)["ETag"]


def keys(s3, bucket=DESTINATION):
    return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.mark.parametrize(
    ("key", "body", "size", "kind", "colour"),
    [
        ("pipeline/wide.jpg", sample_images.jpeg(640, 480), (128, 96), "JPEG", sample_images.RED),
        ("pipeline/tall.png", sample_images.png(300, 600), (64, 128), "PNG", sample_images.BLUE),
        ("pipeline/small.jpeg", sample_images.jpeg(50, 40), (50, 40), "JPEG", sample_images.RED),
        ("pipeline/SHOUTED.JPG", sample_images.jpeg(256, 256, sample_images.GREEN), (128, 128), "JPEG", sample_images.GREEN),
        # Formats follow from content, never from names.
        ("pipeline/a PNG in truth.jpg", sample_images.png(256, 128), (128, 64), "PNG", sample_images.BLUE),
    ],
)
def test_a_thumbnail_appears(server, s3, key, body, size, kind, colour):
    etag = upload(s3, key, body)
    found = server.thumbnail(f"thumb_{key}", etag)
    thumbnail = sample_images.opened(found["Bytes"])
    assert (thumbnail.size, thumbnail.format) == (size, kind)
    assert sample_images.is_near(sample_images.middle(thumbnail), colour)
    assert found["ContentType"] == f"image/{kind.lower()}"
    metadata = found["Metadata"]
    assert metadata["tintype-source-etag"] == etag.strip('"')
    assert (metadata["tintype-width"], metadata["tintype-height"]) == tuple(map(str, size))
    assert metadata["tintype-recipe"]


def test_a_gif_becomes_a_png_beside_its_name(server, s3):
    etag = upload(s3, "pipeline/a.gif", sample_images.gif())
    thumbnail = sample_images.opened(server.thumbnail("thumb_pipeline/a.gif.png", etag)["Bytes"])
    assert (thumbnail.format, thumbnail.size) == ("PNG", (128, 96))
    assert sample_images.is_near(sample_images.middle(thumbnail), sample_images.GREEN)


def test_images_are_rotated_upright(server, s3):
    etag = upload(s3, "pipeline/turned.jpg", sample_images.rotated_jpeg(640, 480))
    thumbnail = sample_images.opened(server.thumbnail("thumb_pipeline/turned.jpg", etag)["Bytes"])
    assert thumbnail.size == (96, 128)
    assert thumbnail.getexif().get(0x0112, 1) == 1
    shown = thumbnail.convert("RGB")
    assert sample_images.is_near(shown.getpixel((80, 64)), sample_images.RED)
    assert sample_images.is_near(shown.getpixel((16, 64)), sample_images.BLUE)


def test_keys_without_a_trigger_are_ignored(own):
    s3 = own.client()
    for key in ("notes.txt", "picture.jpg.bak", "photos/", "picture.psd"):
        upload(s3, key, sample_images.jpeg())
    # An empty queue proves that all events are handled.
    own.thumbnail("thumb_later.jpg", upload(s3, "later.jpg", sample_images.jpeg()))
    own.wait_until_idle()
    assert keys(s3) == ["thumb_later.jpg"]
    assert own.metrics()["AsyncEventsDropped"] == 0


def test_overwriting_gives_the_new_thumbnail(server, s3):
    for colour in (sample_images.RED, sample_images.GREEN, sample_images.BLUE):
        etag = upload(s3, "pipeline/changing.jpg", sample_images.jpeg(colour=colour))
        found = server.thumbnail("thumb_pipeline/changing.jpg", etag)
        assert sample_images.is_near(sample_images.middle(sample_images.opened(found["Bytes"])), colour)


def test_the_newest_of_many_quick_versions_wins(own):
    s3 = own.client()
    for number in range(20):
        etag = upload(s3, "quick.jpg", sample_images.distinct_jpeg(number))
    own.thumbnail("thumb_quick.jpg", etag)
    # No older event in the queue may undo it.
    own.wait_until_idle()
    own.thumbnail("thumb_quick.jpg", etag)
    assert own.metrics()["AsyncEventsDropped"] == 0


def test_the_newest_of_concurrent_versions_wins(own):
    s3 = own.client()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: upload(s3, "quick.jpg", sample_images.distinct_jpeg(number)), range(40)))
    own.wait_until_idle()
    etag = s3.head_object(Bucket=SOURCE, Key="quick.jpg")["ETag"]
    assert s3.head_object(Bucket=DESTINATION, Key="thumb_quick.jpg")["Metadata"]["tintype-source-etag"] == etag.strip('"')


def test_thirty_at_once(own):
    s3 = own.client()
    names = [f"Medium-input(30)/photo ({number}).jpg" for number in range(30)]
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        etags = list(pool.map(lambda name: upload(s3, name, sample_images.distinct_jpeg(name, 1200, 800)), names))
    for name, etag in zip(names, etags, strict=True):
        found = own.thumbnail(f"thumb_{name}", etag, s3)
        assert sample_images.opened(found["Bytes"]).size == (128, 85)
    own.wait_until_idle()
    counted = own.metrics()
    assert (counted["AsyncEventsReceived"], counted["Errors"], counted["AsyncEventsDropped"]) == (30, 0, 0)
    assert counted['tintype_outcomes_total{outcome="made"}'] == 30


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("damaged", sample_images.corrupt_jpeg(), "malformed"),
        ("text", b"this is no image", "unsupported"),
        ("empty", b"", "unsupported"),
    ],
)
def test_an_invalid_image_becomes_a_dead_letter(own, name, body, reason):
    s3 = own.client()
    upload(s3, f"{name}.jpg", body)
    until(lambda: own.metrics()["tintype_dead_letters"] == 1, "there is a dead letter")
    own.wait_until_idle()
    counted = own.metrics()
    assert counted["AsyncEventsDropped"] == 1
    assert counted[f'tintype_outcomes_total{{outcome="failed",reason="{reason}"}}'] == 1
    # A retry cannot help, so there was none.
    assert counted["Invocations"] == 1
    assert keys(s3) == []
    # It survives a restart, and does not block others.
    own.stop()
    own.start()
    assert own.metrics()["tintype_dead_letters"] == 1
    own.thumbnail("thumb_good.jpg", upload(own.client(), "good.jpg", sample_images.jpeg()))


def test_an_image_over_the_limit_becomes_a_dead_letter(new_server):
    own = new_server(settings="[limits]\npixels = 100_000").start()
    s3 = own.client()
    upload(s3, "huge.png", sample_images.png(1000, 1000))
    until(lambda: own.metrics()["tintype_dead_letters"] == 1, "there is a dead letter")
    own.wait_until_idle()
    assert own.metrics()['tintype_outcomes_total{outcome="failed",reason="too_large"}'] == 1
    own.thumbnail("thumb_fits.png", upload(s3, "fits.png", sample_images.png(300, 300)))
    assert keys(s3) == ["thumb_fits.png"]


def test_a_trigger_for_every_key_ignores_folder_markers(new_server):
    own = new_server(settings="[[trigger]]\nsuffixes = []").start()
    s3 = own.client()
    upload(s3, "photos/", b"")
    own.thumbnail("thumb_photos/no suffix", upload(s3, "photos/no suffix", sample_images.jpeg()))
    own.wait_until_idle()
    assert keys(s3) == ["thumb_photos/no suffix"]
    counted = own.metrics()
    assert (counted["AsyncEventsDropped"], counted['tintype_outcomes_total{outcome="ignored"}']) == (0, 1)


def test_copies_and_multipart_uploads_are_uploads_too(server, s3):
    body = sample_images.distinct_jpeg("copied", 800, 600)
    etag = upload(s3, "pipeline/original.jpg", body)
    s3.copy_object(Bucket=SOURCE, Key="pipeline/copy.jpg", CopySource={"Bucket": SOURCE, "Key": "pipeline/original.jpg"})
    server.thumbnail("thumb_pipeline/copy.jpg", etag)

    at = {"Bucket": SOURCE, "Key": "pipeline/parts.jpg"}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    part = s3.upload_part(**at, PartNumber=1, Body=body)["ETag"]
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    assert done["ETag"].endswith('-1"')
    found = server.thumbnail("thumb_pipeline/parts.jpg", done["ETag"])
    assert sample_images.opened(found["Bytes"]).size == (128, 96)


def test_settings_define_the_thumbnail(new_server):
    settings = """
        [[trigger]]
        bucket = "photos"
        prefix = "raw/"
        suffixes = [".jpg"]
        destination = "photos"
        [[trigger.rendition]]
        key = "small/{dir}{stem}{ext}"
        size = "50x50"
        fit = "cover"
        [[trigger.rendition]]
        key = "large/{key}"
        size = "x200"
        format = "webp"
    """
    own = new_server(settings=settings).start()
    s3 = own.client()
    etag = upload(s3, "raw/a.jpg", sample_images.jpeg(), bucket="photos")
    found = {}
    for key in ("small/raw/a.jpg", "large/raw/a.jpg.webp"):
        image = sample_images.opened(own.thumbnail(key, etag, bucket="photos")["Bytes"])
        found[key] = (image.format, image.size)
    assert found == {"small/raw/a.jpg": ("JPEG", (50, 50)), "large/raw/a.jpg.webp": ("WEBP", (267, 200))}
    own.wait_until_idle()
    assert keys(s3, "photos") == ["large/raw/a.jpg.webp", "raw/a.jpg", "small/raw/a.jpg"]


def test_variables_define_the_thumbnail(new_server):
    own = new_server(env={"SOURCE_BUCKET": "from-here", "DESTINATION_BUCKET": "to-there", "THUMBNAIL_SIZE": "32x32"})
    s3 = own.start().client()
    etag = upload(s3, "a.jpg", sample_images.jpeg(), bucket="from-here")
    assert sample_images.opened(own.thumbnail("thumb_a.jpg", etag, bucket="to-there")["Bytes"]).size == (32, 24)


def test_removals_are_mirrored_by_setting(new_server):
    own = new_server(settings="[[trigger]]\nmirror_deletes = true").start()
    s3 = own.client()
    for key in ("retained.jpg", "removed.jpg", "removed too.jpg"):
        own.thumbnail(f"thumb_{key}", upload(s3, key, sample_images.jpeg()))
    s3.delete_object(Bucket=SOURCE, Key="removed.jpg")
    s3.delete_objects(Bucket=SOURCE, Delete={"Objects": [{"Key": "removed too.jpg"}]})
    until(lambda: keys(s3) == ["thumb_retained.jpg"], "the thumbnails of removed images are gone")


def test_removals_are_not_mirrored_by_default(own):
    s3 = own.client()
    own.thumbnail("thumb_a.jpg", upload(s3, "a.jpg", sample_images.jpeg()))
    s3.delete_object(Bucket=SOURCE, Key="a.jpg")
    own.thumbnail("thumb_b.jpg", upload(s3, "b.jpg", sample_images.jpeg()))
    own.wait_until_idle()
    assert keys(s3) == ["thumb_a.jpg", "thumb_b.jpg"]
