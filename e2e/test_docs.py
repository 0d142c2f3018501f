"""The documentation does what it says: links lead somewhere, settings are read, commands run, and the reference is that of
the program. RECORD=1 in the environment writes the parts that are produced from the program.

Blocks marked ```sh run, one after the other and in one folder, beside a running server; those marked ```sh stopped without one,
those marked ```sh no-run not at all.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

import recording
import sample_images
from tintype import PROGRAM, ROOT, Server, environment, run

PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "deploy/*.md", "bench/*.md", "crates/*/README.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# Runs a command until it succeeds, for 20 s at most.
RETRY = 'retry() { for _ in $(seq 100); do if "$@"; then return; fi; sleep 0.2; done; return 1; }'
FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [
    "serve", "worker", "demo", "make", "probe", "formats", "invoke", "check", "health", "backup", "restore", "keys", "url",
    "backfill", "orphans", "status", "dead-letters", "logs", "cost", "completions",
]  # fmt: skip


def text_of(page):
    return (ROOT / page).read_text()


def blocks(page, kind):
    return [(more.strip(), body) for found, more, body in FENCE.findall(text_of(page)) if found == kind]


def anchors(page):
    """Of its headings, as GitHub and mdBook derive them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    wrong = []
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.resolve().relative_to(ROOT))):
            wrong.append(link)
    assert not wrong


def test_every_page_is_in_the_book():
    listed = {(ROOT / "docs" / link).resolve() for link in LINK.findall(text_of("docs/SUMMARY.md"))}
    pages = {(ROOT / page).resolve() for page in PAGES if page.parts[0] == "docs" and page.name != "SUMMARY.md"}
    assert pages == listed


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=str)
def test_settings_shown_are_read(page, tmp_path):
    for number, (more, body) in enumerate(blocks(page, "toml")):
        if more == "no-run":
            continue
        config = tmp_path / f"{number}.toml"
        config.write_text(body)
        ended = run("check", "--config", config, "--data", tmp_path / "data", cwd=tmp_path)
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [line["ok"] for line in lines if line["check"] == "settings"] == [True], (body, ended.stderr)


def test_paths_of_the_map_exist():
    text = text_of("CONTRIBUTING.md")
    named = re.findall(r"`((?:crates|hosts|deploy|packaging|scripts|e2e|fuzz|docs|bench)/[\w./-]+)`", text)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []
    [listed] = [body for _, body in blocks("CONTRIBUTING.md", "") if body.startswith("crates/engine")]
    folders = [folder for line in listed.splitlines() for folder in re.split(r"[, ]+", re.split(r"  +", line)[0])]
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


