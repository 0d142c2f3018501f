"""`tintype worker` beside real brokers and stores: SQS and S3 of moto_server, NATS, `tintype serve`, rclone."""

import http.client
import json
import os
import random
import subprocess

import pytest
import requests

from moto_server import Moto
from nats_client import NatsClient
from sample_images import corrupt_jpeg, distinct_jpeg, opened
from test_delivery import signed
from tintype import DESTINATION, PROGRAM, SOURCE, environment
from waiting import until
from worker import Nats, Rclone, Worker, client_of, program, s3_event

NATS_SETTINGS = '[worker]\nstream = "images"\nsubject = "images.events"\ndead_letters = "images.dead"\n[function]\nretry_delays = ["1s"]\n'
TOKEN = "a-token-of-sufficient-length"

needs_nats = pytest.mark.skipif(program("nats-server") is None, reason="nats-server is not installed")
needs_rclone = pytest.mark.skipif(program("rclone") is None, reason="rclone is not installed")


@pytest.fixture
def moto(tmp_path):
    moto = Moto(tmp_path)
    yield moto
    moto.stop()


@pytest.fixture
def nats(tmp_path):
    nats = Nats(tmp_path)
    yield nats
    nats.kill()


@pytest.fixture
def new_worker(tmp_path):
    workers = []

    def create(*arguments, name="worker", **how):
        workers.append(Worker(tmp_path / f"{name}-{len(workers)}", *arguments, **how))
        return workers[-1]

    yield create
    for worker in workers:
        worker.kill()
        Worker.shown.remove(worker)


def upload(s3, key, body):
    """Returns the event that the store would send."""
    etag = s3.put_object(Bucket=SOURCE, Key=key, Body=body, ContentType="image/jpeg")["ETag"].strip('"')
    return s3_event(SOURCE, key, size=len(body), etag=etag)


def thumbnail(s3, key):
    try:
        return s3.get_object(Bucket=DESTINATION, Key=f"thumb_{key}")
    except s3.exceptions.NoSuchKey:
        return None


def is_of(s3, key, etag):
    found = thumbnail(s3, key)
    return found and found["Metadata"]["tintype-source-etag"] == etag


