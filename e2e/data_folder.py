"""A data folder with every kind of content: written, packed, and inspected.

Every build must open the folders in e2e/fixtures. Run this file to add that of the program in TINTYPE_BIN, which is due with
each release and before each change of format; never remove one that users may still have.
"""

import base64
import datetime
import glob
import hashlib
import io
import json
import lzma
import re
import tarfile
import tempfile
import zlib
from pathlib import Path

import sample_images
import signing
from recording import ask, signed
from tintype import DESTINATION, SOURCE, Server, run
from waiting import until

FIXTURES = Path(__file__).resolve().parent / "fixtures"

# Debian's package faketime: stored data expires by age, so each folder is opened at the time it was written.
FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
WRITTEN = datetime.datetime(2026, 11, 30, tzinfo=datetime.timezone.utc)

OTHER, MIRRORED, MIRROR = "other-files", "mirrored-images", "mirrored-thumbnails"
SETTINGS = f"""[function]
memory_mb = 256
total_memory_mb = 1024
concurrency = 1
retry_delays = ["2h"]

[[trigger]]

[[trigger]]
bucket = "{MIRRORED}"
destination = "{MIRROR}"
mirror_deletes = true
[[trigger.rendition]]
key = "small/{{key}}"
size = "32x32"
[[trigger.rendition]]
key = "large/{{key}}"
size = "64x64"
format = "webp"
"""
API_KEY = "throwaway-key-0123456789"
QUOTA = f'\n[[api.key]]\nname = "shop"\nkey = "{API_KEY}"\ndaily = 3\n'
LONG = "k" * 1020 + ".jpg"
# Sources with current thumbnails.
RENDERED = {"photo.jpg", "a b+\u00fc.jpg", "raw/box.png", "raw/anim.gif", "twice.jpg"}
IMAGES = {
    "photo.jpg": lambda: sample_images.jpeg(160, 120),
    "a b+\u00fc.jpg": lambda: sample_images.rotated_jpeg(160, 120),
    "raw/box.png": lambda: sample_images.png(300, 200),
    "raw/anim.gif": lambda: sample_images.gif(160, 120),
    "twice.jpg": lambda: sample_images.distinct_jpeg("first"),
    "gone.jpg": lambda: sample_images.distinct_jpeg("gone"),
    "waiting.jpg": lambda: sample_images.distinct_jpeg("waiting"),
    "broken.jpg": sample_images.corrupt_jpeg,
    "text.jpg": lambda: b"no picture",
    LONG: lambda: sample_images.distinct_jpeg("long"),
    "notes.txt": lambda: b"notes",
}
# Response headers that are stored with an object, besides metadata and checksums.
STORED = {
    "cache-control", "content-disposition", "content-encoding", "content-language", "content-length", "content-type", "etag", "expires", "last-modified",
    "x-amz-mp-parts-count", "x-amz-storage-class",
}  # fmt: skip


def at(minutes):
    return WRITTEN + datetime.timedelta(minutes=minutes)


def clock(when):
    """The environment of a program whose clock begins at this time."""
    return {"LD_PRELOAD": FAKETIME, "DONT_FAKE_MONOTONIC": "1", "FAKETIME": f"@{when:%Y-%m-%d %H:%M:%S}", "TZ": "UTC"}


