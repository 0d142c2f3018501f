"""The function's program as Lambda runs it, on our own Runtime API, with moto_server as S3 and SQS."""

import base64
import io
import itertools
import json
import os
import socket

import pytest
import requests
from PIL import Image

import pictures
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
    """A queue of the test's own."""
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
    env = moto.environment() | {"DEAD_LETTER_QUEUE_URL": dead_letters.url}
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
    return pictures.opened(found["Body"].read())


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
def test_an_event_of_each_shape_makes_the_thumbnail(shape, function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
    answer = function.invoke(SHAPES[shape](key)).ok
    assert thumbnail(s3, key).size == (128, 96)
    assert answer == {"batchItemFailures": []} or answer["records"][0]["outcome"] == "made"
    answer = function.invoke(SHAPES[shape](key)).ok
    assert answer == {"batchItemFailures": []} or answer["records"][0]["outcome"] == "up_to_date"
    assert [line["outcome"] for line in function.log_lines("tintype.record")] == ["made", "up_to_date"]


def test_a_test_event_needs_nothing_done(function):
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": SOURCE, "Time": "2026-01-02T03:04:05.678Z"}
    assert function.invoke(event).ok == {"records": []}
    assert function.invoke(sqs_event(event)).ok == {"records": []}


def test_keys_are_decoded_and_every_record_is_handled(function, s3):
    keys = ["Medium-input(30)/photo 1+2.jpg", "ü.jpg", "a//b.jpg"]
    encoded = ["Medium-input%2830%29/photo+1%2B2.jpg", "%C3%BC.jpg", "a%2F%2Fb.jpg"]
    for key in keys:
        s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
    answer = function.invoke(s3_event(*encoded)).ok
    assert [one["outcome"] for one in answer["records"]] == ["made"] * 3
    for key in keys:
        assert thumbnail(s3, key).size == (128, 96)


def test_a_permanent_failure_is_one_dead_letter_and_no_error(function, s3, key, dead_letters):
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.damaged_jpeg())
    attempts = function.invoke_asynchronously(s3_event(key))
    assert [one.kind for one in attempts] == ["response"]
    (letter,) = dead_letters.all()
    assert json.loads(letter["Body"]) == s3_event(key)
    said = {name: one["StringValue"] for name, one in letter["MessageAttributes"].items()}
    assert said["Reason"] == "malformed" and said["ErrorCode"] == "200"
    assert said["RequestID"] == function.log_lines("tintype.record")[0]["requestId"]
    assert "the data ends at byte" in said["ErrorMessage"]


def test_a_dead_letter_can_be_sent_to_the_function_again(function, s3, key, dead_letters):
    s3.put_object(Bucket=SOURCE, Key=key, Body=b"no picture")
    function.invoke(s3_event(key)).ok
    (letter,) = dead_letters.all()
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
    assert function.invoke(sqs_event(letter["Body"])).ok == {"batchItemFailures": []}
    assert thumbnail(s3, key).size == (128, 96)


def test_an_event_that_cannot_be_read_is_a_dead_letter(function, dead_letters):
    assert function.invoke({"hello": "world"}).ok["records"][0]["reason"] == "bad_event"
    (letter,) = dead_letters.all()
    assert json.loads(letter["Body"]) == {"hello": "world"}


