"""A second trigger with buckets and renditions of its own: every way in finds it."""

import json

import pytest
import requests

import sample_images
from tintype import run
from waiting import until

FIRST, SECOND = "first-in", "second-in"
SETTINGS = """
[[trigger]]
bucket = "first-in"
destination = "first-out"
[[trigger.rendition]]
size = "100x100"
[[trigger]]
bucket = "second-in"
prefix = "raw/"
destination = "second-out"
mirror_deletes = true
[[trigger.rendition]]
key = "{width}/{key}"
size = "40x40"
format = "png"
[[trigger.rendition]]
key = "{width}/{key}"
size = "200x200"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from tintype import Server

    server = Server(tmp_path_factory.mktemp("two-triggers"), SETTINGS)
    try:
        yield server.start()
    finally:
        server.kill()
        Server.shown.remove(server)


@pytest.fixture(scope="module")
def s3(server):
    return server.client()


def get(server, path="", **query):
    return requests.get(f"{server.api_url}{path}", params=query, timeout=30)


def width(answer):
    assert answer.status_code == 200, answer.text
    return sample_images.opened(answer.content).size[0]


def stored(s3, key, bucket="second-out"):
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None


def status(server, key, *more):
    done = run("status", key, *more, "--server", server.http_url)
    return done.returncode, json.loads(done.stdout)


def test_get_finds_the_trigger_by_bucket_and_key(server, s3):
    for bucket, colour in ((FIRST, sample_images.RED), (SECOND, sample_images.BLUE)):
        s3.put_object(Bucket=bucket, Key="raw/a.jpg", Body=sample_images.jpeg(colour=colour))
    first, second = get(server, key="raw/a.jpg"), get(server, key="raw/a.jpg", bucket=SECOND)
    assert (width(first), first.headers["Content-Type"]) == (100, "image/jpeg")
    assert (width(second), second.headers["Content-Type"]) == (40, "image/png")
    assert sample_images.is_near(sample_images.middle(sample_images.opened(second.content)), sample_images.BLUE)
    assert get(server, key="raw/a.jpg", bucket=FIRST).content == first.content
    # The second rendition is stored, too, and answered as it is.
    server.wait_until_idle()
    answer = get(server, key="raw/a.jpg", bucket=SECOND, size="200x200", format="same")
    assert answer.content == stored(s3, "200/raw/a.jpg")
    # From the cache, until there is a newer version.
    assert get(server, key="raw/a.jpg", bucket=SECOND).content == second.content
    s3.put_object(Bucket=SECOND, Key="raw/a.jpg", Body=sample_images.jpeg(colour=sample_images.GREEN))
    newer = get(server, key="raw/a.jpg", bucket=SECOND)
    assert sample_images.is_near(sample_images.middle(sample_images.opened(newer.content)), sample_images.GREEN)
    tag = {"If-None-Match": newer.headers["ETag"]}
    url = f"{server.api_url}?bucket={SECOND}&key=raw/a.jpg"
    assert requests.get(url, headers=tag, timeout=30).status_code == 304
    assert requests.head(url, timeout=30).headers["ETag"] == newer.headers["ETag"]


def test_a_bucket_that_no_trigger_watches_is_refused_by_name(server, s3):
    s3.create_bucket(Bucket="private")
    s3.put_object(Bucket="private", Key="raw/a.jpg", Body=sample_images.jpeg())
    for bucket in ("private", "first-out", "nowhere", ""):
        for path in ("", "/info"):
            answer = get(server, path, key="raw/a.jpg", bucket=bucket)
            assert answer.status_code == 400
            assert answer.json()["message"].endswith(f'"{bucket}" is not one of {FIRST}, {SECOND}')
        body = {"key": "raw/a.jpg", "bucket": bucket}
        assert requests.post(f"{server.api_url}/uploads", json=body, timeout=30).status_code == 400
    sent = {"data": sample_images.jpeg(), "headers": {"Content-Type": "image/jpeg"}, "timeout": 30}
    assert requests.post(f"{server.api_url}?bucket=private&key=raw/new.jpg", **sent).status_code == 400
    assert stored(s3, "raw/new.jpg", "private") is None


def test_a_bucket_set_through_s3_is_watched_too(server, s3):
    s3.create_bucket(Bucket="third-in")
    assert get(server, key="a.jpg", bucket="third-in").status_code == 400
    arn = s3.get_bucket_notification_configuration(Bucket=FIRST)["LambdaFunctionConfigurations"][0]["LambdaFunctionArn"]
    wanted = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket="third-in", NotificationConfiguration={"LambdaFunctionConfigurations": [wanted]}
    )
    s3.put_object(Bucket="third-in", Key="third.jpg", Body=sample_images.jpeg())
    assert width(get(server, key="third.jpg", bucket="third-in")) == 100
    s3.put_bucket_notification_configuration(Bucket="third-in", NotificationConfiguration={})
    # Also of what is in the cache.
    assert get(server, key="third.jpg", bucket="third-in").status_code == 400


def test_post_of_an_image(server, s3):
    sent = {"data": sample_images.jpeg(), "headers": {"Content-Type": "image/jpeg"}, "timeout": 30}
    assert width(requests.post(server.api_url, **sent)) == 100
    assert width(requests.post(f"{server.api_url}?bucket={SECOND}", **sent)) == 40
    assert width(requests.post(f"{server.api_url}?bucket={SECOND}&key=raw/posted.jpg", **sent)) == 40
    # Source and both renditions in one step.
    assert stored(s3, "raw/posted.jpg", SECOND) == sent["data"]
    assert stored(s3, "40/raw/posted.jpg.png") and stored(s3, "200/raw/posted.jpg")
    assert status(server, "raw/posted.jpg", "--bucket", SECOND)[1]["state"] == "made"


def test_post_of_a_key(server, s3):
    s3.put_object(Bucket=SECOND, Key="raw/key.jpg", Body=sample_images.jpeg())
    record = requests.post(server.api_url, json={"key": "raw/key.jpg", "bucket": SECOND}, timeout=30).json()["records"][0]
    assert record["source"] == {"bucket": SECOND, "key": "raw/key.jpg"}
    assert [(one["bucket"], one["width"]) for one in record["renditions"]] == [("second-out", 40), ("second-out", 200)]
    # Queued, it says where to ask.
    prefers = {"Prefer": "respond-async"}
    answer = requests.post(server.api_url, json={"key": "raw/key.jpg", "bucket": SECOND}, headers=prefers, timeout=30)
    assert (answer.status_code, answer.json()["records"][0]["outcome"]) == (202, "queued")
    asked = requests.get(server.http_url + answer.headers["Location"], timeout=30).json()
    assert asked["source"] == {"bucket": SECOND, "key": "raw/key.jpg"}


def test_info(server, s3):
    s3.put_object(Bucket=SECOND, Key="raw/info.jpg", Body=sample_images.jpeg())
    s3.put_object(Bucket=FIRST, Key="raw/info.jpg", Body=sample_images.jpeg(width=320, height=240))
    server.wait_until_idle()
    info = get(server, "/info", key="raw/info.jpg", bucket=SECOND).json()
    assert (info["source"]["bucket"], info["width"]) == (SECOND, 640)
    shown = [(one["bucket"], one["key"], one["state"]) for one in info["renditions"]]
    assert shown == [("second-out", "40/raw/info.jpg.png", "current"), ("second-out", "200/raw/info.jpg", "current")]
    first = get(server, "/info", key="raw/info.jpg").json()
    assert (first["width"], [one["bucket"] for one in first["renditions"]]) == (320, ["first-out"])


def test_an_upload_form(server, s3):
    wish = {"key": "raw/form.jpg", "bucket": SECOND}
    form = requests.post(f"{server.api_url}/uploads", json=wish, timeout=30).json()
    assert form["url"].endswith(f"/{SECOND}")
    files = {"file": ("a.jpg", sample_images.jpeg(), "image/jpeg")}
    assert requests.post(form["url"], data=form["fields"], files=files, timeout=30).status_code == 201
    until(lambda: stored(s3, "40/raw/form.jpg.png"), "its thumbnail is there")
    # The form is for no other bucket.
    elsewhere = form["url"].replace(SECOND, FIRST)
    assert requests.post(elsewhere, data=form["fields"], files=files, timeout=30).status_code == 403


def test_the_console(server, s3):
    url, query = server.http_url, {"bucket": SECOND, "key": "raw/console.jpg"}
    page = requests.get(url, timeout=30).text
    assert f'data-bucket="{SECOND}" data-prefix="raw/"' in page and f'data-bucket="{FIRST}" data-prefix=""' in page
    answer = requests.post(f"{url}/upload", params=query, data=sample_images.jpeg(), timeout=30)
    assert (answer.status_code, answer.json()["bucket"]) == (200, SECOND)
    until(lambda: stored(s3, "200/raw/console.jpg"), "its thumbnail is there")
    server.wait_until_idle()
    shown = requests.get(f"{url}/object", params=query, timeout=30).text
    assert "second-out/40/raw/console.jpg.png" in shown and "second-out/200/raw/console.jpg" in shown
    found = requests.get(f"{url}/object", params=query, headers={"Accept": "application/json"}, timeout=30).json()
    assert (found["state"], len(found["thumbnails"])) == ("made", 2)
    picture = {"bucket": "second-out", "key": "200/raw/console.jpg"}
    assert width(requests.get(f"{url}/picture", params=picture, timeout=30)) == 200
    # What no trigger of the bucket takes is refused, and a key alone is of the first trigger's bucket.
    refused = requests.post(f"{url}/upload", params=query | {"key": "console.jpg"}, data=sample_images.jpeg(), timeout=30)
    assert refused.status_code == 422 and 'keys begin with "raw/"' in refused.json()["message"]
    first = requests.post(f"{url}/upload", params={"key": "console.jpg"}, data=sample_images.jpeg(), timeout=30)
    assert first.json()["bucket"] == FIRST


def test_status(server, s3):
    s3.put_object(Bucket=SECOND, Key="raw/status.jpg", Body=sample_images.jpeg())
    s3.put_object(Bucket=FIRST, Key="status.jpg", Body=sample_images.jpeg())
    server.wait_until_idle()
    code, found = status(server, "raw/status.jpg", "--bucket", SECOND)
    assert (code, found["state"], [one["bucket"] for one in found["thumbnails"]]) == (0, "made", ["second-out"] * 2)
    code, found = status(server, "status.jpg")
    assert (code, found["bucket"], found["thumbnails"][0]["key"]) == (0, FIRST, "thumb_status.jpg")
    assert status(server, "raw/status.jpg")[0] == 5
    # Its thumbnails go with it.
    s3.delete_object(Bucket=SECOND, Key="raw/status.jpg")
    until(lambda: stored(s3, "40/raw/status.jpg.png") is None, "its thumbnails are gone")


def test_the_description_names_the_buckets(server):
    description = requests.get(f"{server.http_url}/openapi.json", timeout=30).json()
    parameters = description["paths"]["/dev1/myimage"]["get"]["parameters"]
    bucket = next(one for one in parameters if one["name"] == "bucket")
    assert bucket["schema"]["enum"][:2] == [FIRST, SECOND]
    assert "bucket" in description["components"]["schemas"]["UploadWish"]["properties"]


def test_requests_are_counted_by_their_routes(server):
    get(server, "/info", key="nothing.jpg")
    requests.get(f"{server.http_url}/page/script.js", timeout=30)
    counted = server.metrics()
    for route in ("GET /dev1/myimage/info", "GET /page/"):
        assert any(name.startswith("tintype_requests_total") and f'route="{route}"' in name for name in counted), route