class Shell:
    """Runs the blocks of a page in one folder, with the program under its names and the ports of one server."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        programs = folder / "programs"
        programs.mkdir()
        # Builds are what the test runs with.
        self.script(programs / "cargo", "exit 0")
        self.script(programs / "tintype", f'exec {PROGRAM} "$@"')
        target = folder / "target/release"
        target.mkdir(parents=True)
        # A server runs already.
        self.script(target / "tintype", f'[ "$1" = serve ] || exec {PROGRAM} "$@"')
        (folder / "tintype-data").symlink_to(server.data)
        (folder / "tintype.toml").write_text(server.config.read_text())
        (folder / "photo.jpg").write_bytes(sample_images.jpeg(640, 480))
        (folder / "ops.json").write_text(
            '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "tintype:Read", "Resource": "*"}}'
        )
        self.environment = server.tool_environment() | {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
        }

    @staticmethod
    def script(path, line):
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, body):
        # An object's thumbnail or dead letter follows after milliseconds, which people do not notice.
        late = r"^(aws s3 cp s3:|aws s3 cp \"s3:|tintype status|tintype dead-letters)"
        body = re.sub(late, r"retry \1", body, flags=re.MULTILINE)
        body = body.replace("http://127.0.0.1:9000", self.server.s3_url).replace("http://127.0.0.1:8080", self.server.http_url)
        # Variables last, as they do in a terminal.
        address = f"export TINTYPE_LISTEN__HTTP={self.server.http_url.removeprefix('http://')}"
        body = f"set -e\n{RETRY}\n[ ! -e state ] || . ./state\n{address}\n{body}\nexport -p > state\n"
        return subprocess.run(
            ["bash", "-c", body], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )


PAGES_TO_RUN = [page for page in PAGES if any(more != "no-run" for more, _ in blocks(page, "sh"))]


@pytest.mark.parametrize("page", PAGES_TO_RUN, ids=str)
def test_commands_shown_run(page, tmp_path, new_server):
    server = new_server().start()
    shell = Shell(tmp_path, server)
    s3 = server.client()
    shell.environment["AWS_SHARED_CREDENTIALS_FILE"] = "tintype-data/credentials"
    shell.environment["AWS_ENDPOINT_URL"] = server.s3_url
    if "aws s3 cp photo.jpg" not in text_of(page):
        s3.put_object(Bucket="input-product-images", Key="photo.jpg", Body=sample_images.jpeg(640, 480))
        requests.get(f"{server.api_url}?key=photo.jpg", timeout=30).raise_for_status()
    s3.put_object(Bucket="input-product-images", Key="broken.jpg", Body=sample_images.jpeg(640, 480)[:300])
    for more, body in blocks(page, "sh"):
        if more == "no-run":
            continue
        if more == "stopped":
            assert server.stop() == 0
        ended = shell.run(body)
        assert ended.returncode == 0, f"{body}\n{ended.stdout}\n{ended.stderr}"
        if more == "stopped":
            server.start()


def helps(*command):
    """The help of a command and of those below it."""
    shown = run(*command, "--help")
    assert shown.returncode == 0
    text = shown.stdout.decode()
    yield f"\n## tintype {' '.join(command)}\n\n```text\n{text.strip()}\n```\n"
    below = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
    for name in re.findall(r"^  (\S+)  ", below, re.MULTILINE):
        if name != "help":
            yield from helps(*command, name)


def test_the_reference_of_commands_is_their_help():
    page = ROOT / "docs/reference/commands.md"
    head = page.read_text().split("<!-- produced -->")[0]
    parts = [part for command in COMMANDS for part in helps(command)]
    same(page, "".join([f"{head}<!-- produced -->\n", *parts]))


def test_the_reference_of_metrics_is_what_is_exposed(new_server):
    server = new_server().start()
    exposed = requests.get(f"{server.http_url}/metrics", timeout=30).text
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposed, re.MULTILINE))
    rows = [
        f"| `{name}` | {kinds[name]} | {help_text} |\n"
        for name, help_text in re.findall(r"^# HELP (\S+) (.+)$", exposed, re.MULTILINE)
    ]
    page = ROOT / "docs/reference/metrics.md"
    head = page.read_text().split("<!-- produced -->")[0]
    same(page, f"{head}<!-- produced -->\n\n| Metric | Kind | What |\n|---|---|---|\n{''.join(rows)}")


def test_the_table_of_formats_is_the_programs():
    ended = run("formats")
    formats = [json.loads(line) for line in ended.stdout.splitlines()]
    row = "| {title} | `{extensions}` | {read} | {written} | {refused} |\n"
    rows = [
        row.format(**one | {"extensions": "` `".join(f".{name}" for name in one["extensions"]), "written": one["written"] or "–"})
        for one in formats
    ]
    page = ROOT / "docs/reference/formats.md"
    head, rest = page.read_text().split("<!-- produced -->\n")
    tail = rest.split("<!-- end -->")[1]
    table = f"\n| Format | Extensions | Read | Written | Refused, and why |\n|---|---|---|---|---|\n{''.join(rows)}\n"
    same(page, f"{head}<!-- produced -->\n{table}<!-- end -->{tail}")


def test_every_reason_is_explained(new_server):
    server = new_server().start()
    refused = requests.get(
        f"{server.http_url}/dead-letters?reason=nonsense", headers={"Accept": "application/json"}, timeout=30
    )
    known = set(re.findall(r"\w+", refused.json()["message"].split("There are ")[1]))
    explained = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/reference/errors.md"), re.MULTILINE))
    assert known - {"and"} == explained


def test_every_status_of_the_api_is_explained(new_server):
    server = new_server().start()
    described = requests.get(f"{server.http_url}/openapi.json", timeout=30).json()
    operations = [one for path in described["paths"].values() for one in path.values() if isinstance(one, dict)]
    statuses = {int(status) for one in operations for status in one.get("responses", {}) if status.isdigit()}
    section = text_of("docs/reference/errors.md").partition("## Answers of the HTTP API")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
    explained = {int(number) for row in rows for number in row.split(",")}
    assert {status for status in statuses if status >= 400} <= explained


def test_settings_named_in_the_docs_exist():
    """`section.name` in a page is a setting; the example, which a test compares with the program, has them all."""
    sections, section = {}, ""
    for line in text_of("tintype.example.toml").splitlines():
        line = line.removeprefix("# ")
        if found := re.match(r"^\[+([a-z_.]+)\]+", line):
            section = found[1]
        elif found := re.match(r"^(\w+) = ", line):
            sections.setdefault(section, set()).add(found[1])
    unknown = []
    for page in PAGES:
        for name, setting in re.findall(r"`(%s)\.([a-z0-9_]+)(?: = [^`]*)?`" % "|".join(filter(None, sections)), text_of(page)):
            # A section's own part, as in `api.key`, or a file's name.
            if setting not in sections[name] and f"{name}.{setting}" not in sections and setting not in ("rs", "toml", "py"):
                unknown.append(f"{page}: {name}.{setting}")
    assert unknown == []


def same(page, text):
    if recording.RECORDS:
        page.write_text(text)
    recording.same(str(page.relative_to(ROOT)), page.read_text(), text)
