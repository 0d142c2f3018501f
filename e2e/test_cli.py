"""The command line."""

import json
import re
import stat
import subprocess

import pytest
import requests

import sample_images
import signing
from tintype import DESTINATION, SOURCE, run


def lines(ended):
    return [json.loads(line) for line in ended.stdout.decode().splitlines()]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a b.jpg").write_bytes(sample_images.jpeg())
    (folder / "b.png").write_bytes(sample_images.png(600, 300))
    (folder / "c.gif").write_bytes(sample_images.gif())
    return folder


def test_make(photos, tmp_path):
    files = sorted(photos.iterdir())
    ended = run("make", *files, "-o", tmp_path / "new" / "thumbs")
    assert (ended.returncode, ended.stderr) == (0, b"")
    thumbnails = sorted((tmp_path / "new" / "thumbs").iterdir())
    assert [file.name for file in thumbnails] == ["thumb_a b.jpg", "thumb_b.png", "thumb_c.gif.png"]
    assert [sample_images.opened(file.read_bytes()).size for file in thumbnails] == [(128, 96), (128, 64), (128, 96)]
    # On a pipe each result is one line of JSON.
    output = {line["file"]: line for line in lines(ended)}
    assert set(output) == {str(file) for file in files}
    first = output[str(photos / "a b.jpg")]
    assert (first["thumbnail"], first["width"], first["height"]) == (str(thumbnails[0]), 128, 96)
    assert first["bytes"] == thumbnails[0].stat().st_size


def test_make_with_options(photos, tmp_path):
    how = ["--size", "50x60", "--fit", "cover", "--format", "webp", "--quality", "60", "--jobs", "2"]
    assert run("make", *photos.iterdir(), "-o", tmp_path / "out", *how).returncode == 0
    thumbnails = [sample_images.opened(file.read_bytes()) for file in sorted((tmp_path / "out").iterdir())]
    assert [(image.format, image.size) for image in thumbnails] == [("WEBP", (50, 60))] * 3


def test_make_continues_after_a_failure_and_names_it(photos, tmp_path):
    (photos / "damaged.jpg").write_bytes(sample_images.corrupt_jpeg())
    (photos / "text.jpg").write_bytes(b"no image")
    ended = run("make", *photos.iterdir(), photos / "missing.jpg", "-o", tmp_path / "out")
    assert ended.returncode == 1
    output = ended.stderr.decode()
    for name in ("damaged.jpg", "text.jpg", "missing.jpg"):
        assert name in output
    assert len(output.splitlines()) == 3
    assert len(lines(ended)) == 3
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["thumb_a b.jpg", "thumb_b.png", "thumb_c.gif.png"]


def test_make_never_writes_one_thumbnail_over_another(photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.png").write_bytes(sample_images.png())
    ended = run("make", photos / "b.png", other / "b.png", "-o", tmp_path / "out")
    assert ended.returncode == 1
    assert b"b.png" in ended.stderr
    assert len(lines(ended)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["make"],
        ["make", "a.jpg"],
        ["make", "a.jpg", "-o", "{out}", "--size", "0x0"],
        ["make", "a.jpg", "-o", "{out}", "--fit", "squash"],
        ["make", "a.jpg", "-o", "{out}", "--quality", "0"],
        ["make", "a.jpg", "-o", "{file}/under"],
        ["serve", "--unknown"],
        ["unknown"],
        ["invoke"],
    ],
)
def test_wrong_usage(tmp_path, arguments):
    (tmp_path / "file").write_bytes(b"")
    filled = [one.format(out=tmp_path / "out", file=tmp_path / "file") for one in arguments]
    ended = run(*filled, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr and not ended.stdout


def test_probe(photos):
    (photos / "text.jpg").write_bytes(b"no image")
    (photos / "turned.jpg").write_bytes(sample_images.rotated_jpeg(640, 480))
    good = run("probe", photos / "b.png", photos / "turned.jpg")
    assert good.returncode == 0
    output = [(one["format"], one["width"], one["height"], one["orientation"]) for one in lines(good)]
    assert output == [("png", 600, 300, 1), ("jpeg", 640, 480, 6)]
    bad = run("probe", photos / "text.jpg", photos / "b.png")
    assert (bad.returncode, len(lines(bad))) == (1, 1)
    assert b"text.jpg" in bad.stderr


def test_version_and_help():
    assert re.fullmatch(rb"tintype \d+\.\d+\.\d+\n", run("--version").stdout)
    output = run("--help")
    assert output.returncode == 0
    for command in re.findall(r"^  ([a-z-]+)  ", output.stdout.decode(), re.MULTILINE):
        if command not in ("help", "tintype"):
            ended = run(command, "--help")
            assert (ended.returncode, b"Usage:" in ended.stdout) == (0, True), command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions(shell):
    ended = run("completions", shell)
    assert ended.returncode == 0
    for word in (b"tintype", b"serve", b"--quality"):
        assert word in ended.stdout or (shell == "fish" and word.strip(b"-") in ended.stdout)
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=ended.stdout, timeout=30).returncode == 0


