"""`tintype backfill --store s3`: the buckets of a store are listed, and events go to a queue that a worker or the function on
Lambda takes them from. Store and queue are moto_server's."""

import json
import subprocess
from urllib.parse import unquote_plus

import pytest

from fake_aws import FakeAws
from lambda_runtime import Function
from moto_server import Moto
from sample_images import distinct_jpeg
from tintype import BOOTSTRAP, DESTINATION, PROGRAM, SOURCE, environment
from waiting import until
from worker import Worker


@pytest.fixture
def moto(tmp_path):
    moto = Moto(tmp_path)
    yield moto
    moto.stop()


class Store:
    """Two buckets, and a queue; `backfill` runs the command beside them."""

    def __init__(self, moto, folder):
        self.moto, self.folder = moto, folder
        self.s3, self.sqs = moto.buckets(SOURCE, DESTINATION), moto.client("sqs")
        self.queue = self.sqs.create_queue(QueueName="events")["QueueUrl"]

    def put(self, *keys, body=b"x"):
        for key in keys:
            self.s3.put_object(Bucket=SOURCE, Key=key, Body=body)

    def environment(self, **more):
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        return environment(**keys, AWS_ENDPOINT_URL=self.moto.url, AWS_EC2_METADATA_DISABLED="true", **more)

    def command(self, *arguments, queue=None, **env):
        to = [] if "--dry-run" in arguments else ["--queue", queue or self.queue]
        return dict(
            args=[PROGRAM, "backfill", "--store", "s3", *to, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self.environment(**env),
        )

    def backfill(self, *arguments, **how):
        """The lines that are printed."""
        ended = subprocess.run(**self.command(*arguments, **how), timeout=120)
        assert ended.returncode == 0, ended.stderr.decode()
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def fails(self, *arguments, **how):
        ended = subprocess.run(**self.command(*arguments, **how), timeout=120)
        assert ended.returncode != 0, ended.stdout
        return ended.stderr.decode()

    def waiting(self):
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])

    def sent(self, queue=None):
        """The records of every message; takes them out of the queue."""
        queue, records = queue or self.queue, []
        while found := self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                (record,) = json.loads(message["Body"])["Records"]
                records.append(record)
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return records


@pytest.fixture
def store(moto, tmp_path):
    return Store(moto, tmp_path)


def keys(records):
    return sorted(unquote_plus(one["s3"]["object"]["key"]) for one in records)


def test_an_event_as_s3_sends_it_for_each_key_that_a_trigger_takes(store):
    taken = ["a b+c.jpg", "deep/er/ü.JPG", "deep/x.AviF", "photo.svgz"]
    store.put(*taken, "notes.txt", "photo.jpg.bak")
    assert store.backfill() == [{"listed": 6, "queued": 4, "taken": 4}]
    records = store.sent()
    assert keys(records) == sorted(taken)
    by_key = {one["s3"]["object"]["key"]: one for one in records}
    record = by_key["a+b%2Bc.jpg"]
    assert (record["eventSource"], record["eventVersion"]) == ("aws:s3", "2.1")
    assert record["eventName"].startswith("ObjectCreated:") and record["eventTime"].endswith("Z")
    head = store.s3.head_object(Bucket=SOURCE, Key="a b+c.jpg")
    assert record["s3"]["bucket"] == {"name": SOURCE}
    assert (record["s3"]["object"]["size"], record["s3"]["object"]["eTag"]) == (1, head["ETag"].strip('"'))


