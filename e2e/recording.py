"""Outputs of the program, recorded in text files and compared. Values that vary between runs are replaced by placeholders:
addresses, paths and keys by value, ids by format, times near now, durations by field name.

RECORD=1 in the environment writes the files instead of comparing them.
"""

import base64
import datetime
import difflib
import email.utils
import http.client
import io
import json
import os
import re
import subprocess
import time
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

from PIL import Image

import signing
from tintype import PROGRAM, environment

HERE = Path(__file__).resolve().parent
RECORDS = bool(os.environ.get("RECORD"))
# Times closer to now than this are of this run; others are data.
NEAR_SECONDS = 3 * 3600

# JSON fields with measured or random values.
MEASURED = {
    "billedDurationMs", "durationMs", "duration_us", "maxMemoryUsedMB", "memory_mb", "milliseconds",
    "peer", "sinceUploadMs", "stages", "stagesMs", "stages_us",
}  # fmt: skip
# Signature fields of an upload form.
SIGNED = {"x-amz-credential", "x-amz-date", "x-amz-signature"}
# Event numbers depend on the order of puts and thumbnails.
NUMBERED = {"event", "id"}
FIRST_EVENT = 65536

HEADERS_LEFT_OUT = {"date"}
HEADERS_THAT_VARY = {"x-amz-request-id", "x-amzn-requestid", "retry-after"}


def compare(path, text):
    """Compares with the recorded file, or writes it; a difference is shown as a unified diff."""
    if RECORDS:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return
    same(str(path.relative_to(HERE)), path.read_text() if path.exists() else "", text)


def same(name, recorded, now):
    if recorded != now:
        diff = difflib.unified_diff(recorded.splitlines(), now.splitlines(), f"{name} (recorded)", f"{name} (now)", lineterm="")
        raise AssertionError(f"{name} differs; if this is meant, run with RECORD=1 and note it in CHANGELOG.md\n" + "\n".join(diff))


def ask(url, method, target, headers=None, body=None):
    """Sends the request unchanged; returns (status, headers, body)."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def signed(server, method, bucket="", key="", body=b"", **how):
    """As signing.request, also for the root path `/`."""
    of_objects, of_all = signing.path_of, lambda bucket, key: of_objects(bucket, key) if bucket else "/"
    with mock.patch.object(signing, "path_of", of_all):
        return signing.request(server, method, bucket, key, body, **how)


def _is_near(seconds):
    return abs(seconds - time.time()) < NEAR_SECONDS


def _near(placeholder, parse):
    def replace(found):
        try:
            return placeholder if _is_near(parse(found[0])) else found[0]
        except ValueError:
            return found[0]

    return replace


def _utc(text):
    return datetime.datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=datetime.timezone.utc).timestamp()


FORMS = [
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), lambda _: "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?Z?"), _near("<time>", _utc)),
    (
        re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"),
        _near("<date>", lambda text: email.utils.parsedate_to_datetime(text).timestamp()),
    ),
    (re.compile(r"\b1\d{12}\b"), _near("<ms>", lambda text: int(text) / 1000)),
    (re.compile(r"\b1\d{9}\b"), _near("<s>", int)),
]


class Recorder:
    """Collects the sections of one file."""

    def __init__(self, name):
        self.path = HERE / "recorded" / f"{name}.txt"
        self.sections = []
        # Header blocks, and the first request with each.
        self.blocks = {}
        # Values of this run and their placeholders.
        self.known = {}
        version = subprocess.run([PROGRAM, "--version"], capture_output=True, check=True, timeout=60).stdout.decode().split()[1]
        self.version = re.compile(rf"(?<![\w.]){re.escape(version)}(?![\w.])")

    def knows(self, server):
        """Registers the server's addresses, folder and key as values of this run."""
        self.known |= {urlsplit(server.s3_url).netloc: "<s3>", urlsplit(server.http_url).netloc: "<http>"}
        self.known |= dict(zip(server.credentials, ("<access key>", "<secret>"), strict=True)) | {str(server.folder): "<folder>"}
        return server

    def stable(self, text):
        for value in sorted(self.known, key=len, reverse=True):
            text = text.replace(value, self.known[value])
        for form, replace in FORMS:
            text = form.sub(replace, text)
        return self.version.sub("<version>", text)

    def json(self, value, name=""):
        """A JSON value with placeholders for measured values."""
        if name in MEASURED and not isinstance(value, (dict, list)):
            return None if value is None else "<measured>"
        if name in SIGNED and isinstance(value, str):
            return "<signed>"
        if name == "policy":
            return self.json(json.loads(base64.b64decode(value)))
        if name in NUMBERED and isinstance(value, int) and value >= FIRST_EVENT:
            return "<event>"
        if isinstance(value, dict):
            return {key: self.json(one, name if name in MEASURED else key) for key, one in value.items()}
        if isinstance(value, list):
            return [self.json(one, name) for one in value]
        return value

    def text(self, text):
        """Text as recorded; lines of JSON with placeholders for measured values."""
        lines = []
        for line in text.splitlines():
            if line.startswith("{"):
                line = json.dumps(self.json(json.loads(line)), ensure_ascii=False)
            lines.append(self.stable(line))
        return "\n".join(lines)

    def body(self, headers, body):
        kind = headers.get("content-type", "")
        if not body:
            return ""
        if "content-range" in {name.lower() for name in headers}:
            return f"<{len(body)} bytes of a range>"
        if kind.startswith("image/") and "svg" not in kind:
            image = Image.open(io.BytesIO(body))
            return f"<{image.format} {image.width}x{image.height}, {len(body)} bytes>"
        text = body.decode(errors="backslashreplace")
        if kind == "application/json":
            return self.stable(json.dumps(self.json(json.loads(text)), indent=1, ensure_ascii=False))
        if kind.startswith("text/html"):
            return self.stable(tags(text))
        if text.startswith("<?xml"):
            return self.stable(text.replace("><", ">\n<"))
        return self.text(text)

    def add(self, title, text):
        self.sections.append(f"=== {self.stable(title)}\n{text}".rstrip() + "\n")

    def answer(self, title, answer, body=None):
        """Records an HTTP response; `body` replaces its own, if given."""
        status, headers, own = answer
        shown = self.body(headers, own) if body is None else body
        lines = []
        for name, value in sorted((name.lower(), value) for name, value in headers.items()):
            if name in HEADERS_LEFT_OUT:
                continue
            if name in HEADERS_THAT_VARY or (name == "content-length" and varies(shown)):
                value = "…"
            value = re.sub(r"'sha256-[^']+'", "'sha256-…'", value)
            lines.append(f"{name}: {self.stable(value)}")
        # Content-Length differs by body; the other headers often equal those of an earlier response.
        length = " ".join(line for line in lines if line.startswith("content-length"))
        block = "\n".join(line for line in lines if line != length)
        headers = f"headers as of: {self.blocks[block]}" if block in self.blocks else block
        self.blocks.setdefault(block, self.stable(title).replace("\n", " ")[:100])
        self.add(title, f"{status} {length}".rstrip() + f"\n{headers}" + (f"\n\n{shown}" if shown else ""))
        return answer

    def command(self, *arguments, cwd=None, env=None, stdin=b"", title=None, shown=True):
        """Runs a command under its own name; returns its standard output."""
        ended = subprocess.run(
            ["tintype", *map(str, arguments)],
            executable=PROGRAM,
            input=stdin,
            capture_output=True,
            env=environment(**(env or {})),
            cwd=cwd,
            timeout=30,
        )
        lines = [f"exit code {ended.returncode}"]
        for name, stream in (("stdout", ended.stdout), ("stderr", ended.stderr)):
            if stream and shown:
                lines += [f"--- {name}", self.text(stream.decode())]
        words = [word if re.fullmatch(r"[\w./:=,{key}+-]+", word) else repr(word) for word in map(str, arguments)]
        variables = "".join(f"{name}={value} " for name, value in (env or {}).items())
        self.add(title or f"{variables}tintype {' '.join(words)}", "\n".join(lines))
        return ended.stdout.decode()

    def finish(self):
        compare(self.path, "\n".join(self.sections))


