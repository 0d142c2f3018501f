"""The Lambda binary on the tests' own Runtime API, with moto_server as S3 and SQS."""

import base64
import datetime
import io
import itertools
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from PIL import Image

import sample_images
from lambda_runtime import TRACE, Function, InitError
from moto_server import Moto, certificate
from s3_between import Between
from tintype import BOOTSTRAP, DESTINATION, SOURCE
from waiting import until

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    server = Moto(tmp_path_factory.mktemp("moto"))
    server.buckets(SOURCE, DESTINATION)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def s3(moto):
    return moto.client("s3")


@pytest.fixture
def dead_letters(moto):
    """A new queue."""
    sqs = moto.client("sqs")
    url = sqs.create_queue(QueueName=f"dead-letters-{next(numbers)}")["QueueUrl"]

    class Queue:
        def all(self):
            found = []
            while True:
                answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
                if not answer.get("Messages"):
                    return found
                for message in answer["Messages"]:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    found.append(message)

    queue = Queue()
    queue.url = url
    return queue


@pytest.fixture
def function(moto, dead_letters, tmp_path):
    env = moto.environment() | {"DEAD_LETTER_QUEUE_URL": dead_letters.url, "API_UPLOADS": "true"}
    with Function([BOOTSTRAP], env, tmp_path) as function:
        yield function


@pytest.fixture
def key():
    return f"photo-{next(numbers)}.jpg"


def s3_event(*keys, name="ObjectCreated:Put", bucket=SOURCE, **more):
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-east-1",
                "eventTime": "2026-01-02T03:04:05.678Z",
                "eventName": name,
                "s3": {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "0055AED6DCD90281E5"} | more},
            }
            for key in keys
        ]
    }


def sqs_event(*bodies):
    return {
        "Records": [
            {"messageId": f"m{number}", "eventSource": "aws:sqs", "body": body if isinstance(body, str) else json.dumps(body)}
            for number, body in enumerate(bodies, 1)
        ]
    }


def thumbnail(s3, key):
    found = s3.get_object(Bucket=DESTINATION, Key=f"thumb_{key}")
    return sample_images.opened(found["Body"].read())


def in_sns(event):
    return {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(event)}}]}


def in_event_bridge(key):
    detail = {"bucket": {"name": SOURCE}, "object": {"key": key}}
    return {"detail-type": "Object Created", "source": "aws.s3", "time": "2026-01-02T03:04:05Z", "detail": detail}


