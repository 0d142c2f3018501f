"""The Lambda Runtime API as a function sees it: starts a function's process, sends it events, ends it at its time-out and
restarts it.

Source: AWS, "Using the Lambda runtime API for custom runtimes"; "Lambda runtime environment".
"""

import json
import os
import queue
import re
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tintype import FOREIGN
# The longest time from a process's start to its first request for work; Lambda's own limit.
INIT_SECONDS = 10
TRACE = "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=0;Lineage=1:01234567:0"


@dataclass
class Answer:
    """The result of an invocation: `kind` is "response", "error", "timeout" or "crash"."""

    kind: str
    payload: object = None
    seconds: float = 0.0

    @property
    def ok(self):
        assert self.kind == "response", f"{self.kind}: {self.payload}"
        return self.payload


class InitError(Exception):
    """The process reported an initialisation error, or ended before its first request for work."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Ignored: a killed process does not close its connections."""


class _RuntimeApi:
    """The Runtime API of one process. Each has its own port, so that a late request of a killed process takes no invocation of the next one."""

    def __init__(self, name):
        self.name = name
        self.invocations, self.results = queue.Queue(), queue.Queue()
        self.ready, self.ready_at = threading.Event(), None
        self.server = _Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.invocations.put(None)
        self.server.shutdown()
        self.server.server_close()

    def _handler(self):
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Unbuffered, so that only the function is measured.
            wbufsize = -1
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def _answer(self, status, body=b"", headers=()):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

            def do_GET(self):
                if self.path != "/2018-06-01/runtime/invocation/next":
                    return self._answer(404)
                if not api.ready.is_set():
                    api.ready_at = time.perf_counter()
                    api.ready.set()
                invocation = api.invocations.get()
                if invocation is None:
                    self.close_connection = True
                    return None
                request_id, body, deadline_ms = invocation
                headers = [
                    ("Lambda-Runtime-Aws-Request-Id", request_id),
                    ("Lambda-Runtime-Deadline-Ms", str(deadline_ms)),
                    (
                        "Lambda-Runtime-Invoked-Function-Arn",
                        f"arn:aws:lambda:us-east-1:123456789012:function:{api.name}",
                    ),
                    ("Lambda-Runtime-Trace-Id", TRACE),
                ]
                return self._answer(200, body, headers)

            def _body(self):
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return body

            def do_POST(self):
                body = self._body()
                match = re.fullmatch(r"/2018-06-01/runtime/(?:invocation/([^/]+)/(response|error)|init/error)", self.path)
                if not match:
                    return self._answer(404)
                payload = json.loads(body) if body else None
                api.results.put((match[2] or "init", match[1], payload))
                return self._answer(202, b'{"status":"OK"}')

        return Handler


class Function:
    """A function of one process at a time. `command` starts it; `env` is added to what Lambda sets."""

    def __init__(self, command, env, folder, memory_mb=512, timeout_seconds=30, name="Thumbnails"):
        self.command, self.env, self.folder = command, env, folder
        self.memory_mb, self.timeout_seconds, self.name = memory_mb, timeout_seconds, name
        self.process = None
        self.starts = 0
        # From the start of the process to its first request for work.
        self.init_seconds = None
        self._api = None
        self.log = folder / f"{name}.log"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _environment(self):
        inherited = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        host, port = self._api.server.server_address
        return (
            inherited
            | {
                "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}",
                "AWS_LAMBDA_FUNCTION_NAME": self.name,
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
                "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
                "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
                "LAMBDA_TASK_ROOT": str(self.folder),
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            }
            | self.env
        )

    def start(self):
        """Starts the process and waits for its first request for work."""
        self._api = _RuntimeApi(self.name)
        self.starts += 1
        with self.log.open("ab") as log:
            started = time.perf_counter()
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self._environment(), cwd=self.folder)
        end = time.monotonic() + INIT_SECONDS
        while not self._api.ready.wait(0.001):
            if self.process.poll() is not None:
                error = self._api.results.get_nowait() if not self._api.results.empty() else None
                raise InitError(
                    error[2] if error else f"exit code {self.process.returncode}: {self.log_text()[-2000:]}"
                )
            assert time.monotonic() < end, "the process did not request work in time"
        self.init_seconds = self._api.ready_at - started
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        if self._api:
            self._api.close()
        self.process = self._api = None

    def invoke(self, event):
        """Sends an event and waits for the result."""
        if self.process is None or self.process.poll() is not None:
            self.stop()
            self.start()
        request_id = str(uuid.uuid4())
        started = time.perf_counter()
        self._api.invocations.put((request_id, json.dumps(event).encode(), int((time.time() + self.timeout_seconds) * 1000)))
        end = time.monotonic() + self.timeout_seconds
        while True:
            try:
                kind, result_id, payload = self._api.results.get(timeout=0.02)
            except queue.Empty:
                if self.process.poll() is not None:
                    return Answer("crash", self.log_text()[-2000:])
                if time.monotonic() > end:
                    self.stop()
                    return Answer("timeout", f"ended after {self.timeout_seconds} s")
                continue
            assert result_id == request_id, f"{kind} for {result_id} instead of {request_id}"
            return Answer(kind, payload, time.perf_counter() - started)

    def invoke_asynchronously(self, event, retries=2):
        """As Lambda does for events: retries while the function fails. Returns every attempt."""
        answers = []
        for _ in range(1 + retries):
            answers.append(self.invoke(event))
            if answers[-1].kind == "response":
                break
        return answers

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_lines(self, type_=None):
        """The JSON lines so far, those of one type if it is given."""
        lines = []
        for line in self.log_text().splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and (type_ is None or value.get("type") == type_):
                lines.append(value)
        return lines

    def memory_mb_peak(self):
        """The peak resident memory of the process, in MB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) / 1024