PLACEHOLDER = re.compile(r"<(uuid|time|date|ms|s|measured|signed|event|s3|http|folder|access key|secret|[a-z]+ \d)>|\[…\]")

# Measured parts of a console page.
MEASURED_IN_PAGES = [
    re.compile(r"(?<=<style>).*?(?=</style>)", re.DOTALL),
    re.compile(r'(?<=<div class="stages">).*?(?=</div>)', re.DOTALL),
    re.compile(r"(?<=<svg).*?(?=</svg>)", re.DOTALL),
    re.compile(r'(?<=data-values=").*?(?=")'),
    re.compile(r'(?<=data-top=").*?(?=")'),
    re.compile(r'data-total=".*?">.*?(?=</b>)'),
    re.compile(r'(?<=<dl class="strip" aria-label="Now">).*?(?=</dl>)', re.DOTALL),
    re.compile(r'(?<=<p class="help cost">).*?(?=</p>)'),
    # In the order in which attempts have ended.
    re.compile(r'(?<=<ul class="tiles one-row" id="latest">).*?(?=</ul>)', re.DOTALL),
    re.compile(r"(?<=<dt>Memory</dt><dd>).*?(?=</dd>)"),
    re.compile(r'(?<=<dt>Disk</dt><dd>).*?</dd><dd class="help">.*?(?=</dd>)'),
    re.compile(r'(?<=<dt>Cost on Lambda</dt><dd>).*?</dd><dd class="help">.*?(?=</dd>)'),
    re.compile(r"(?<![\w.])\d+(\.\d+)? (ms|s)\b"),
]


def varies(text):
    """Whether a text varies between runs."""
    return PLACEHOLDER.search(text) is not None


def tags(html):
    """HTML with a line for each opening tag, without style sheet and charts."""
    for form in MEASURED_IN_PAGES:
        html = form.sub("[…]", html)
    return re.sub(r"\s*<(?!/)", r"\n<", html).strip()