SHAPES = {
    "S3": s3_event,
    "SQS": lambda key: sqs_event(s3_event(key)),
    "SNS": lambda key: in_sns(s3_event(key)),
    "SNS in SQS": lambda key: sqs_event({"Type": "Notification", "Message": json.dumps(s3_event(key))}),
    "EventBridge": in_event_bridge,
    "direct": lambda key: {"key": key},
    "what Lambda sends on failure": lambda key: {
        "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": s3_event(key),
        "responsePayload": {},
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_event_of_each_shape_renders_the_thumbnail(shape, function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    answer = function.invoke(SHAPES[shape](key)).ok
    assert thumbnail(s3, key).size == (128, 96)
    assert answer == {"batchItemFailures": []} or answer["records"][0]["outcome"] == "made"
    answer = function.invoke(SHAPES[shape](key)).ok
    assert answer == {"batchItemFailures": []} or answer["records"][0]["outcome"] == "up_to_date"
    assert [line["outcome"] for line in function.log_lines("tintype.record")] == ["made", "up_to_date"]


def test_a_test_event_is_ignored(function):
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": SOURCE, "Time": "2026-01-02T03:04:05.678Z"}
    assert function.invoke(event).ok == {"records": []}
    assert function.invoke(sqs_event(event)).ok == {"records": []}


def test_keys_that_the_settings_do_not_take_are_ignored_and_counted(moto, tmp_path, s3):
    """The template's notification has no suffix: S3 could not say `.jpg` in any case."""
    with Function([BOOTSTRAP], moto.environment() | {"CUSTOM_METRICS": "true"}, tmp_path) as function:
        keys = [f"{next(numbers)}{ending}" for ending in (".jpg", ".Jpeg", ".PNG", ".txt", ".jpg.bak", "/")]
        for key in keys[:3]:
            s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
        # The others are not even looked for in the bucket.
        answer = function.invoke(s3_event(*keys)).ok
        expected = ["made"] * 3 + ["ignored"] * 3
        assert [one["outcome"] for one in answer["records"]] == expected
        lines = function.log_lines("tintype.record")
        assert [(one["outcome"], one["level"]) for one in lines] == [(outcome, "INFO") for outcome in expected]
        assert all(one["why"] for one in lines[3:])
        counted = [line for line in function.log_lines() if "_aws" in line]
        assert sum(value for line in counted for name, value in line.items() if "gnored" in name and isinstance(value, (int, float))) >= 3


def test_keys_are_decoded_and_every_record_is_handled(function, s3):
    keys = ["Medium-input(30)/photo 1+2.jpg", "ü.jpg", "a//b.jpg"]
    encoded = ["Medium-input%2830%29/photo+1%2B2.jpg", "%C3%BC.jpg", "a%2F%2Fb.jpg"]
    for key in keys:
        s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    answer = function.invoke(s3_event(*encoded)).ok
    assert [one["outcome"] for one in answer["records"]] == ["made"] * 3
    for key in keys:
        assert thumbnail(s3, key).size == (128, 96)


def test_a_permanent_failure_is_one_dead_letter_and_no_error(function, s3, key, dead_letters):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.corrupt_jpeg())
    attempts = function.invoke_asynchronously(s3_event(key))
    assert [one.kind for one in attempts] == ["response"]
    (dead_letter,) = dead_letters.all()
    assert json.loads(dead_letter["Body"]) == s3_event(key)
    attributes = {name: one["StringValue"] for name, one in dead_letter["MessageAttributes"].items()}
    assert attributes["Reason"] == "malformed" and attributes["ErrorCode"] == "200"
    assert attributes["RequestID"] == function.log_lines("tintype.record")[0]["requestId"]
    assert "the data ends at byte" in attributes["ErrorMessage"]


def test_a_dead_letter_can_be_sent_to_the_function_again(function, s3, key, dead_letters):
    s3.put_object(Bucket=SOURCE, Key=key, Body=b"no image")
    function.invoke(s3_event(key)).ok
    (dead_letter,) = dead_letters.all()
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    assert function.invoke(sqs_event(dead_letter["Body"])).ok == {"batchItemFailures": []}
    assert thumbnail(s3, key).size == (128, 96)


def test_an_event_that_cannot_be_read_is_a_dead_letter(function, dead_letters):
    assert function.invoke({"hello": "world"}).ok["records"][0]["reason"] == "bad_event"
    (dead_letter,) = dead_letters.all()
    assert json.loads(dead_letter["Body"]) == {"hello": "world"}


def test_a_transient_failure_fails_the_invocation_and_is_retried(moto, dead_letters, tmp_path, key):
    # A closed port stands for an unavailable S3.
    env = moto.environment() | {"DEAD_LETTER_QUEUE_URL": dead_letters.url, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    with Function([BOOTSTRAP], env, tmp_path) as function:
        attempts = function.invoke_asynchronously(s3_event(key))
    assert [one.kind for one in attempts] == ["error"] * 3
    assert attempts[0].payload["errorType"] == "Tintype.unavailable"
    assert key in attempts[0].payload["errorMessage"]
    assert dead_letters.all() == []


@pytest.fixture
def flaky(moto, dead_letters, tmp_path):
    """A function whose S3 fails for keys that contain "away"."""
    with Between(moto.url, refused="away") as between:
        env = moto.environment() | {"DEAD_LETTER_QUEUE_URL": dead_letters.url, "AWS_ENDPOINT_URL_S3": between.url}
        with Function([BOOTSTRAP], env, tmp_path) as function:
            yield function


def test_of_a_batch_only_transient_failures_are_retried(flaky, s3, dead_letters):
    good, corrupt = f"good-{next(numbers)}.jpg", f"corrupt-{next(numbers)}.jpg"
    s3.put_object(Bucket=SOURCE, Key=good, Body=sample_images.jpeg())
    s3.put_object(Bucket=SOURCE, Key=corrupt, Body=sample_images.corrupt_jpeg())
    event = sqs_event(s3_event("away-1.jpg"), s3_event(good), s3_event(corrupt), "not json")
    assert flaky.invoke(event).ok == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert thumbnail(s3, good).size == (128, 96)
    received = {one["MessageAttributes"]["Reason"]["StringValue"]: one["Body"] for one in dead_letters.all()}
    assert set(received) == {"malformed", "bad_event"} and received["bad_event"] == "not json"


def test_a_permanent_failure_waits_for_a_transient_one(flaky, s3, key, dead_letters):
    """The whole event is retried, so a dead letter now would be the first of several."""
    s3.put_object(Bucket=SOURCE, Key=key, Body=b"no image")
    attempts = flaky.invoke_asynchronously(s3_event(key, "away-1.jpg"), retries=1)
    assert [one.kind for one in attempts] == ["error", "error"]
    assert dead_letters.all() == []


def test_a_dead_letter_that_cannot_be_sent_fails_the_invocation(moto, s3, tmp_path, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=b"no image")
    gone = moto.environment() | {"DEAD_LETTER_QUEUE_URL": f"{moto.url}/123456789012/gone"}
    for number, env in enumerate((moto.environment(), gone)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Function([BOOTSTRAP], env, folder) as function:
            answer = function.invoke(s3_event(key))
            assert answer.kind == "error" and "dead-letter queue" in answer.payload["errorMessage"]
            failures = function.invoke(sqs_event(s3_event(key))).ok
            assert failures == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


def test_an_overwritten_source_is_rendered_again(function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg(colour=sample_images.RED))
    function.invoke(s3_event(key)).ok
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg(colour=sample_images.BLUE))
    assert function.invoke(s3_event(key)).ok["records"][0]["outcome"] == "made"
    assert sample_images.is_near(sample_images.middle(thumbnail(s3, key)), sample_images.BLUE)


def test_deletes_are_mirrored_by_the_settings(moto, s3, tmp_path, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    env = moto.environment() | {"TINTYPE_TRIGGER__MIRROR_DELETES": "true"}
    with Function([BOOTSTRAP], env, tmp_path) as function:
        function.invoke(s3_event(key)).ok
        s3.delete_object(Bucket=SOURCE, Key=key)
        removed = s3_event(key, name="ObjectRemoved:Delete")
        assert function.invoke(removed).ok["records"][0]["outcome"] == "removed"
    with pytest.raises(s3.exceptions.NoSuchKey):
        thumbnail(s3, key)


def test_it_stops_before_the_time_out_of_lambda(moto, dead_letters, tmp_path, key):
    """A store that accepts connections and never responds."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        env = moto.environment() | {
            "DEAD_LETTER_QUEUE_URL": dead_letters.url,
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        with Function([BOOTSTRAP], env, tmp_path, timeout_seconds=3) as function:
            answer = function.invoke(s3_event(key))
            assert answer.kind == "error" and answer.payload["errorType"] == "Tintype.stopped"
            assert function.process.poll() is None and function.starts == 1
            failures = function.invoke(sqs_event(s3_event(key), s3_event(key))).ok["batchItemFailures"]
            assert [one["itemIdentifier"] for one in failures] == ["m1", "m2"]


def test_a_killed_process_is_restarted(function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    function.invoke(s3_event(key)).ok
    function.process.kill()
    function.process.wait()
    assert function.invoke(s3_event(key)).ok["records"][0]["outcome"] == "up_to_date"
    assert function.starts == 2


def test_unusable_settings_are_an_init_error_with_advice(moto, tmp_path):
    cases = {
        "function.timeout_s": {"TINTYPE_FUNCTION__TIMEOUT": "3"},
        "would loop": {"DESTINATION_BUCKET": SOURCE, "THUMBNAIL_KEY": "{key}"},
        "AWS_ENDPOINT_URL_S3": {"AWS_ENDPOINT_URL_S3": "nowhere"},
    }
    for number, (part, env) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Function([BOOTSTRAP], moto.environment() | env, folder) as function, pytest.raises(InitError) as raised:
            function.start()
        assert part in str(raised.value)
        assert "Tintype.Settings" in str(raised.value)


def test_one_short_line_a_thumbnail(function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    function.invoke(s3_event(key)).ok
    function.invoke(s3_event(key)).ok
    first, second = function.log_lines()
    assert (first["type"], first["bucket"], first["key"], first["outcome"]) == ("tintype.record", SOURCE, key, "made")
    assert first["requestId"] and first["milliseconds"] > 0 and first["memoryBytes"] > 1 << 20
    assert first["sourceBytes"] == len(sample_images.jpeg()) and first["thumbnailBytes"] > 0
    assert set(first["stages"]) == {"wait", "read", "decode", "resample", "encode", "write"}
    assert first["coldStart"] is True and "coldStart" not in second
    assert all(len(line) < 500 for line in function.log_text().splitlines())
    # What Lambda filters lines by.
    assert first["level"] == "INFO"
    datetime.datetime.strptime(first["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert "test" not in function.log_text().split(), "no secret in the log"


def test_metrics_where_they_are_switched_on(moto, s3, tmp_path, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    with Function([BOOTSTRAP], moto.environment() | {"CUSTOM_METRICS": "true"}, tmp_path) as function:
        function.invoke(s3_event(key)).ok
        (metrics,) = [one for one in function.log_lines() if "_aws" in one]
    announced = {one["Name"] for one in metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {"Made", "SourceBytes", "ThumbnailBytes", "MemoryUsed", "UploadToThumbnail", "StageDecode"} <= announced
    assert all(isinstance(metrics[name], (int, float)) for name in announced)


def test_an_image_deleted_before_it_was_read_is_no_dead_letter(function, key, dead_letters):
    """There is nothing to do about it: no alarm."""
    assert function.invoke(s3_event(key)).ok["records"][0]["reason"] == "missing"
    assert dead_letters.all() == []
    (line,) = function.log_lines("tintype.record")
    assert (line["level"], line["reason"]) == ("WARN", "missing")


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_job_of_s3_batch_operations(version, function, s3, key, dead_letters):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    s3.put_object(Bucket=SOURCE, Key=f"corrupt {key}", Body=b"no image")
    where = {"s3BucketArn": f"arn:aws:s3:::{SOURCE}"} if version == "1.0" else {"s3Bucket": SOURCE}
    keys = [key, f"corrupt+{key}", f"gone-{key}"]
    tasks = [{"taskId": f"t{number}", "s3Key": one, "s3VersionId": None} | where for number, one in enumerate(keys)]
    event = {"invocationSchemaVersion": version, "invocationId": "i", "job": {"id": "j"}, "tasks": tasks}
    answer = function.invoke(event).ok
    assert (answer["invocationSchemaVersion"], answer["invocationId"]) == (version, "i")
    assert answer["treatMissingKeysAs"] == "PermanentFailure"
    results = [(one["taskId"], one["resultCode"], one["resultString"].split(":")[0]) for one in answer["results"]]
    assert results == [
        ("t0", "Succeeded", "made"),
        ("t1", "PermanentFailure", "unsupported"),
        ("t2", "PermanentFailure", "missing"),
    ]
    assert thumbnail(s3, key).size == (128, 96)
    # They are in the job's report.
    assert dead_letters.all() == []


def test_an_expired_image_takes_its_thumbnail_along(moto, s3, tmp_path, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    with Function([BOOTSTRAP], moto.environment() | {"TINTYPE_TRIGGER__MIRROR_DELETES": "true"}, tmp_path) as function:
        function.invoke(s3_event(key)).ok
        s3.delete_object(Bucket=SOURCE, Key=key)
        expired = s3_event(key, name="LifecycleExpiration:Delete")
        assert function.invoke(expired).ok["records"][0]["outcome"] == "removed"


REFUSALS = {
    "archived": (403, "InvalidObjectState", "The operation is not valid for the object's storage class"),
    "key_refused": (403, "AccessDenied", "User: arn is not authorized to perform: kms:Decrypt on resource: arn"),
    "denied": (403, "AccessDenied", "Access Denied"),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusals_of_s3_have_reasons_of_their_own(moto, dead_letters, tmp_path, key, reason):
    status, code, message = REFUSALS[reason]

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            is_list = "list-type=2" in self.path
            body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            body = (f"<ListBucketResult><Name>{DESTINATION}</Name></ListBucketResult>" if is_list else body).encode()
            self.send_response(200 if is_list else status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self):
            # There is a source and no thumbnail yet.
            self.send_response(200 if self.path.startswith(f"/{SOURCE}/") else 404)
            self.send_header("ETag", '"e"')
            self.send_header("Content-Length", "100")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        env = moto.environment() | {
            "DEAD_LETTER_QUEUE_URL": dead_letters.url,
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}",
        }
        with Function([BOOTSTRAP], env, tmp_path) as function:
            answer = function.invoke(s3_event(key))
            (line,) = function.log_lines("tintype.record")
        assert line["reason"] == reason
        if reason == "archived":
            # Another attempt would find it archived, too.
            assert answer.kind == "response"
            assert dead_letters.all()[0]["MessageAttributes"]["Reason"]["StringValue"] == reason
        else:
            assert answer.payload["errorType"] == f"Tintype.{reason}" and dead_letters.all() == []
    finally:
        server.shutdown()
        server.server_close()


def test_over_tls_to_a_host_found_by_name(tmp_path, key):
    """The program is static: DNS and certificates work without system libraries."""
    files = certificate(tmp_path)
    moto = Moto(tmp_path, *files)
    try:
        s3 = moto.buckets(SOURCE, DESTINATION)
        s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
        with Function([BOOTSTRAP], moto.environment() | {"SSL_CERT_FILE": str(files[0])}, tmp_path) as function:
            assert function.invoke(s3_event(key)).ok["records"][0]["outcome"] == "made"
        with Function([BOOTSTRAP], moto.environment(), tmp_path, name="distrustful") as function:
            assert function.invoke(s3_event(key)).payload["errorType"] == "Tintype.unavailable"
    finally:
        moto.stop()


def test_the_trace_header_is_passed_on(moto, s3, tmp_path, key):
    """AWS detects loops by this header of every call."""
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    with Between(moto.url) as between:
        env = moto.environment() | {"AWS_ENDPOINT_URL_S3": between.url}
        with Function([BOOTSTRAP], env, tmp_path) as function:
            assert function.invoke(s3_event(key)).ok["records"][0]["outcome"] == "made"
        assert {command for command, _, _ in between.seen} == {"GET", "HEAD", "PUT"}
        assert {trace for _, _, trace in between.seen} == {TRACE}


def rest(method, path="/myimage", query=None, headers=None, body=None):
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()} if headers else None,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"stage": "dev1", "path": f"/dev1{path}", "requestId": "r"},
        "body": base64.b64encode(body).decode() if body is not None else None,
        "isBase64Encoded": body is not None,
    }


def http_api(method, path="/dev1/myimage", query="", headers=None, body=None):
    return {
        "version": "2.0",
        "routeKey": f"{method} /myimage",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers or {},
        "requestContext": {"stage": "dev1", "requestId": "r", "http": {"method": method, "path": path}},
        "body": base64.b64encode(body).decode() if body is not None else None,
        "isBase64Encoded": body is not None,
    }


def body(answer):
    return base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]


def test_the_api_through_both_kinds_of_gateway(function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    for event in (rest("GET", query={"key": key}), http_api("GET", query=f"key={key}")):
        answer = function.invoke(event).ok
        assert answer["statusCode"] == 200 and answer["isBase64Encoded"] is True
        assert sample_images.opened(body(answer)).size == (128, 96)
    posted = function.invoke(rest("POST", headers={"content-type": "image/jpeg"}, body=sample_images.jpeg())).ok
    assert sample_images.opened(body(posted)).size == (128, 96)
    named = function.invoke(
        http_api("POST", headers={"content-type": "application/json"}, body=json.dumps({"key": key}).encode())
    ).ok
    assert json.loads(body(named))["records"][0]["outcome"] == "up_to_date"
    missing = function.invoke(rest("GET", query={"key": "nowhere.jpg"})).ok
    assert missing["statusCode"] == 404 and "nowhere.jpg" in json.loads(body(missing))["message"]
    assert [line["status"] for line in function.log_lines("tintype.request")] == [200, 200, 200, 200, 404]


def test_an_upload_through_the_api_is_stored_and_rendered(function, s3, key):
    event = rest("POST", query={"key": key}, headers={"content-type": "image/jpeg"}, body=sample_images.jpeg())
    assert function.invoke(event).ok["statusCode"] == 200
    assert s3.get_object(Bucket=SOURCE, Key=key)["Body"].read() == sample_images.jpeg()
    assert thumbnail(s3, key).size == (128, 96)


def test_an_upload_form_works_and_info_describes_the_image(function, s3, moto, key):
    form_request = rest("POST", "/myimage/uploads", headers={"content-type": "application/json"}, body=json.dumps({"key": key}).encode())
    form = json.loads(body(function.invoke(form_request).ok))
    assert form["url"] == f"{moto.url}/{SOURCE}" and form["fields"]["key"] == key
    sent = requests.post(
        form["url"],
        data=form["fields"] | {"Content-Type": "image/jpeg"},
        files={form["file_field"]: sample_images.jpeg()},
        timeout=30,
    )
    assert sent.status_code < 300, sent.text
    assert s3.get_object(Bucket=SOURCE, Key=key)["Body"].read() == sample_images.jpeg()
    info = json.loads(body(function.invoke(rest("GET", "/myimage/info", query={"key": key})).ok))
    assert (info["width"], info["height"]) == (640, 480)


TWO_TRIGGERS = """
[[trigger]]
bucket = "input-product-images"
destination = "output-product-thumbnail"
[[trigger]]
bucket = "second-in"
prefix = "raw/"
destination = "second-out"
[[trigger.rendition]]
key = "{width}/{key}"
size = "40x40"
"""


def test_a_second_triggers_bucket_through_the_api(moto, s3, tmp_path, key):
    moto.buckets("second-in", "second-out")
    second, as_json = {"bucket": "second-in", "key": f"raw/{key}"}, {"content-type": "application/json"}
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    env = moto.environment() | {"TINTYPE_CONFIG": TWO_TRIGGERS, "API_UPLOADS": "true"}
    with Function([BOOTSTRAP], env, tmp_path) as function:
        image = rest("POST", query=second, headers={"content-type": "image/jpeg"}, body=sample_images.jpeg())
        posted = function.invoke(image).ok
        assert sample_images.opened(body(posted)).size == (40, 30)
        assert s3.get_object(Bucket="second-in", Key=f"raw/{key}")["Body"].read() == sample_images.jpeg()
        assert s3.head_object(Bucket="second-out", Key=f"40/raw/{key}")
        for event in (rest("GET", query=second), http_api("GET", query=f"bucket=second-in&key=raw/{key}")):
            assert sample_images.opened(body(function.invoke(event).ok)).size == (40, 30)
        first = function.invoke(rest("GET", query={"key": key})).ok
        assert sample_images.opened(body(first)).size == (128, 96)
        info = json.loads(body(function.invoke(rest("GET", "/myimage/info", query=second)).ok))
        assert [(one["bucket"], one["state"]) for one in info["renditions"]] == [("second-out", "current")]
        named = function.invoke(rest("POST", headers=as_json, body=json.dumps(second).encode())).ok
        assert json.loads(body(named))["records"][0]["outcome"] == "up_to_date"
        form = function.invoke(rest("POST", "/myimage/uploads", headers=as_json, body=json.dumps(second).encode())).ok
        assert json.loads(body(form))["url"] == f"{moto.url}/second-in"
        other = function.invoke(rest("GET", query=second | {"bucket": DESTINATION})).ok
        assert other["statusCode"] == 400 and "second-in" in json.loads(body(other))["message"]


@pytest.mark.parametrize("env", [{}, {"API_UPLOADS": "false"}], ids=["unset", "false"])
def test_uploads_are_refused_unless_they_are_switched_on(moto, tmp_path, key, env):
    with Function([BOOTSTRAP], moto.environment() | env, tmp_path) as function:
        for event in (
            rest("POST", "/myimage/uploads", headers={"content-type": "application/json"}, body=b'{"key": "a.jpg"}'),
            rest("POST", query={"key": key}, headers={"content-type": "image/jpeg"}, body=sample_images.jpeg()),
        ):
            answer = function.invoke(event).ok
            assert answer["statusCode"] == 403 and "ApiUploads=true" in answer["body"]


def test_a_response_too_large_for_lambda_is_a_413_that_points_to_uploads(function, s3):
    key = f"noise-{next(numbers)}.png"
    noise = sample_images.Image.frombytes("RGB", (1600, 1100), os.urandom(1600 * 1100 * 3))
    s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images._bytes(noise, "PNG"))
    answer = function.invoke(rest("GET", query={"key": key, "size": "1600x1100", "format": "png"})).ok
    assert answer["statusCode"] == 413 and answer["isBase64Encoded"] is False
    assert "POST /dev1/myimage/uploads" in json.loads(answer["body"])["message"]
    assert answer["headers"]["content-type"] == "application/json"
    assert answer["headers"]["x-content-type-options"] == "nosniff"


def test_from_s3_through_a_queue_to_the_thumbnail(moto, s3, function):
    """moto's own notifications: the function receives the messages of its queue."""
    sqs = moto.client("sqs")
    bucket = SOURCE
    url = sqs.create_queue(QueueName=f"uploads-{next(numbers)}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    try:
        keys = [f"queued {number}+ü.jpg" for number in range(3)]
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=sample_images.jpeg())

        def taken():
            messages.extend(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []))
            return sum("ObjectCreated" in one["Body"] for one in messages) >= len(keys)

        messages = []
        until(taken, "moto has notified of every upload")
        batch = {
            "Records": [
                {"messageId": one["MessageId"], "eventSource": "aws:sqs", "body": one["Body"]} for one in messages
            ]
        }
        assert function.invoke(batch).ok == {"batchItemFailures": []}
        for key in keys:
            assert thumbnail(s3, key).size == (128, 96)
    finally:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})


def test_a_large_image_takes_little_memory(moto, s3, tmp_path, key):
    base = Image.linear_gradient("L").resize((6000, 4000))
    out = io.BytesIO()
    Image.merge("RGB", (base, base.rotate(90), base.rotate(180))).save(out, "JPEG", quality=88)
    s3.put_object(Bucket=SOURCE, Key=key, Body=out.getvalue())
    with Function([BOOTSTRAP], moto.environment(), tmp_path) as function:
        (record,) = function.invoke({"key": key}).ok["records"]
        assert record["outcome"] == "made"
        assert function.memory_mb_peak() <= 40