def test_prefix_dry_run_and_settings(store):
    store.put(*(f"{folder}/{number}.jpg" for folder in ("raw", "web") for number in range(15)), "raw/1.png")
    listed = store.backfill("--dry-run", "--prefix", "raw/")
    assert [one["key"] for one in listed[:-1]] == sorted(f"raw/{one}" for one in [*(f"{n}.jpg" for n in range(15)), "1.png"])
    assert listed[0]["bucket"] == SOURCE and listed[-1] == {"listed": 16, "queued": 0, "taken": 16}
    assert store.waiting() == 0
    # Overlapping prefixes are listed once, and each trigger takes its own suffixes.
    (store.folder / "tintype.toml").write_text(
        f'[[trigger]]\nbucket = "{SOURCE}"\nsuffixes = [".png"]\ndestination = "{DESTINATION}"\n'
        f'[[trigger]]\nbucket = "{SOURCE}"\nprefix = "web/"\nsuffixes = [".jpg"]\ndestination = "{DESTINATION}"\n'
        f'[worker]\nsource = "sqs:{store.queue}"\ndead_letters = "{store.queue}-dead"\n'
    )
    ended = subprocess.run([PROGRAM, "backfill", "--store", "s3"], capture_output=True, cwd=store.folder, env=store.environment(), timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"listed": 31, "queued": 16, "taken": 16}
    assert keys(store.sent()) == sorted(["raw/1.png", *(f"web/{number}.jpg" for number in range(15))])
    (store.folder / "tintype.toml").unlink()
    # On AWS the buckets have other names, and there may be no settings file.
    store.moto.buckets("shop-uploads")
    store.s3.put_object(Bucket="shop-uploads", Key="1.webp", Body=b"x")
    assert store.backfill(SOURCE_BUCKET="shop-uploads")[-1]["queued"] == 1
    (record,) = store.sent()
    assert record["s3"]["bucket"]["name"] == "shop-uploads"


def test_a_killed_run_continues_where_it_was(store):
    store.put(*(f"{number:04}.jpg" for number in range(150)))
    checkpoint = store.folder / "far.json"
    killed = subprocess.Popen(**store.command("--rate", "20", "--checkpoint", checkpoint))
    try:
        until(checkpoint.exists, "the checkpoint is written")
    finally:
        killed.kill()
        killed.communicate()
    first = store.waiting()
    known = json.loads(checkpoint.read_text())
    assert 0 < known["taken"] <= first < 150, (known, first)
    assert known["after"] == f"{known['taken'] - 1:04}.jpg"
    refused = store.fails("--checkpoint", checkpoint, "--prefix", "0")
    assert "of another backfill" in refused and "far.json" in refused
    assert store.backfill("--checkpoint", checkpoint) == [{"listed": 150, "queued": 150, "taken": 150}]
    assert not checkpoint.exists()
    records = store.sent()
    assert sorted(set(keys(records))) == [f"{number:04}.jpg" for number in range(150)]
    # None of those before the checkpoint was sent again.
    assert len(records) == 150 + first - known["taken"]
    assert {one for one in keys(records) if keys(records).count(one) > 1} <= {f"{n:04}.jpg" for n in range(known["taken"], first)}


class Refusing(FakeAws):
    """SQS that does not take one message of a batch the first times."""

    times, is_sender_fault = 0, False

    def answer(self, method, path, headers, body):
        if not headers.get("X-Amz-Target", "").endswith("SendMessageBatch") or self.times == 0:
            return super().answer(method, path, headers, body)
        self.times -= 1
        request = json.loads(body)
        *others, last = request["Entries"]
        failed = {"Id": last["Id"], "SenderFault": self.is_sender_fault, "Code": "InternalError", "Message": "not now"}
        if not others:
            return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps({"Successful": [], "Failed": [failed]}).encode()
        url = request["QueueUrl"]
        for one in others:
            self.moto.client("sqs").send_message(QueueUrl=url, MessageBody=one["MessageBody"])
        successful = [{"Id": one["Id"], "MessageId": one["Id"], "MD5OfMessageBody": "0"} for one in others]
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps({"Successful": successful, "Failed": [failed]}).encode()


def test_what_the_queue_does_not_take_is_sent_again(store):
    store.put(*(f"{number}.jpg" for number in range(5)))
    refusing = Refusing(store.moto)
    try:
        queue = store.queue.replace(store.moto.url, refusing.url)
        assert queue != store.queue
        refusing.times = 2
        assert store.backfill(queue=queue)[-1]["queued"] == 5
        assert keys(store.sent()) == [f"{number}.jpg" for number in range(5)]
        # A fault of the sender's does not pass by itself.
        refusing.times, refusing.is_sender_fault = 1, True
        checkpoint = store.folder / "far.json"
        error = store.fails("--checkpoint", checkpoint, queue=queue)
        assert "InternalError not now" in error and store.queue.rsplit("/", 1)[1] in error
        # Nothing was sent for sure, so there is nothing to continue from.
        assert not checkpoint.exists()
    finally:
        refusing.stop()