class ServerRun:
    """A server on a data folder, started at a given time, with the folder's settings by default."""

    def __init__(self, folder, when, settings=None, waiting=1):
        # Events that stay in the queue.
        self.waiting = waiting
        self.server = Server(folder, settings or (folder / "settings.toml").read_text(), clock(when))
        self.when = when
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.server.process.poll() is None:
            assert self.server.stop() == 0, self.server.log_text()
        Server.shown.remove(self.server)

    def s3(self, method, bucket, key="", body=b"", query=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return signed(self.server, method, bucket, key, body, query=query, more=headers, when=self.when)


    def done(self, *request, **how):
        """The body of a successful S3 response, once its events are processed."""
        status, _, body = self.s3(*request, **how)
        assert status < 300, (request[:3], body)
        self.settle()
        return body

    def settle(self):
        """Waits until no events but the expected ones are in the queue."""

        def is_idle():
            now = self.server.metrics()
            return (now["tintype_queue_depth"], now["ConcurrentExecutions"]) == (self.waiting, 0)

        until(is_idle, f"nothing but {self.waiting} event(s) is waiting or under way")

    def page(self, path, method="GET", body=None, **headers):
        headers = {"accept": "application/json"} | ({"content-type": "application/x-www-form-urlencoded"} if body is not None else {}) | headers
        status, _, answer = ask(self.server.http_url, method, path, headers, body)
        assert status < 300, (path, answer)
        return answer.decode()

    def command(self, *arguments):
        """The output lines of a command against this server."""
        ended = run(*arguments, "--server", self.server.http_url)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.decode().splitlines()]


def found(pattern, body):
    return [one.decode() for one in re.findall(pattern.encode(), body)]


def write(folder):
    """Writes a data folder in three runs of a server, some minutes apart."""
    digest = lambda kind, body: base64.b64encode(hashlib.new(kind, body).digest()).decode()
    with ServerRun(folder, at(0), SETTINGS, waiting=0) as server_run:
        for key, body in IMAGES.items():
            server_run.done("PUT", SOURCE, key, body(), content_type="image/jpeg" if key == "photo.jpg" else "application/octet-stream")
        for bucket in (OTHER, MIRRORED, MIRROR):
            server_run.s3("PUT", bucket)
        server_run.done("PUT", OTHER, "a b+c.txt", b"hello", content_type="text/plain", cache_control="no-store", content_disposition="attachment",
                  content_language="en", expires="Thu, 01 Jan 2032 00:00:00 GMT", x_amz_meta_colour="red", x_amz_meta_size="1")  # fmt: skip
        server_run.done("PUT", OTHER, "\u00fc/\u65e5\u672c.bin", b"sha256", x_amz_checksum_sha256=digest("sha256", b"sha256"))
        server_run.done("PUT", OTHER, "a//b", b"sha1", x_amz_checksum_sha1=digest("sha1", b"sha1"))
        crc32 = base64.b64encode(zlib.crc32(b"crc32").to_bytes(4, "big")).decode()
        server_run.done("PUT", OTHER, "a&<b>\"'", b"crc32", x_amz_checksum_crc32=crc32)
        server_run.done("PUT", OTHER, "\u00fc" * 512, b"a key of 1,024 bytes")
        server_run.done("PUT", OTHER, "dir/")
        server_run.done("PUT", OTHER, "copy", x_amz_copy_source=f"/{OTHER}/a%20b%2Bc.txt")
        server_run.done("PUT", OTHER, "deleted", b"deleted")
        server_run.done("DELETE", OTHER, "deleted")
        for key, algorithm in (("large.bin", "SHA256"), ("plain.bin", None)):
            how = {"x_amz_checksum_algorithm": algorithm} if algorithm else {}
            [upload] = found("<UploadId>(.*?)</", server_run.done("POST", OTHER, key, query={"uploads": ""}, x_amz_meta_colour="blue", **how))
            listed = ""
            for number, body in ((1, bytes(5 << 20)), (2, b"end")):
                how = {"x_amz_checksum_sha256": digest("sha256", body)} if algorithm else {}
                server_run.done("PUT", OTHER, key, body, query={"partNumber": str(number), "uploadId": upload}, **how)
                checksum = f"<ChecksumSHA256>{digest('sha256', body)}</ChecksumSHA256>" if algorithm else ""
                listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{hashlib.md5(body).hexdigest()}</ETag>{checksum}</Part>"
            server_run.done("POST", OTHER, key, f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode(), query={"uploadId": upload})
        for key, parts in (("open.bin", [1, 3]), ("raw/empty.bin", [])):
            [upload] = found("<UploadId>(.*?)</", server_run.done("POST", OTHER, key, query={"uploads": ""}, content_type="text/plain"))
            for number in parts:
                server_run.done("PUT", OTHER, key, b"part %d" % number, query={"partNumber": str(number), "uploadId": upload})
        cors = "<CORSConfiguration><CORSRule><ID>shop</ID><AllowedOrigin>https://*.shop.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>*</AllowedHeader>"
        cors += "<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>"
        server_run.done("PUT", OTHER, "", cors.encode(), query={"cors": ""})
        [arn, *_] = found("<CloudFunction>(.*?)</", server_run.done("GET", SOURCE, query={"notification": ""}))
        rule = "<S3Key><FilterRule><Name>prefix</Name><Value>raw/</Value></FilterRule><FilterRule><Name>suffix</Name><Value>.photo</Value></FilterRule></S3Key>"
        function = f"<Id>mine</Id><CloudFunction>{arn}</CloudFunction><Event>s3:ObjectCreated:*</Event><Filter>{rule}</Filter>"
        notification = f"<CloudFunctionConfiguration>{function}</CloudFunctionConfiguration>"
        server_run.done("PUT", OTHER, "", f"<NotificationConfiguration>{notification}</NotificationConfiguration>".encode(), query={"notification": ""})
        server_run.done("PUT", OTHER, "raw/a.photo", sample_images.distinct_jpeg("photo"))
    with ServerRun(folder, at(5), waiting=0) as server_run:
        server_run.done("PUT", SOURCE, "twice.jpg", sample_images.distinct_jpeg("second"))
        server_run.done("DELETE", SOURCE, "gone.jpg")
        for key in ("stays.jpg", "goes.jpg"):
            server_run.done("PUT", MIRRORED, key, sample_images.distinct_jpeg(key))
        server_run.done("DELETE", MIRRORED, "goes.jpg")
        server_run.page("/dead-letters", "POST", "action=redrive&all=1&prefix=text")
        server_run.settle()
        wait_for_a_retry(server_run)
    with ServerRun(folder, at(8), SETTINGS + QUOTA) as server_run:
        for _ in range(2):
            assert asked_by_key(server_run) == 404
    (folder / "settings.toml").write_text(SETTINGS)


