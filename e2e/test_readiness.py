"""/readyz, figures of the disk and the dashboard's tile, on real volumes: full, read-only after an error, frozen, gone, or
mounted in place of one of the data folder's folders."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import botocore.exceptions
import pytest
import requests

import sample_images
import tintype
from hanging_files import IS_POSSIBLE, HangingFiles
from tintype import SOURCE
from waiting import until

VOLUME_BYTES = 64 << 20


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def mounted(kind, folder):
    """Mounts a new volume; returns its folder."""
    place = folder / "volume"
    place.mkdir()
    if kind == "tmpfs":
        done = run("mount", "-t", "tmpfs", "-o", f"size={VOLUME_BYTES}", "tintype-test", place)
    else:
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(VOLUME_BYTES)
        # No blocks reserved for root, who may run this.
        run("mkfs.ext4", "-q", "-F", "-m", "0", image)
        done = run("mount", "-o", "loop,errors=remount-ro", image, place)
    if done.returncode:
        pytest.skip(f"needs to mount {kind}: {done.stderr.strip()}")
    return place


@pytest.fixture
def volume(request, tmp_path):
    place = mounted(request.param, tmp_path)
    yield place
    # A test may have unmounted it.
    run("umount", place)


@pytest.fixture
def on_volume(volume, new_server):
    """A server whose data folder is on the volume."""
    server = new_server()
    server.data = volume / "data"
    return server.start()


tmpfs = pytest.mark.parametrize("volume", ["tmpfs"], indirect=True)
ext4 = pytest.mark.parametrize("volume", ["ext4"], indirect=True)
both = pytest.mark.parametrize("volume", ["tmpfs", "ext4"], indirect=True)


def readiness(server):
    answer = requests.get(f"{server.http_url}/readyz", timeout=30)
    return answer.status_code, answer.json()["message"]


def until_unready(server, words):
    def look():
        status, message = readiness(server)
        return status == 503 and words in message and message

    return until(look, f"/readyz is 503 and says {words}")


def until_ready(server):
    until(lambda: readiness(server) == (200, "ready"), "/readyz is 200")


def disk_tile(server):
    """Whether the tile is an alarm, and its words."""
    page = requests.get(f"{server.http_url}/metrics/dashboard", timeout=30).text
    found = re.search(r'<div class="card ([a-z]*)"><dt>Disk</dt><dd>(.*?)</dd><dd class="help">(.*?)</dd>', page)
    return found[1], f"{found[2]} {found[3]}"


def fill(path, leave):
    """Fills the volume except `leave` bytes."""
    with path.open("wb", buffering=0) as file:
        try:
            while (now := os.statvfs(path.parent)).f_bavail * now.f_frsize > leave:
                file.write(bytes(1 << 16))
        except OSError:
            assert leave == 0


@both
def test_a_full_volume_is_not_ready_until_there_is_space(volume, on_volume):
    server, s3 = on_volume, on_volume.client()
    assert readiness(server) == (200, "ready")
    colour, words = disk_tile(server)
    assert colour == "" and re.fullmatch(r"[\d.]+ MB free of [\d.]+ MB", words), words
    # Below the floor uploads are still accepted, so that clients have time to switch.
    fill(volume / "filler", 3 << 20)
    assert re.search(r"volume of the data folder is full: [0-3]\.\d of \d\d\.\d MB are free.*delete objects", until_unready(server, "full"))
    assert disk_tile(server)[0] == "bad" and "free some space" in disk_tile(server)[1]
    etag = s3.put_object(Bucket=SOURCE, Key="below.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_below.jpg", etag)
    now, counted = os.statvfs(volume), server.metrics()
    assert counted["tintype_disk_total_bytes"] == now.f_blocks * now.f_frsize
    assert 0 < counted["tintype_disk_free_bytes"] <= 3 << 20

    fill(volume / "rest", 0)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        s3.put_object(Bucket=SOURCE, Key="full.jpg", Body=sample_images.noise(400, 400))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    until_unready(server, "full")

    (volume / "filler").unlink()
    (volume / "rest").unlink()
    until_ready(server)
    etag = s3.put_object(Bucket=SOURCE, Key="after.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_after.jpg", etag)
    assert disk_tile(server)[0] == ""
    assert not list((server.data / "incoming").iterdir())


@ext4
def test_a_volume_that_the_kernel_made_read_only_is_not_ready(volume, on_volume):
    server = on_volume
    assert readiness(server) == (200, "ready")
    device = Path(run("findmnt", "-no", "SOURCE", volume).stdout.strip()).name
    # As after an I/O error.
    Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")
    assert "mounted read-only" in until_unready(server, "Read-only file system")
    assert requests.get(f"{server.http_url}/healthz", timeout=30).status_code == 200
    assert "not ready" in server.log_text()


def test_a_ledger_that_was_moved_away_is_not_ready_until_it_is_back(new_server, tmp_path):
    server = new_server().start()
    ledger, away = server.data / "ledger.redb", tmp_path / "away"
    for replace in (lambda: None, lambda: shutil.copy(away, ledger)):
        ledger.rename(away)
        replace()
        assert "put that file back" in until_unready(server, "ledger.redb")
        away.rename(ledger)
        until_ready(server)
    server.data.rename(away)
    until_unready(server, "ledger.redb")
    away.rename(server.data)
    until_ready(server)
    etag = server.client().put_object(Bucket=SOURCE, Key="after.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_after.jpg", etag)


@tmpfs
def test_a_volume_that_is_unmounted_is_not_ready(volume, on_volume):
    assert readiness(on_volume) == (200, "ready")
    # Lazily: the server has files open on it.
    assert run("umount", "-l", volume).returncode == 0
    until_unready(on_volume, "ledger.redb")


@ext4
def test_a_volume_that_hangs_is_logged_once_and_ready_again_afterwards(volume, on_volume):
    server = on_volume
    assert readiness(server) == (200, "ready")
    assert run("fsfreeze", "--freeze", volume).returncode == 0
    try:
        for _ in range(3):
            until_unready(server, "has not answered for")
    finally:
        assert run("fsfreeze", "--unfreeze", volume).returncode == 0
    until_ready(server)
    until(lambda: "ready again" in server.log_text(), "it is logged")
    [line] = [line for line in server.log_text().splitlines() if "not ready" in line]
    assert "has not answered for 5 s" in line


def mounted_over(folder, kind):
    """Mounts another volume over a folder, or the folder over itself: then the device is the same."""
    source = ("-t", "tmpfs", "tintype-test") if kind == "tmpfs" else ("--bind", folder)
    done = run("mount", *source, folder)
    if done.returncode:
        pytest.skip(f"needs to mount: {done.stderr.strip()}")


kinds = pytest.mark.parametrize("kind", ["tmpfs", "bind"])


@kinds
@pytest.mark.parametrize("name", ["objects", "incoming", "quarantine"])
def test_a_volume_mounted_in_place_of_a_folder_is_refused_with_advice(new_server, name, kind):
    server = new_server().start()
    server.client().put_object(Bucket=SOURCE, Key="a.txt", Body=b"a")
    assert server.stop() == 0
    folder = server.data / name
    folder.mkdir(exist_ok=True)
    before = sorted(path.name for path in folder.iterdir())
    mounted_over(folder, kind)
    try:
        for command in (("serve", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0"), ("check", "--repair")):
            refused = tintype.run(*command, "--data", server.data, cwd=server.folder)
            errors = refused.stdout.decode() + refused.stderr.decode()
            assert refused.returncode == 1 and f"the folder {name} is on another volume" in errors, errors
            assert "unmount it" in errors and "choose a folder this user may write" not in errors, errors
    finally:
        assert run("umount", folder).returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == before
    server.start()
    assert server.client().get_object(Bucket=SOURCE, Key="a.txt")["Body"].read() == b"a"


@kinds
def test_a_volume_mounted_over_the_objects_of_a_running_server_is_not_ready(new_server, kind):
    server = new_server().start()
    s3 = server.client()
    mounted_over(server.data / "objects", kind)
    try:
        words = until_unready(server, "the folders incoming and objects are on two volumes or mounts")
        assert "ledger" not in words and str(server.data) not in words, words
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        words = str(refused.value)
        assert "are on two volumes or mounts" in words and "ledger" not in words and str(server.data) not in words, words
    finally:
        assert run("umount", server.data / "objects").returncode == 0
    until_ready(server)
    etag = s3.put_object(Bucket=SOURCE, Key="after.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_after.jpg", etag)
    assert not (server.data / "objects" / "probe").exists()


@ext4
def test_objects_that_nothing_can_be_moved_into_are_not_ready(volume, on_volume):
    server = on_volume
    assert readiness(server) == (200, "ready")
    objects = server.data / "objects"
    assert run("chattr", "+i", objects).returncode == 0
    try:
        assert "Operation not permitted" in until_unready(server, 'from "incoming" into "objects"')
    finally:
        assert run("chattr", "-i", objects).returncode == 0
    until_ready(server)
    assert not list((server.data / "incoming").iterdir())


@ext4
def test_while_a_volume_hangs_the_program_answers_and_ends(volume, on_volume):
    server = on_volume
    before = server.metrics()
    assert run("fsfreeze", "--freeze", volume).returncode == 0
    try:
        # It hangs in a check, in the recorder, and in an upload.
        until_unready(server, "has not answered for")
        with pytest.raises(botocore.exceptions.BotoCoreError):
            server.client(read_timeout=1).put_object(Bucket=SOURCE, Key="a.txt", Body=b"a")
        for _ in range(20):
            assert requests.get(f"{server.http_url}/healthz", timeout=10).status_code == 200
            assert requests.get(server.http_url, timeout=30).status_code in (200, 503)
            now = server.metrics()
            assert now["tintype_disk_total_bytes"] == before["tintype_disk_total_bytes"]
        server.terminate()
        # A thread that waits for a frozen volume cannot be killed: the process ends but for that one.
        status = Path(f"/proc/{server.process.pid}/status")
        until(lambda: "State:\tZ" in status.read_text(), "it ends", seconds=30)
    finally:
        assert run("fsfreeze", "--unfreeze", volume).returncode == 0
    assert server.wait() == 0


@pytest.fixture
def hanging_files(new_server):
    if not IS_POSSIBLE:
        pytest.skip("system calls are known by their numbers on x86-64 Linux")
    files = HangingFiles()
    yield files
    files.end()


@pytest.mark.parametrize("signals", [[], [signal.SIGHUP]])
def test_while_every_file_hangs_the_program_answers_and_ends(new_server, hanging_files, signals):
    server = new_server()
    server.before_start = hanging_files.before_start
    server.start()
    server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    server.wait_until_idle()
    before = server.metrics()
    hanging_files.hang()
    with pytest.raises(botocore.exceptions.BotoCoreError):
        server.client(read_timeout=1).put_object(Bucket=SOURCE, Key="b.txt", Body=b"b")
    for number in signals:
        server.process.send_signal(number)
    for _ in range(20):
        assert requests.get(f"{server.http_url}/healthz", timeout=10).status_code == 200
    for _ in range(3):
        assert requests.get(server.http_url, timeout=30).status_code in (200, 503)
        assert server.metrics()["tintype_disk_total_bytes"] == before["tintype_disk_total_bytes"]
    assert readiness(server)[0] == 503
    assert hanging_files.waiting() > 0
    server.terminate()
    assert server.wait() == 0
