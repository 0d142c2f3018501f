"""FIFOs, links, devices and folders in place of files of the data folder: the server neither waits for them nor follows
them."""

import os
import shutil
import socket
import stat

import botocore.exceptions
import pytest
import requests

import sample_images
from test_repair import check, object_file
from tintype import DESTINATION, SOURCE, run
from waiting import until


def fifo(path, elsewhere):
    os.mkfifo(path)


def link(path, elsewhere):
    """A link to a file with the same bytes, outside of the data folder."""
    path.symlink_to(elsewhere)


def device(path, elsewhere):
    """/dev/zero, which is endless."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def folder(path, elsewhere):
    path.mkdir()


def unix_socket(path, elsewhere):
    short = os.open(path.parent, os.O_PATH)
    try:
        socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{short}/{path.name}")
    finally:
        os.close(short)


KINDS = [
    (fifo, "it is a FIFO, not a regular file"),
    (link, "it is a symbolic link, not a regular file"),
    (device, "it is a device, not a regular file"),
    (folder, "it is a folder, not a regular file"),
    (unix_socket, "it is a socket, not a regular file"),
]
kinds = pytest.mark.parametrize(("kind", "words"), KINDS, ids=[kind.__name__ for kind, _ in KINDS])


def replace(path, kind, outside):
    """Replaces a file; the file itself is moved outside of the data folder."""
    elsewhere = outside / path.name
    shutil.move(path, elsewhere)
    kind(path, elsewhere)
    return elsewhere


@kinds
def test_in_place_of_an_object_file(new_server, tmp_path, kind, words):
    server = new_server(settings='sandbox = "off"\n[[trigger]]\nsuffixes = [".jpg"]\n').start()
    s3 = server.client()
    # No trigger matches these, so that nothing has read them before.
    etags = {
        name: s3.put_object(Bucket=SOURCE, Key=name, Body=sample_images.distinct_jpeg(name))["ETag"]
        for name in ("bad.source", "good.source")
    }
    path = object_file(server, etags["bad.source"])
    elsewhere = replace(path, kind, tmp_path)

    def is_refused():
        with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)):
            s3.get_object(Bucket=SOURCE, Key="bad.source")["Body"].read()
        answer = requests.get(server.api_url, params={"key": "bad.source", "size": "33x33"}, timeout=60)
        assert answer.status_code >= 500, answer.text

    is_refused()
    with pytest.raises(botocore.exceptions.ClientError):
        s3.copy_object(Bucket=SOURCE, Key="copy.jpg", CopySource=f"{SOURCE}/bad.source")
    assert s3.get_object(Bucket=SOURCE, Key="good.source")["ETag"] == etags["good.source"]

    code, output, text = check(server, "--scrub", "--http", server.http_url.removeprefix("http://"))
    assert code == 1, text
    [found] = [line["finding"] for line in output if "finding" in line]
    assert (found["what"], found["file"], found["why"]) == ("damaged_head", str(path), words)

    # It blocks neither the start nor the cleanup.
    server.kill()
    server.start()
    s3 = server.client()
    is_refused()
    assert s3.get_object(Bucket=SOURCE, Key="good.source")["ETag"] == etags["good.source"]
    assert server.stop() == 0

    bytes_before = elsewhere.read_bytes()
    code, output, text = check(server, "--repair")
    assert code == 1 and words in text, text
    assert elsewhere.read_bytes() == bytes_before, "files outside are unchanged"
    server.start()
    s3 = server.client()
    assert s3.get_object(Bucket=SOURCE, Key="good.source")["ETag"] == etags["good.source"]
    with pytest.raises(botocore.exceptions.ClientError) as missing:
        s3.head_object(Bucket=SOURCE, Key="bad.source")
    assert missing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@kinds
def test_an_event_whose_source_is_no_file_is_a_dead_letter(new_server, tmp_path, kind, words):
    server = new_server(settings='sandbox = "off"\n').start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="bad.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_bad.jpg", etag)
    server.wait_until_idle()
    replace(object_file(server, etag), kind, tmp_path)
    s3.delete_object(Bucket=DESTINATION, Key="thumb_bad.jpg")
    queued = run("backfill", "--server", server.http_url, "--data", server.data, cwd=server.folder)
    assert queued.returncode == 0, queued.stderr
    letter = until(
        lambda: run("dead-letters", "list", "--server", server.http_url, "--data", server.data, cwd=server.folder).stdout.decode(),
        "the dead letter",
    )
    assert '"damaged"' in letter and words in letter, letter


@kinds
def test_in_place_of_a_part(new_server, tmp_path, kind, words):
    server = new_server(settings='sandbox = "off"\n').start()
    s3 = server.client()
    where = {"Bucket": SOURCE, "Key": "parts.bin"}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    etag = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"a part")["ETag"]
    replace(object_file(server, etag), kind, tmp_path)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        s3.complete_multipart_upload(
            **where, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
        )
    assert words in str(refused.value), refused.value
    s3.abort_multipart_upload(**where, UploadId=upload)


@kinds
@pytest.mark.parametrize("name", ["measurements.redb", "commits"])
def test_in_place_of_an_optional_file(new_server, tmp_path, name, kind, words):
    server = new_server(settings='sandbox = "off"\n').start()
    server.wait_until_idle()
    assert server.stop() == 0
    elsewhere = replace(server.data / name, kind, tmp_path)
    before = elsewhere.read_bytes()
    server.start()
    etag = server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_a.jpg", etag)
    until(lambda: words in server.log_text(), "the warning")
    assert server.stop() == 0
    assert elsewhere.read_bytes() == before, "files outside are unchanged"


@kinds
@pytest.mark.parametrize("name", ["ledger.redb", "format", "identity", "lock", "credentials"])
def test_in_place_of_a_file_of_the_folder(new_server, tmp_path, name, kind, words):
    server = new_server(settings='sandbox = "off"\n').start()
    assert server.stop() == 0
    elsewhere = replace(server.data / name, kind, tmp_path)
    before = elsewhere.read_bytes()
    refused = run("serve", "--data", server.data, "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", cwd=server.folder)
    assert refused.returncode == 1, refused.stderr
    errors = refused.stderr.decode()
    assert words in errors and "choose a folder this user may write" not in errors, errors
    assert name.removesuffix(".redb") in errors, errors
    assert elsewhere.read_bytes() == before, "files outside are unchanged"
    assert check(server)[0] == 1


@pytest.mark.parametrize("name", ["objects", "incoming"])
def test_a_linked_folder_is_refused_with_advice(new_server, tmp_path, name):
    server = new_server().start()
    server.client().put_object(Bucket=SOURCE, Key="a.txt", Body=b"a")
    assert server.stop() == 0
    shutil.move(server.data / name, tmp_path / "volume")
    (server.data / name).symlink_to(tmp_path / "volume")
    refused = run("serve", "--data", server.data, "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", cwd=server.folder)
    errors = refused.stderr.decode()
    assert refused.returncode == 1 and f"the folder {name} is a symbolic link" in errors and "move the whole data folder to a volume" in errors, errors
    for arguments in ((), ("--scrub",), ("--repair",)):
        code, _, text = check(server, *arguments)
        assert code == 1 and "move the whole data folder to a volume" in text, text


def test_a_linked_folder_of_object_files_is_refused_with_advice(new_server, tmp_path):
    server = new_server(settings='sandbox = "off"\n').start()
    etag = server.client().put_object(Bucket=SOURCE, Key="a.txt", Body=b"a")["ETag"]
    inner = object_file(server, etag).parent
    shutil.move(inner, tmp_path / "volume")
    inner.symlink_to(tmp_path / "volume")
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        server.client().get_object(Bucket=SOURCE, Key="a.txt")
    assert "is a symbolic link" in str(refused.value) and str(tmp_path) not in str(refused.value)
    server.kill()
    for arguments in (("--scrub",), ("--repair",)):
        code, _, text = check(server, *arguments)
        assert code == 1 and f"the folder {inner.name} is a symbolic link" in text, text
    # Putting the folder there repairs it; nothing was lost.
    inner.unlink()
    shutil.move(tmp_path / "volume", inner)
    server.start()
    assert server.client().get_object(Bucket=SOURCE, Key="a.txt")["Body"].read() == b"a"


def test_the_data_folder_itself_may_be_a_link(new_server, tmp_path):
    server = new_server()
    (tmp_path / "volume").mkdir()
    server.data.symlink_to(tmp_path / "volume")
    server.start()
    etag = server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_a.jpg", etag)
    assert (tmp_path / "volume" / "ledger.redb").is_file()
    assert server.stop() == 0
    assert check(server, "--scrub")[0] == 0