def wait_for_a_retry(server_run):
    """Leaves an event that waits for its second attempt: its source was corrupt during the first."""
    server_run.s3("DELETE", DESTINATION, "thumb_waiting.jpg")
    etag = hashlib.md5(IMAGES["waiting.jpg"]()).hexdigest()
    [file] = [path for path in (server_run.server.data / "objects").rglob("*") if path.is_file() and f'"etag":"{etag}"'.encode() in path.read_bytes()[:4096]]
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    server_run.page("/retry?key=waiting.jpg", "POST", "")
    until(lambda: (json.loads(server_run.page("/object?key=waiting.jpg"))["event"] or {}).get("failed") == 1, "an attempt has failed")
    # In place, so that the inode stays the same.
    file.write_bytes(good)


def asked_by_key(server_run):
    return ask(server_run.server.http_url, "GET", "/dev1/myimage?key=missing.jpg", {"x-api-key": API_KEY})[0]


def pack(folder, file):
    """Packs data and settings, without owners and times of this machine."""

    def plain(member):
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = int(WRITTEN.timestamp())
        return member

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in [folder / "settings.toml", *sorted((folder / "data").rglob("*"))]:
            archive.add(path, path.relative_to(folder), recursive=False, filter=plain)
    file.write_bytes(lzma.compress(out.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def unpack(file, folder):
    with tarfile.open(file, "r:xz") as archive:
        archive.extractall(folder, filter="data")


def checked(folder, *options):
    """Output lines of `tintype check` on a folder that no server has open."""
    where = ["--config", folder / "settings.toml", "--data", folder / "data", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    ended = run("check", *options, *where, env=clock(at(9)), cwd=folder)
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    return ended.stdout.decode().replace(str(folder), "<folder>").splitlines()


def stored(headers):
    """Response headers that are stored with an object."""
    prefixes = ("x-amz-meta-", "x-amz-checksum-")
    return {name: value for name, value in sorted(headers.items()) if name.startswith(prefixes) or name in STORED}


def seen(folder):
    """Everything that clients and operators see of a folder, as values to record; read-only."""
    known = {"check": checked(folder), "check --scrub": checked(folder, "--scrub")}
    with ServerRun(folder, at(10)) as server_run:
        listed = server_run.done("GET", "")
        known["buckets"] = {"": listed.decode()}
        objects, uploads = known.setdefault("objects", {}), known.setdefault("uploads", {})
        for bucket in found("<Name>(.*?)</Name>", listed):
            about = known["buckets"][bucket] = {}
            for query in ("location", "cors", "notification", "uploads", "list-type"):
                status, _, body = server_run.s3("GET", bucket, query={query: "2" if query == "list-type" else ""})
                about[query] = f"{status} " + re.sub(r"<RequestId>.*?</RequestId>", "", body.decode())
            for key in keys_of(about["list-type"]):
                status, sent, body = server_run.s3("GET", bucket, key, x_amz_checksum_mode="ENABLED")
                head_status, head, _ = server_run.s3("HEAD", bucket, key, x_amz_checksum_mode="ENABLED")
                assert (status, stored(sent)) == (head_status, stored(head)), key
                objects[f"{bucket}/{key}"] = {"status": status, "sha256": hashlib.sha256(body).hexdigest()} | stored(sent)
            for key, upload in re.findall(r"<Key>(.*?)</Key>.*?<UploadId>(.*?)</UploadId>", about["uploads"]):
                uploads[f"{bucket}/{key}"] = server_run.done("GET", bucket, key, query={"uploadId": upload}).decode()
        known["dead letters"] = server_run.command("dead-letters", "list")
        known["status"] = {key: json.loads(server_run.page(f"/object?key={signing.quote(key, safe='')}")) for key in IMAGES}
        known["status"][MIRRORED] = json.loads(server_run.page(f"/object?bucket={MIRRORED}&key=stays.jpg"))
        known["logs"] = server_run.command("logs", "--last", "1000")
        known["measurements"] = {
            query: json.loads(server_run.page(f"/metrics/query?{query}&period=60&start={at(0):%Y-%m-%dT%H:%M:%SZ}&end={at(9):%Y-%m-%dT%H:%M:%SZ}"))
            for query in (
                "metric=Made&statistic=Sum", "metric=Failed&statistic=Sum", "metric=Invocations&statistic=Sum", "metric=AsyncEventsDropped&statistic=Sum",
                "metric=Duration&statistic=SampleCount", "metric=Duration&statistic=p95", "metric=UploadToThumbnail&statistic=Maximum", "metric=DeadLetters&statistic=Maximum",
                "metric=S3Requests&statistic=Sum",
            )
        }  # fmt: skip
        known["backfill"] = server_run.command("backfill", "--dry-run")
        known["orphans"] = server_run.command("orphans")
        metrics = server_run.server.metrics()
        known["gauges"] = {name: metrics[name] for name in ("tintype_queue_depth", "tintype_dead_letters")}
    return known


def keys_of(listing):
    unescape = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#39;": "'", "&#x27;": "'"}
    for key in re.findall(r"<Key>(.*?)</Key>", listing):
        for code, sign in unescape.items():
            key = key.replace(code, sign)
        yield key.replace("&amp;", "&")


def text(known):
    return json.dumps(known, indent=1, ensure_ascii=False) + "\n"


def main():
    version = run("--version").stdout.decode().split()[1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "written"
        write(folder)
        number = (folder / "data" / "format").read_text().split()[-1]
        file = FIXTURES / f"format-{number}_tintype-{version}.tar.xz"
        FIXTURES.mkdir(exist_ok=True)
        pack(folder, file)
        again = Path(temporary) / "read"
        unpack(file, again)
        file.with_name(file.name.removesuffix(".tar.xz") + ".json").write_text(text(seen(again)))
    print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