class Queues:
    """Two queues of moto_server: events and dead letters."""

    def __init__(self, moto):
        self.sqs = moto.client("sqs")
        self.events = self.sqs.create_queue(QueueName="events")["QueueUrl"]
        self.dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        self.settings = f'[worker]\ndead_letters = "{self.dead}"\n[function]\nretry_delays = ["1s"]\n'

    def send(self, event):
        self.sqs.send_message(QueueUrl=self.events, MessageBody=event if isinstance(event, str) else json.dumps(event))

    def left(self):
        found = self.sqs.get_queue_attributes(QueueUrl=self.events, AttributeNames=["All"])["Attributes"]
        return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])

    def dead_letters(self):
        found = self.sqs.receive_message(QueueUrl=self.dead, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        letters = found.get("Messages", [])
        for letter in letters:
            self.sqs.delete_message(QueueUrl=self.dead, ReceiptHandle=letter["ReceiptHandle"])
        return letters


def test_sqs_and_s3(moto, new_worker):
    s3, queues = moto.buckets(SOURCE, DESTINATION), Queues(moto)
    worker = new_worker(f"sqs:{queues.events}", moto.url, ("test", "test"), settings=queues.settings)
    worker.start().wait_until_ready()
    assert worker.readyz().json() == {"message": "ready", "conditional_writes": "honoured"}
    assert "Contents" not in s3.list_objects_v2(Bucket=DESTINATION, Prefix=".tintype/"), "the probe is removed"

    direct = upload(s3, "a b+c.jpg", distinct_jpeg("direct"))
    queues.send(direct)
    wrapped = upload(s3, "sns.jpg", distinct_jpeg("sns"))
    queues.send({"Type": "Notification", "Message": json.dumps(wrapped)})
    bridge = upload(s3, "bridge.jpg", distinct_jpeg("bridge"))["Records"][0]["s3"]["object"]
    queues.send({"detail-type": "Object Created", "detail": {"reason": "PutObject", "bucket": {"name": SOURCE},
                 "object": {"key": "bridge.jpg", "size": bridge["size"], "etag": bridge["eTag"]}}})
    queues.send({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": SOURCE})
    for key in ["a b+c.jpg", "sns.jpg", "bridge.jpg"]:
        found = until(lambda: thumbnail(s3, key), f"the thumbnail of {key}")
        assert max(opened(found["Body"].read()).size) == 128

    queues.send(upload(s3, "corrupt.jpg", corrupt_jpeg()))
    queues.send("no event at all")
    letters = []
    until(lambda: letters.extend(queues.dead_letters()) or len(letters) == 2, "two dead letters")
    reasons = {letter["MessageAttributes"]["Reason"]["StringValue"]: letter["Body"] for letter in letters}
    assert set(reasons) == {"malformed", "bad_event"} and reasons["bad_event"] == "no event at all"
    assert json.loads(reasons["malformed"])["Records"][0]["s3"]["object"]["key"] == "corrupt.jpg"
    until(lambda: queues.left() == 0, "every message is acknowledged")

    # A newer version replaces the thumbnail; the late event of the older one changes nothing.
    newer = upload(s3, "a b+c.jpg", distinct_jpeg("newer"))
    queues.send(newer)
    etag = newer["Records"][0]["s3"]["object"]["eTag"]
    until(lambda: is_of(s3, "a b+c.jpg", etag), "the thumbnail of the newer version")
    queues.send(direct)
    until(lambda: queues.left() == 0, "the late event is acknowledged")
    assert is_of(s3, "a b+c.jpg", etag)

    samples = worker.metrics()
    assert samples['tintype_outcomes_total{outcome="made"}'] == 4
    assert samples["tintype_conditional_writes_ignored"] == 0
    assert worker.stop() == 0


def test_http_api_over_the_store(moto, new_worker):
    s3, queues = moto.buckets(SOURCE, DESTINATION), Queues(moto)
    worker = new_worker(f"sqs:{queues.events}", moto.url, ("test", "test"), settings=queues.settings)
    worker.start().wait_until_ready()
    upload(s3, "photo.jpg", distinct_jpeg("api"))
    made = requests.get(worker.api_url, params={"key": "photo.jpg", "size": "32x32"}, timeout=60)
    assert made.status_code == 200 and max(opened(made.content).size) == 32
    posted = requests.post(worker.api_url, data=distinct_jpeg("posted"), timeout=60,
                           params={"key": "posted.jpg"}, headers={"Content-Type": "image/jpeg"})
    assert posted.status_code == 200, posted.text
    assert requests.get(f"{worker.http_url}/healthz", timeout=60).status_code == 200
    refused = requests.get(worker.api_url, params={"key": "photo.jpg"}, headers={"X-Forwarded-For": "1.2.3.4"}, timeout=60)
    assert refused.status_code == 403, "what a proxy forwards needs a key"
    # Nobody may call the webhook where the settings have no token.
    assert requests.post(f"{worker.http_url}/webhook", json={}, timeout=60).status_code == 403


def test_images_that_need_no_key(moto, new_worker):
    s3, queues = moto.buckets(SOURCE, DESTINATION), Queues(moto)
    settings = queues.settings + '[api]\npublic = "signed"\n[[api.signing_key]]\nname = "shop"\nsecret = "0123456789abcdef"\n'
    worker = new_worker(f"sqs:{queues.events}", moto.url, ("test", "test"), settings=settings)
    worker.start().wait_until_ready()
    upload(s3, "photo.jpg", distinct_jpeg("public"))
    path = worker.api_url.removeprefix(worker.http_url)

    def get(path, **headers):
        # What a proxy forwards is no program of this machine.
        headers |= {"X-Forwarded-For": "1.2.3.4"}
        return requests.get(worker.http_url + path, headers=headers, timeout=60)

    image = [("key", "photo.jpg"), ("size", "32x32")]
    right, wrong = (signed(path, image, secret=secret) for secret in ("0123456789abcdef", "0123456789abcdeg"))
    made = get(right)
    assert made.status_code == 200 and max(opened(made.content).size) == 32, made.text
    assert made.headers["Cache-Control"].startswith("public, max-age=")
    for refused in get(wrong), get(f"{path}?key=photo.jpg&size=32x32"):
        assert refused.status_code == 403 and "not signed" in refused.json()["message"], refused.text
    assert get(right, **{"X-Api-Key": "unknown"}).status_code == 403, "who shows a key means it"
    # Programs of this machine may not act on a wrong signature, either.
    assert requests.get(worker.http_url + wrong, timeout=60).status_code == 403
    assert worker.stop() == 0


@needs_nats
def test_a_fresh_upload_takes_two_calls(new_server, nats, new_worker):
    """Counted at the store."""
    # The server's own function must leave these alone.
    elsewhere = '[[trigger]]\nbucket = "elsewhere"\ndestination = "elsewhere-thumbnails"\n'
    server = new_server(settings=elsewhere).start()
    for bucket in (SOURCE, DESTINATION):
        server.client().create_bucket(Bucket=bucket)
    settings = NATS_SETTINGS.replace("[worker]\n", f'[worker]\nwebhook_token = "{TOKEN}"\n')
    worker = new_worker(nats.url, server.s3_url, server.credentials, settings=settings)
    s3 = server.client()
    worker.start().wait_until_ready()
    event = upload(s3, "fresh.jpg", distinct_jpeg("fresh"))

    def calls():
        return {name: count for name, count in server.metrics().items() if name.startswith("tintype_requests_total") and "object" in name}

    before = calls()
    hook = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.post(f"{worker.http_url}/webhook", json=event, headers=hook, timeout=60).status_code == 200
    until(lambda: worker.metrics()['tintype_outcomes_total{outcome="made"}'] == 1, "the thumbnail")
    after = calls()
    spent = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert sum(spent.values()) == 2, spent
    assert thumbnail(s3, "fresh.jpg")


@needs_nats
def test_webhook_to_nats(moto, nats, new_worker):
    s3 = moto.buckets(SOURCE, DESTINATION)
    settings = NATS_SETTINGS.replace("[worker]\n", f'[worker]\nwebhook_token = "{TOKEN}"\n')
    worker = new_worker(nats.url, moto.url, ("test", "test"), settings=settings)
    worker.start().wait_until_ready()
    hook = f"{worker.http_url}/webhook"
    assert requests.head(hook, timeout=60).status_code == 200
    event = upload(s3, "hooked.jpg", distinct_jpeg("hooked"))
    assert requests.post(hook, json=event, timeout=60).status_code == 403
    wrong = {"Authorization": "Bearer wrong"}
    assert requests.post(hook, json=event, headers=wrong, timeout=60).status_code == 403
    # It is refused before its body is read.
    waiting = http.client.HTTPConnection(worker.http_url.removeprefix("http://"), timeout=60)
    waiting.putrequest("POST", "/webhook")
    for name, value in (wrong | {"Content-Length": "1000"}).items():
        waiting.putheader(name, value)
    waiting.endheaders()
    assert waiting.getresponse().status == 403
    waiting.close()
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.post(hook, data="no json", headers=right, timeout=60).status_code == 400
    # MinIO's events name bucket and key beside their records.
    minio = event | {"EventName": "s3:ObjectCreated:Put", "Key": f"{SOURCE}/hooked.jpg"}
    minio["Records"][0]["eventName"] = "s3:ObjectCreated:Put"
    assert requests.post(hook, json=minio, headers=right, timeout=60).status_code == 200
    until(lambda: thumbnail(s3, "hooked.jpg"), "the thumbnail")
    assert TOKEN not in worker.log_text()
    assert worker.stop() == 0


@needs_nats
def test_depth_and_age_of_the_queue(moto, nats, new_worker):
    s3 = moto.buckets(SOURCE, DESTINATION)
    worker = new_worker(nats.url, moto.url, ("test", "test"), settings=NATS_SETTINGS)
    worker.start().wait_until_ready()
    client = NatsClient(nats.port)
    client.publish("images.events", json.dumps(upload(s3, "first.jpg", distinct_jpeg("first"))).encode())
    until(lambda: thumbnail(s3, "first.jpg"), "the thumbnail")
    depth, age = "tintype_queue_depth", "tintype_queue_age_milliseconds"
    until(lambda: worker.metrics().get(age) == 0 and worker.metrics()[depth] == 0, "nothing waits")
    # What cannot be rendered now waits for another attempt. A worker has it: more of them could do nothing about it.
    event = upload(s3, "second.jpg", distinct_jpeg("second"))
    moto.stop()
    client.publish("images.events", json.dumps(event).encode())
    until(lambda: worker.metrics()[depth] == 1, "one event waits")
    assert worker.metrics()[age] == 0


@needs_nats
def test_a_message_of_many_records_is_shared_by_workers(moto, nats, new_worker):
    s3 = moto.buckets(SOURCE, DESTINATION)
    workers = [new_worker(nats.url, moto.url, ("test", "test"), settings=NATS_SETTINGS) for _ in range(2)]
    for worker in workers:
        worker.start().wait_until_ready()
    keys = [f"{number}.jpg" for number in range(200)]
    records = [record for key in keys for record in upload(s3, key, distinct_jpeg(key))["Records"]]
    client = NatsClient(nats.port)
    client.publish("images.events", json.dumps({"Records": records}).encode())
    until(lambda: client.backlog("images", "thumbnails") == 0 and thumbnail(s3, keys[-1]), "every record is settled", 120)
    assert all(thumbnail(s3, key) for key in keys)
    made = [worker.metrics()['tintype_outcomes_total{outcome="made"}'] for worker in workers]
    assert sum(made) == len(keys) and min(made) > 0, made


@needs_rclone
def test_polling_a_store_that_ignores_conditions(tmp_path, new_worker):
    store = Rclone(tmp_path)
    try:
        s3 = client_of(store.url, store.credentials)
        for bucket in (SOURCE, DESTINATION):
            s3.create_bucket(Bucket=bucket)
        upload(s3, "before.jpg", distinct_jpeg("before"))
        worker = new_worker("poll", store.url, store.credentials, settings='[worker]\npoll_interval = "1s"\n')
        worker.start().wait_until_ready()
        ready = worker.readyz()
        assert ready.status_code == 200 and ready.json()["conditional_writes"] == "ignored"
        assert "ignores conditions on writes" in worker.log_text()
        assert worker.metrics()["tintype_conditional_writes_ignored"] == 1
        until(lambda: thumbnail(s3, "before.jpg"), "the thumbnail of what was there")
        upload(s3, "after.jpg", distinct_jpeg("after"))
        until(lambda: thumbnail(s3, "after.jpg"), "the thumbnail of what came later")
        # As a copy with the date of its original.
        copy = store.folder / "old.jpg"
        copy.write_bytes(distinct_jpeg("old"))
        os.utime(copy, (946684800, 946684800))
        copy.rename(store.folder / SOURCE / "old.jpg")
        until(lambda: [one for one in s3.list_objects_v2(Bucket=SOURCE)["Contents"] if one["LastModified"].year == 2000], "the copy")
        until(lambda: thumbnail(s3, "old.jpg"), "the thumbnail of what has an old date")
        upload(s3, "corrupt.jpg", corrupt_jpeg())
        letters = until(
            lambda: s3.list_objects_v2(Bucket=DESTINATION, Prefix=".tintype/dead-letters/").get("Contents"), "a dead letter")
        letter = json.loads(s3.get_object(Bucket=DESTINATION, Key=letters[0]["Key"])["Body"].read())
        assert letter["attributes"]["Reason"] == "malformed"
        assert worker.stop() == 0
    finally:
        store.kill()


@needs_nats
@pytest.mark.timeout(600)
def test_killed_workers_and_a_killed_broker_lose_nothing(moto, nats, new_worker):
    s3 = moto.buckets(SOURCE, DESTINATION)
    settings = NATS_SETTINGS.replace("[worker]\n", f'[worker]\nwebhook_token = "{TOKEN}"\n')
    workers = [new_worker(nats.url, moto.url, ("test", "test"), settings=settings) for _ in range(2)]
    for worker in workers:
        worker.start().wait_until_ready()
    chance = random.Random(26)
    newest = {}

    def send(event):
        """To any worker that stores it: as a store does, until it is answered 200."""
        def sent():
            worker = chance.choice(workers)
            try:
                return requests.post(f"{worker.http_url}/webhook", json=event, timeout=10,
                                     headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
            except requests.RequestException:
                return False

        until(sent, "the event is stored", 120)

    for number in range(60):
        key = f"{number % 40}.jpg"
        is_corrupt = number % 10 == 9
        event = upload(s3, key, corrupt_jpeg() if is_corrupt else distinct_jpeg(f"killed {number}"))
        send(event)
        newest[key] = None if is_corrupt else event["Records"][0]["s3"]["object"]["eTag"]
        if number % 8 == 4:
            worker = chance.choice(workers)
            worker.kill()
            worker.start()
        if number == 30:
            nats.kill()
            nats.start()
    for key, etag in newest.items():
        if etag:
            until(lambda: is_of(s3, key, etag), f"the newest thumbnail of {key}", 180)
    for worker in workers:
        assert worker.stop() == 0


def test_settings_are_checked_before_anything_starts(tmp_path):
    for arguments, part in [
        (["--source", "kafka://a"], b"worker.source"),
        (["--source", "sqs:https://sqs.example/1/q"], b"worker.dead_letters"),
        ([], b"worker.source is not set"),
    ]:
        ended = subprocess.run([PROGRAM, "worker", *arguments], capture_output=True, cwd=tmp_path, timeout=60,
                               env=environment(AWS_REGION="us-east-1"))
        assert ended.returncode in (1, 2) and part in ended.stderr, ended.stderr
