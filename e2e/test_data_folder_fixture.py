"""Data folders written by earlier programs: each is opened, is as it was, and goes on working."""

import hashlib
import json

import pytest

import data_folder
import pictures
from data_folder import DESTINATION, FIXTURES, MADE, MIRROR, MIRRORED, OTHER, QUOTA, SOURCE, Life, asked_by_key, at
from recording import RECORDS, same
from waiting import until

pytestmark = pytest.mark.skipif(data_folder.FAKETIME is None, reason="needs Debian's package faketime")


@pytest.fixture(params=sorted(FIXTURES.glob("*.tar.xz")), ids=lambda file: file.name.removesuffix(".tar.xz"))
def fixture(request):
    return request.param


@pytest.fixture
def folder(fixture, tmp_path):
    data_folder.unpack(fixture, tmp_path)
    return tmp_path


@pytest.fixture
def recorded_file(fixture):
    return fixture.with_name(fixture.name.removesuffix(".tar.xz") + ".json")


def recipe(life, key):
    status, headers, _ = life.s3("HEAD", DESTINATION, key)
    assert status == 200, key
    return headers["x-amz-meta-tintype-recipe"]


def test_everything_in_it_is_as_it_was(folder, recorded_file):
    known = data_folder.seen(folder)
    if RECORDS:
        recorded_file.write_text(data_folder.text(known))
        return
    recorded = json.loads(recorded_file.read_text())
    with Life(folder, at(12)) as life:
        life.done("PUT", SOURCE, "new.jpg", pictures.jpeg())
        is_same_recipe = recipe(life, "thumb_new.jpg") == recipe(life, "thumb_photo.jpg")
    # With a newer recipe thumbnails are there, but none is current.
    for name in () if is_same_recipe else ("backfill", "status"):
        del known[name], recorded[name]
    same(recorded_file.name, data_folder.text(recorded), data_folder.text(known))
    if is_same_recipe:
        assert known["backfill"][-1]["stale"] == 0


def test_work_on_it_goes_on(folder):
    with Life(folder, at(10)) as life:
        head = lambda key, bucket=DESTINATION: life.s3("HEAD", bucket, key)
        # Nothing is rendered again.
        thumbnail = lambda key: f"thumb_{key}" + ".png" * key.endswith(".gif")
        before = {key: head(thumbnail(key))[1] for key in MADE}
        life.done("PUT", SOURCE, "new.jpg", pictures.jpeg())
        if recipe(life, "thumb_new.jpg") == before["photo.jpg"]["x-amz-meta-tintype-recipe"]:
            for key, headers in before.items():
                answer = json.loads(life.page("/dev1/myimage", "POST", json.dumps({"key": key}), **{"content-type": "application/json"}))
                assert [record["outcome"] for record in answer["records"]] == ["up_to_date"], key
                assert head(thumbnail(key))[1]["last-modified"] == headers["last-modified"]
        # Dead letters are tried again, are made up for, and are purged.
        dead_letters = lambda: {one["event"]["key"]: one for one in life.command("dead-letters", "list")}
        was = dead_letters()
        life.command("dead-letters", "redrive", "--prefix", "broken")
        until(lambda: dead_letters().get("broken.jpg", was["broken.jpg"])["dead_ms"] > was["broken.jpg"]["dead_ms"], "it is a dead letter again")
        life.done("PUT", SOURCE, "broken.jpg", pictures.jpeg())
        assert json.loads(life.page("/object?key=broken.jpg"))["state"] == "made"
        assert life.command("backfill", "--dry-run")[-1]["stale"] == 0
        life.command("dead-letters", "purge", "--all")
        assert dead_letters() == {}
        # The open upload takes another part and is completed.
        upload = data_folder.found("<Key>open.bin</Key>.*?<UploadId>(.*?)<", life.done("GET", OTHER, query={"uploads": ""}))[0]
        life.done("PUT", OTHER, "open.bin", bytes(5 << 20), query={"partNumber": "1", "uploadId": upload})
        bodies = {1: bytes(5 << 20), 3: b"part 3"}
        etags = {number: hashlib.md5(body).hexdigest() for number, body in bodies.items()}
        parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in etags.items())
        life.done("POST", OTHER, "open.bin", f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode(), query={"uploadId": upload})
        assert life.done("GET", OTHER, "open.bin")[5 << 20 :] == b"part 3"
        # Its triggers: the settings', and one put by S3.
        life.done("PUT", OTHER, "raw/b.photo", pictures.jpeg())
        assert head("thumb_raw/b.photo")[0] == 200
        life.done("DELETE", MIRRORED, "stays.jpg")
        assert head("small/stays.jpg", MIRROR)[0] == head("large/stays.jpg.webp", MIRROR)[0] == 404
        for key in ("a b+c.txt", "\u00fc" * 512, "dir/"):
            life.done("DELETE", OTHER, key)
            assert head(key, OTHER)[0] == 404
        life.done("DELETE", SOURCE, "photo.jpg")
        life.command("orphans", "--delete")
        assert head("thumb_photo.jpg")[0] == head("thumb_gone.jpg")[0] == 404
    data_folder.checked(folder, "--scrub")


def test_the_waiting_event_is_tried_again_when_it_is_due(folder):
    with Life(folder, at(130), waiting=0) as life:
        life.settle()
        assert life.s3("HEAD", DESTINATION, "thumb_waiting.jpg")[0] == 200
        story = json.loads(life.page("/object?key=waiting.jpg"))
        assert (story["state"], story["event"], story["history"][0]["attempt"]) == ("made", None, 2)


def test_a_quota_of_the_day_goes_on(folder):
    with Life(folder, at(10), (folder / "settings.toml").read_text() + QUOTA) as life:
        assert [asked_by_key(life) for _ in range(2)] == [404, 429]