def invoke(server, event, *arguments):
    how = ["--config", server.config, "--data", server.data, "--event", "-", *arguments]
    return run("invoke", *how, stdin=json.dumps(event).encode())


def test_invoke_with_and_without_a_server(new_server):
    server = new_server().start()
    s3 = server.client()
    s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    server.thumbnail("thumb_a.jpg")
    s3.delete_object(Bucket=DESTINATION, Key="thumb_a.jpg")

    def outcomes(*arguments):
        for key in ("a.jpg", "a.jpg", "missing.jpg", "a.txt"):
            ended = invoke(server, {"key": key}, *arguments)
            (output,) = lines(ended)
            assert output["source"] == {"bucket": SOURCE, "key": key}
            yield ended.returncode, output["outcome"]

    rest = [(0, "up_to_date"), (1, "failed"), (0, "ignored")]
    assert list(outcomes("--http", server.http_url.removeprefix("http://"))) == [(0, "made"), *rest]
    server.stop()
    # With other settings another thumbnail is rendered.
    server.config.write_text('[[trigger]]\n[[trigger.rendition]]\nsize = "32x32"\n')
    assert list(outcomes()) == [(0, "made"), *rest]
    server.start()
    found = server.client().get_object(Bucket=DESTINATION, Key="thumb_a.jpg")
    assert sample_images.opened(found["Body"].read()).size == (32, 24)


def test_invoke_what_is_no_event(new_server, tmp_path):
    ended = run("invoke", "--data", tmp_path / "data", "--event", "-", stdin=b"nonsense")
    assert ended.returncode != 0 and ended.stderr
    ended = run("invoke", "--data", tmp_path / "data", "--event", tmp_path / "missing.json")
    assert ended.returncode != 0 and b"missing.json" in ended.stderr


