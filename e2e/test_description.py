"""The API's description: schemathesis finds no deviation and no server error."""

import subprocess
import sys

import requests

import sample_images
from tintype import SOURCE, environment

# Whether a random body is an image is beyond the description, so its acceptance is not checked.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]


def test_the_description_lists_the_routes(server):
    description = requests.get(f"{server.http_url}/openapi.json", timeout=30).json()
    assert description["openapi"].startswith("3.1")
    assert set(description["paths"]) == {"/dev1/myimage", "/dev1/myimage/info", "/dev1/myimage/uploads"}
    assert set(description["paths"]["/dev1/myimage"]) == {"get", "head", "post"}


def schemathesis(server, *arguments):
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.http_url}/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--seed", "1", "--request-timeout", "30", "--no-color", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=server.folder, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout or " passed" in done.stdout


def test_the_routes_match_the_description(new_server):
    server = new_server(settings="[api]\nmax_side = 1000\n").start()
    schemathesis(server, "--max-examples", "60", "--phases", "coverage,fuzzing")


def test_responses_about_an_image_match_the_description(new_server):
    server = new_server(settings="[api]\nmax_side = 1000\n").start()
    server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    (server.folder / "schemathesis.toml").write_text('[parameters]\n"query.key" = "a.jpg"\n')
    methods = ["--include-method", "GET", "--include-method", "HEAD"]
    schemathesis(server, *methods, "--max-examples", "40", "--phases", "fuzzing")