def test_a_transient_failure_fails_the_invocation_and_is_tried_again(moto, dead_letters, tmp_path, key):
    # A place where nobody listens stands for an S3 that is away.
    env = moto.environment() | {"DEAD_LETTER_QUEUE_URL": dead_letters.url, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    with Function([BOOTSTRAP], env, tmp_path) as function:
        attempts = function.invoke_asynchronously(s3_event(key))
    assert [one.kind for one in attempts] == ["error"] * 3
    assert attempts[0].payload["errorType"] == "Tintype.unavailable"
    assert key in attempts[0].payload["errorMessage"]
    assert dead_letters.all() == []


@pytest.fixture
def flaky(moto, dead_letters, tmp_path):
    """A function whose S3 does not serve keys that hold "away"."""
    with Between(moto.url, refused="away") as between:
        env = moto.environment() | {"DEAD_LETTER_QUEUE_URL": dead_letters.url, "AWS_ENDPOINT_URL_S3": between.url}
        with Function([BOOTSTRAP], env, tmp_path) as function:
            yield function


def test_of_a_batch_only_what_failed_transiently_comes_again(flaky, s3, dead_letters):
    good, damaged = f"good-{next(numbers)}.jpg", f"damaged-{next(numbers)}.jpg"
    s3.put_object(Bucket=SOURCE, Key=good, Body=pictures.jpeg())
    s3.put_object(Bucket=SOURCE, Key=damaged, Body=pictures.damaged_jpeg())
    event = sqs_event(s3_event("away-1.jpg"), s3_event(good), s3_event(damaged), "not json")
    assert flaky.invoke(event).ok == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert thumbnail(s3, good).size == (128, 96)
    letters = {one["MessageAttributes"]["Reason"]["StringValue"]: one["Body"] for one in dead_letters.all()}
    assert set(letters) == {"malformed", "bad_event"} and letters["bad_event"] == "not json"


def test_beside_a_transient_failure_a_permanent_one_waits(flaky, s3, key, dead_letters):
    """The event comes again whole, so a dead letter now would be the first of several."""
    s3.put_object(Bucket=SOURCE, Key=key, Body=b"no picture")
    attempts = flaky.invoke_asynchronously(s3_event(key, "away-1.jpg"), retries=1)
    assert [one.kind for one in attempts] == ["error", "error"]
    assert dead_letters.all() == []


def test_a_dead_letter_that_cannot_be_sent_fails_the_invocation(moto, s3, tmp_path, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=b"no picture")
    gone = moto.environment() | {"DEAD_LETTER_QUEUE_URL": f"{moto.url}/123456789012/gone"}
    for number, env in enumerate((moto.environment(), gone)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Function([BOOTSTRAP], env, folder) as function:
            answer = function.invoke(s3_event(key))
            assert answer.kind == "error" and "dead-letter queue" in answer.payload["errorMessage"]
            failures = function.invoke(sqs_event(s3_event(key))).ok
            assert failures == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


def test_overwritten_is_made_anew(function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg(colour=pictures.RED))
    function.invoke(s3_event(key)).ok
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg(colour=pictures.BLUE))
    assert function.invoke(s3_event(key)).ok["records"][0]["outcome"] == "made"
    assert pictures.is_near(pictures.middle(thumbnail(s3, key)), pictures.BLUE)


def test_deletes_are_mirrored_where_the_settings_say_so(moto, s3, tmp_path, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
    env = moto.environment() | {"TINTYPE_TRIGGER__MIRROR_DELETES": "true"}
    with Function([BOOTSTRAP], env, tmp_path) as function:
        function.invoke(s3_event(key)).ok
        s3.delete_object(Bucket=SOURCE, Key=key)
        removed = s3_event(key, name="ObjectRemoved:Delete")
        assert function.invoke(removed).ok["records"][0]["outcome"] == "removed"
    with pytest.raises(s3.exceptions.NoSuchKey):
        thumbnail(s3, key)


def test_it_stops_before_lambda_has_to(moto, dead_letters, tmp_path, key):
    """A store that takes a connection and never answers."""
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


def test_a_process_that_is_gone_is_started_anew(function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
    function.invoke(s3_event(key)).ok
    function.process.kill()
    function.process.wait()
    assert function.invoke(s3_event(key)).ok["records"][0]["outcome"] == "up_to_date"
    assert function.starts == 2


def test_unusable_settings_are_an_init_error_that_says_what_to_do(moto, tmp_path):
    cases = {
        "function.timeout_s": {"TINTYPE_FUNCTION__TIMEOUT": "3"},
        "would loop": {"DESTINATION_BUCKET": SOURCE, "THUMBNAIL_KEY": "{key}"},
        "AWS_ENDPOINT_URL_S3": {"AWS_ENDPOINT_URL_S3": "nowhere"},
    }
    for number, (part, env) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Function([BOOTSTRAP], moto.environment() | env, folder) as function, pytest.raises(InitError) as told:
            function.start()
        assert part in str(told.value)
        assert "Tintype.Settings" in str(told.value)


def test_logs_and_metrics(function, s3, key):
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
    function.invoke(s3_event(key)).ok
    (line,) = function.log_lines("tintype.record")
    assert (line["bucket"], line["key"], line["outcome"], line["level"]) == (SOURCE, key, "made", "INFO")
    assert line["requestId"] and line["milliseconds"] > 0 and line["memoryBytes"] > 1 << 20
    assert set(line["stages"]) == {"wait", "read", "decode", "resample", "encode", "write"}
    (metrics,) = [one for one in function.log_lines() if "_aws" in one]
    announced = {one["Name"] for one in metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {"Made", "SourceBytes", "ThumbnailBytes", "MemoryUsed", "UploadToThumbnail", "StageDecode"} <= announced
    assert all(isinstance(metrics[name], (int, float)) for name in announced)
    assert "test" not in function.log_text().split(), "no secret in the log"


def test_over_tls_to_a_host_found_by_name(tmp_path, key):
    """The program is static: names and certificates are found without a library of the system's."""
    files = certificate(tmp_path)
    moto = Moto(tmp_path, *files)
    try:
        s3 = moto.buckets(SOURCE, DESTINATION)
        s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
        with Function([BOOTSTRAP], moto.environment() | {"SSL_CERT_FILE": str(files[0])}, tmp_path) as function:
            assert function.invoke(s3_event(key)).ok["records"][0]["outcome"] == "made"
        with Function([BOOTSTRAP], moto.environment(), tmp_path, name="distrustful") as function:
            assert function.invoke(s3_event(key)).payload["errorType"] == "Tintype.unavailable"
    finally:
        moto.stop()


def test_the_trace_header_is_passed_on(moto, s3, tmp_path, key):
    """By what goes with every call AWS finds loops."""
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
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
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.jpeg())
    for event in (rest("GET", query={"key": key}), http_api("GET", query=f"key={key}")):
        answer = function.invoke(event).ok
        assert answer["statusCode"] == 200 and answer["isBase64Encoded"] is True
        assert pictures.opened(body(answer)).size == (128, 96)
    posted = function.invoke(rest("POST", headers={"content-type": "image/jpeg"}, body=pictures.jpeg())).ok
    assert pictures.opened(body(posted)).size == (128, 96)
    named = function.invoke(
        http_api("POST", headers={"content-type": "application/json"}, body=json.dumps({"key": key}).encode())
    ).ok
    assert json.loads(body(named))["records"][0]["outcome"] == "up_to_date"
    missing = function.invoke(rest("GET", query={"key": "nowhere.jpg"})).ok
    assert missing["statusCode"] == 404 and "nowhere.jpg" in json.loads(body(missing))["message"]
    assert [line["status"] for line in function.log_lines("tintype.request")] == [200, 200, 200, 200, 404]


def test_an_upload_through_the_api_is_stored_and_made(function, s3, key):
    event = rest("POST", query={"key": key}, headers={"content-type": "image/jpeg"}, body=pictures.jpeg())
    assert function.invoke(event).ok["statusCode"] == 200
    assert s3.get_object(Bucket=SOURCE, Key=key)["Body"].read() == pictures.jpeg()
    assert thumbnail(s3, key).size == (128, 96)


def test_an_upload_form_works_and_info_tells_of_the_image(function, s3, moto, key):
    wanted = rest("POST", "/myimage/uploads", headers={"content-type": "application/json"}, body=json.dumps({"key": key}).encode())
    form = json.loads(body(function.invoke(wanted).ok))
    assert form["url"] == f"{moto.url}/{SOURCE}" and form["fields"]["key"] == key
    sent = requests.post(
        form["url"],
        data=form["fields"] | {"Content-Type": "image/jpeg"},
        files={form["file_field"]: pictures.jpeg()},
        timeout=30,
    )
    assert sent.status_code < 300, sent.text
    assert s3.get_object(Bucket=SOURCE, Key=key)["Body"].read() == pictures.jpeg()
    info = json.loads(body(function.invoke(rest("GET", "/myimage/info", query={"key": key})).ok))
    assert (info["width"], info["height"]) == (640, 480)


def test_uploads_are_refused_where_the_stack_takes_none(moto, tmp_path, key):
    with Function([BOOTSTRAP], moto.environment() | {"API_UPLOADS": "false"}, tmp_path) as function:
        for event in (
            rest("POST", "/myimage/uploads", headers={"content-type": "application/json"}, body=b'{"key": "a.jpg"}'),
            rest("POST", query={"key": key}, headers={"content-type": "image/jpeg"}, body=pictures.jpeg()),
        ):
            answer = function.invoke(event).ok
            assert answer["statusCode"] == 403 and "ApiUploads=true" in answer["body"]


def test_what_lambda_cannot_answer_is_a_413_that_points_to_uploads(function, s3):
    key = f"noise-{next(numbers)}.png"
    noise = pictures.Image.frombytes("RGB", (1600, 1100), os.urandom(1600 * 1100 * 3))
    s3.put_object(Bucket=SOURCE, Key=key, Body=pictures._bytes(noise, "PNG"))
    answer = function.invoke(rest("GET", query={"key": key, "size": "1600x1100", "format": "png"})).ok
    assert answer["statusCode"] == 413 and answer["isBase64Encoded"] is False
    assert "POST /dev1/myimage/uploads" in json.loads(answer["body"])["message"]
    assert answer["headers"]["content-type"] == "application/json"
    assert answer["headers"]["x-content-type-options"] == "nosniff"


def test_from_s3_through_a_queue_to_the_thumbnail(moto, s3, function):
    """moto's own notifications: what it writes into the queue is what the function gets."""
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
            s3.put_object(Bucket=bucket, Key=key, Body=pictures.jpeg())

        def taken():
            messages.extend(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []))
            return sum("ObjectCreated" in one["Body"] for one in messages) >= len(keys)

        messages = []
        until(taken, "moto has told of every upload")
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


def test_a_large_picture_takes_little_memory(moto, s3, tmp_path, key):
    base = Image.linear_gradient("L").resize((6000, 4000))
    out = io.BytesIO()
    Image.merge("RGB", (base, base.rotate(90), base.rotate(180))).save(out, "JPEG", quality=88)
    s3.put_object(Bucket=SOURCE, Key=key, Body=out.getvalue())
    with Function([BOOTSTRAP], moto.environment(), tmp_path) as function:
        (made,) = function.invoke({"key": key}).ok["records"]
        assert made["outcome"] == "made"
        assert function.memory_mb_peak() <= 40