def test_check(new_server, tmp_path):
    free = ["--s3", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    ended = run("check", "--data", tmp_path / "none", *free, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert all(line["ok"] for line in lines(ended))
    assert not (tmp_path / "none").exists(), "check creates nothing"

    server = new_server().start()
    assert server.stop() == 0
    ended = run("check", "--data", server.data, *free, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout
    output = {line["check"]: line["ok"] for line in lines(ended)}
    assert {"settings", "data folder", "credentials", "ledger", "buckets"} <= set(output)
    assert all(output.values())

    server.start()
    running = run("check", "--data", server.data, "--http", server.http_url.removeprefix("http://"), cwd=tmp_path)
    assert running.returncode == 0, running.stdout
    assert "running server" in running.stdout.decode()

    (tmp_path / "file").write_bytes(b"")
    bad = run("check", "--data", tmp_path / "file" / "data", *free, cwd=tmp_path)
    assert bad.returncode == 1
    assert [line["ok"] for line in lines(bad) if line["check"] == "data folder"] == [False]


@pytest.mark.parametrize(
    ("settings", "env", "near"),
    [
        ('[listen]\ns4 = "x"\n', {}, "listen.s3"),
        ("[function]\nretrys = 3\n", {}, "function.retries"),
        ("dta = 'x'\n", {}, "data"),
        ("", {"TINTYPE_FUNCTION__TIMEOUT": "3"}, "function.timeout_s"),
    ],
)
def test_an_unknown_setting_names_the_nearest(tmp_path, settings, env, near):
    (tmp_path / "settings.toml").write_text(settings)
    ended = run("serve", "--config", "settings.toml", env=env, cwd=tmp_path)
    assert ended.returncode == 2
    assert f'did you mean "{near}"' in ended.stderr.decode()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["settings.toml"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("[function]\nretries = 'many'\n", "function.retries"),
        ('[listen]\ns3 = "nowhere"\n', "listen.s3"),
        ("[[trigger]]\n[[trigger.rendition]]\nsize = '0x0'\n", "size"),
        ("[[trigger]]\n[[trigger.rendition]]\nkey = 'thumb'\n", "key"),
        ("[[trigger]]\nbucket = 'No Bucket'\n", "No Bucket"),
        ("not toml", "settings.toml"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, settings, named):
    (tmp_path / "settings.toml").write_text(settings)
    ended = run("serve", "--config", "settings.toml", cwd=tmp_path)
    assert ended.returncode == 2
    assert named in ended.stderr.decode()


def serve(data, *arguments, **how):
    """A server that is not to start."""
    arguments = arguments or ("--s3", "127.0.0.1:0", "--http", "127.0.0.1:0")
    ended = run("serve", "--data", data, *arguments, **how)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == b""
    return ended.stderr.decode()


def test_a_port_in_use(server, tmp_path):
    taken = server.s3_url.removeprefix("http://")
    output = serve(tmp_path / "data", "--s3", taken, "--http", "127.0.0.1:0", cwd=tmp_path)
    assert taken in output and "in use" in output and "--s3" in output
    output = serve(tmp_path / "data", "--s3", "127.0.0.1:0", "--http", taken, cwd=tmp_path)
    assert "in use" in output and "--http" in output


def test_listening_beyond_this_machine_needs_an_option(tmp_path):
    output = serve(tmp_path / "data", "--s3", "127.0.0.1:0", "--http", "0.0.0.0:0", cwd=tmp_path)
    assert "--anyone-may-use-the-http-api" in output


def test_a_data_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    output = serve(tmp_path / "file" / "data", cwd=tmp_path)
    assert str(tmp_path / "file" / "data") in output and "--data" in output


def test_a_folder_of_another_program(tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.tex").write_bytes(b"years of work")
    assert "not empty" in serve(folder, cwd=tmp_path)
    assert [file.name for file in folder.iterdir()] == ["thesis.tex"]


def test_two_servers_on_one_folder(server, tmp_path):
    assert "in use" in serve(server.data, cwd=tmp_path)
    assert requests.get(f"{server.http_url}/readyz", timeout=30).status_code == 200


def test_a_folder_of_a_newer_program(new_server, tmp_path):
    server = new_server().start()
    server.stop()
    before = (server.data / "ledger.redb").read_bytes()
    (server.data / "format").write_text("tintype-data 99\n")
    output = serve(server.data, cwd=tmp_path)
    assert "99" in output and "newer" in output
    assert (server.data / "ledger.redb").read_bytes() == before


def test_the_secret_is_not_disclosed(new_server):
    server = new_server(settings='[logs]\nlevel = "trace"\n').start()
    _, secret = server.credentials
    mode = stat.S_IMODE((server.data / "credentials").stat().st_mode)
    assert mode == 0o600
    s3 = server.client()
    s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    server.thumbnail("thumb_a.jpg")
    assert requests.get(signing.presigned(server, "GET", SOURCE, "a.jpg"), timeout=30).status_code == 200
    assert requests.get(server.s3_url, timeout=30).status_code == 403
    shown = [requests.get(server.http_url + path, timeout=30).text for path in ("/", "/metrics", "/dev1/myimage")]
    checked = run("check", "--data", server.data, "--http", server.http_url.removeprefix("http://"))
    server.stop()
    shown += [server.log_text(), checked.stdout.decode(), checked.stderr.decode()]
    assert server.log_text()
    assert not [text for text in shown if secret in text]


def test_logs_are_lines_of_json(new_server):
    server = new_server().start()
    server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=b"no image")
    server.wait_until_idle()
    server.stop()
    logged = [json.loads(line, object_pairs_hook=list) for line in server.log_text().splitlines()]
    names = [[name for name, _ in fields] for fields in logged]
    forms = ({"timestamp", "level", "message"}, {"time", "type", "record"})
    assert names and all(any(form <= set(line) for form in forms) for line in names), "Lambda's forms"
    records = [dict(fields)["record"] for fields in logged if "record" in dict(fields)]
    assert any(["key", "a.jpg"] == list(field) for record in records for field in record)
    # JSON readers drop one of two fields of the same name.
    assert [line for line in names if len(line) != len(set(line))] == []


def test_demo_once(tmp_path):
    ended = run("demo", "--once", "--data", tmp_path / "data", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert b"thumb_" in ended.stdout