def test_a_fifo_queue_takes_each_version_once(store):
    queue = store.sqs.create_queue(QueueName="events.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    store.put(*(f"{number}.jpg" for number in range(12)))
    for _ in range(2):
        assert store.backfill(queue=queue)[-1]["queued"] == 12
    assert keys(store.sent(queue)) == sorted(f"{number}.jpg" for number in range(12))


def test_errors_say_what_to_do(store):
    store.put("1.jpg")
    run = lambda *arguments, **env: subprocess.run(
        [PROGRAM, "backfill", *arguments], capture_output=True, cwd=store.folder, env=store.environment(**env), timeout=60
    )
    queue = ("--queue", store.queue)
    (store.folder / "wrong.json").write_text("{}x")
    for arguments, env, code, part in [
        (("--store", "s3"), {}, 1, "--queue"),
        (("--store", "s3", "--queue", "events"), {}, 1, '"events" is no queue'),
        (("--store", "s3", "--wait", *queue), {}, 2, "--wait"),
        (("--store", "disk", *queue), {}, 2, "s3"),
        (queue, {}, 2, "--store"),
        (("--store", "s3", "--rate", "0", *queue), {}, 2, "at least 0.001"),
        (("--store", "s3", "--checkpoint", "wrong.json", *queue), {}, 1, "wrong.json is no checkpoint"),
        (("--store", "s3", *queue), {"SOURCE_BUCKET": "nowhere"}, 1, '"nowhere" does not exist'),
        (("--store", "s3", "--queue", f"{store.queue}-missing"), {}, 1, "events-missing"),
    ]:
        ended = run(*arguments, **env)
        assert ended.returncode == code and part in ended.stderr.decode(), (arguments, ended.returncode, ended.stderr)
    assert store.waiting() == 0


def test_a_worker_takes_them(store):
    images = {f"{number}.jpg": distinct_jpeg(f"backfilled {number}") for number in range(12)}
    for key, body in images.items():
        store.put(key, body=body)
    assert store.backfill()[-1]["queued"] == 12
    dead = store.sqs.create_queue(QueueName="dead")["QueueUrl"]
    settings = f'[worker]\ndead_letters = "{dead}"\n'
    worker = Worker(store.folder / "worker", f"sqs:{store.queue}", store.moto.url, ("test", "test"), settings=settings)
    try:
        worker.start().wait_until_ready()
        until(lambda: store.waiting() == 0, "every event is acknowledged", 120)
        thumbnails = [one["Key"] for one in store.s3.list_objects_v2(Bucket=DESTINATION)["Contents"]]
        assert sorted(thumbnails) == sorted(f"thumb_{key}" for key in images)
        # Again: what is current stays.
        assert store.backfill()[-1]["queued"] == 12
        until(lambda: store.waiting() == 0, "every event is acknowledged again", 120)
        assert worker.metrics()['tintype_outcomes_total{outcome="up_to_date"}'] == 12
    finally:
        worker.kill()
        Worker.shown.remove(worker)


def test_the_function_on_lambda_takes_them(store, tmp_path):
    """In batches, as an event source mapping of SQS passes them on: deploy/aws/backfill.yaml."""
    for number in range(9):
        store.put(f"{number}.jpg", body=distinct_jpeg(f"backfilled {number}"))
    store.put("wrong.jpg", body=b"no image")
    assert store.backfill()[-1]["queued"] == 10
    messages = store.sqs.receive_message(QueueUrl=store.queue, MaxNumberOfMessages=10)["Messages"]
    assert len(messages) == 10
    dead = store.sqs.create_queue(QueueName="dead")["QueueUrl"]
    env = store.moto.environment() | {"SOURCE_BUCKET": SOURCE, "DESTINATION_BUCKET": DESTINATION, "DEAD_LETTER_QUEUE_URL": dead}
    event = {"Records": [{"messageId": one["MessageId"], "eventSource": "aws:sqs", "body": one["Body"]} for one in messages]}
    with Function([BOOTSTRAP], env, tmp_path) as function:
        assert function.invoke(event).ok == {"batchItemFailures": []}
    thumbnails = [one["Key"] for one in store.s3.list_objects_v2(Bucket=DESTINATION)["Contents"]]
    assert sorted(thumbnails) == [f"thumb_{number}.jpg" for number in range(9)]
    (letter,) = store.sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10)["Messages"]
    assert "wrong.jpg" in letter["Body"]
