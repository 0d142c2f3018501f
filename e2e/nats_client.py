"""The few words of NATS' protocol that tests need, over a plain socket.
Source: NATS, "NATS Client Protocol", "JetStream wire API Reference"."""

import base64
import contextlib
import itertools
import json
import socket
import time

INBOX = "answers"


class NatsClient:
    """A connection that is opened again after a failure."""

    def __init__(self, port, timeout=10):
        self.port, self.timeout = port, timeout
        self.socket = self.lines = None
        self.numbers = itertools.count()

    def connect(self):
        self.close()
        self.socket = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.lines = self.socket.makefile("rb")
        self.line()
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        self.socket.sendall(f"CONNECT {json.dumps(options)}\r\nPING\r\nSUB {INBOX}.* 1\r\n".encode())
        assert self.line() == b"PONG"

    def line(self):
        line = self.lines.readline()
        if not line:
            raise ConnectionError("the NATS server closed the connection")
        return line.rstrip()

    def close(self):
        if self.socket:
            with contextlib.suppress(OSError):
                self.lines.close()
                self.socket.close()
            self.socket = None

    def request(self, subject, body=b"", message_id=None):
        """The answer, as JSON. Raises OSError if there is none; then it may have been carried out or not."""
        try:
            if self.socket is None:
                self.connect()
            inbox = f"{INBOX}.{next(self.numbers)}"
            headers = f"NATS/1.0\r\nNats-Msg-Id: {message_id}\r\n\r\n".encode() if message_id else b"NATS/1.0\r\n\r\n"
            self.socket.sendall(f"HPUB {subject} {inbox} {len(headers)} {len(headers) + len(body)}\r\n".encode() + headers + body + b"\r\n")
            return self.answer_to(inbox)
        except OSError:
            self.close()
            raise

    def answer_to(self, inbox):
        while True:
            line = self.line()
            if line == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif line.startswith((b"MSG ", b"HMSG ")):
                words = line.decode().split()
                payload = self.lines.read(int(words[-1]) + 2)[:-2]
                if words[1] != inbox:
                    continue
                if words[0] == "HMSG":
                    raise ConnectionError(f"no answer to {inbox}: {payload!r}")
                return json.loads(payload)
            elif line.startswith(b"-ERR"):
                raise ConnectionError(line.decode())

    def api(self, path, **parameters):
        """A request of the JetStream API, whose answer must not be an error."""
        answer = self.request(f"$JS.API.{path}", json.dumps(parameters).encode() if parameters else b"")
        if "error" in answer:
            raise ConnectionError(f"{path}: {answer['error']}")
        return answer

    def persist(self, action, seconds=60):
        """Repeats what a server that is starting cannot do yet."""
        end = time.monotonic() + seconds
        while True:
            try:
                return action()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def publish(self, subject, body, message_id=None):
        """Once the stream has stored it; a stream stores one of an id."""

        def publish():
            answer = self.request(subject, body, message_id)
            if "error" in answer:
                raise ConnectionError(answer["error"])

        self.persist(publish)

    def stream(self, name, subjects, **options):
        config = {"name": name, "subjects": subjects, "retention": "workqueue", "storage": "file"} | options
        self.persist(lambda: self.api(f"STREAM.CREATE.{name}", **config))

    def consumer(self, stream, name, subject, ack_wait_seconds):
        config = {"durable_name": name, "filter_subject": subject, "ack_policy": "explicit", "max_ack_pending": 100_000,
                  "ack_wait": int(ack_wait_seconds * 1e9), "max_deliver": -1}  # fmt: skip
        self.persist(lambda: self.api(f"CONSUMER.DURABLE.CREATE.{stream}.{name}", stream_name=stream, config=config))

    def backlog(self, stream, consumer):
        """Messages that wait or are under way."""
        found = self.persist(lambda: self.api(f"CONSUMER.INFO.{stream}.{consumer}"))
        return found["num_pending"] + found["num_ack_pending"]

    def messages(self, stream, subject):
        """Headers and body of every message that the stream holds of a subject."""
        found, sequence = [], 1
        while True:
            answer = self.persist(lambda: self.request(f"$JS.API.STREAM.MSG.GET.{stream}",
                                  json.dumps({"seq": sequence, "next_by_subj": subject}).encode()))  # fmt: skip
            if "error" in answer:
                assert answer["error"]["code"] == 404, answer
                return found
            message = answer["message"]
            lines = base64.b64decode(message.get("hdrs", "")).decode().splitlines()[1:]
            headers = dict(line.split(": ", 1) for line in lines if ": " in line)
            found.append((headers, base64.b64decode(message.get("data", ""))))
            sequence = message["seq"] + 1
