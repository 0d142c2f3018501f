"""Access keys and what they may do: boto3 and the AWS CLI, with the root key and keys of their own."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
import requests

from access_keys import Key, audit, code, keys
from errors import refused
from sample_images import jpeg
from tintype import DESTINATION, SOURCE, run
from waiting import until


@pytest.fixture
def server(new_server):
    return new_server(settings='[logs]\nformat = "json"\n').start()


def test_a_key_may_do_what_it_was_allowed_and_nothing_else(server):
    root = server.client()
    camera = Key(server, "camera", "--allow", f"write:{SOURCE}/raw/")
    root.put_object(Bucket=SOURCE, Key="private", Body=b"secret")
    assert code(camera.s3.put_object, Bucket=SOURCE, Key="raw/a.txt", Body=b"x") is None
    assert code(camera.s3.put_object, Bucket=SOURCE, Key="other/a.txt", Body=b"x") == "AccessDenied"
    assert code(camera.s3.put_object, Bucket=DESTINATION, Key="raw/a.txt", Body=b"x") == "AccessDenied"
    assert code(camera.s3.get_object, Bucket=SOURCE, Key="private") == "AccessDenied"
    assert code(camera.s3.get_object, Bucket=SOURCE, Key="raw/a.txt") == "AccessDenied"
    assert code(camera.s3.head_object, Bucket=SOURCE, Key="private") == "403"
    assert code(camera.s3.delete_object, Bucket=SOURCE, Key="raw/a.txt") == "AccessDenied"
    assert code(camera.s3.list_objects_v2, Bucket=SOURCE) == "AccessDenied"
    assert code(camera.s3.create_bucket, Bucket="its-own") == "AccessDenied"
    source = {"Bucket": SOURCE, "Key": "private"}
    assert code(camera.s3.copy_object, Bucket=SOURCE, Key="raw/b", CopySource=source) == "AccessDenied"
    # An ACL is a right of its own.
    assert code(camera.s3.put_object, Bucket=SOURCE, Key="raw/b", Body=b"", ACL="private") == "AccessDenied"
    upload = camera.s3.create_multipart_upload(Bucket=SOURCE, Key="raw/c")["UploadId"]
    copied = {"Bucket": SOURCE, "Key": "raw/c", "UploadId": upload, "PartNumber": 1, "CopySource": source}
    assert code(camera.s3.upload_part_copy, **copied) == "AccessDenied"
    assert code(camera.s3.list_parts, Bucket=SOURCE, Key="raw/c", UploadId=upload) is None
    errors = camera.s3.delete_objects(Bucket=SOURCE, Delete={"Objects": [{"Key": "raw/a.txt"}]})["Errors"]
    assert [error["Code"] for error in errors] == ["AccessDenied"]
    assert code(camera.s3.get_object, Bucket="not-there", Key="a") == "NoSuchBucket"
    assert camera.s3.list_buckets()["Buckets"] == []
    # Nothing was changed by what was denied.
    assert [found["Key"] for found in root.list_objects_v2(Bucket=SOURCE)["Contents"]] == ["private", "raw/a.txt"]
    assert root.get_object(Bucket=SOURCE, Key="private")["Body"].read() == b"secret"


def test_listings_are_bounded_by_their_prefix(server):
    shop = Key(server, "shop", "--allow", f"list:{SOURCE}/raw/", "--allow", f"read:{SOURCE}/raw/")
    root = server.client()
    for key in ("raw/a", "secret/b"):
        root.put_object(Bucket=SOURCE, Key=key, Body=b"x")
    for listing in (shop.s3.list_objects_v2, shop.s3.list_objects, shop.s3.list_multipart_uploads):
        assert code(listing, Bucket=SOURCE, Prefix="raw/") is None
        assert code(listing, Bucket=SOURCE, Prefix="raw/x") is None
        for prefix in ({}, {"Prefix": ""}, {"Prefix": "raw"}, {"Prefix": "secret/"}):
            assert code(listing, Bucket=SOURCE, **prefix) == "AccessDenied", prefix
    assert shop.s3.get_object(Bucket=SOURCE, Key="raw/a")["Body"].read() == b"x"
    assert code(shop.s3.get_object, Bucket=SOURCE, Key="secret/b") == "AccessDenied"
    url = shop.s3.generate_presigned_url("get_object", Params={"Bucket": SOURCE, "Key": "secret/b"})
    assert requests.get(url, timeout=30).status_code == 403
    url = shop.s3.generate_presigned_url("get_object", Params={"Bucket": SOURCE, "Key": "raw/a"})
    assert requests.get(url, timeout=30).content == b"x"


def test_buckets_are_of_the_key_that_created_them(server):
    alice = Key(server, "alice", "--preset", "bucket-owner")
    bob = Key(server, "bob", "--preset", "bucket-owner")
    alice.s3.create_bucket(Bucket="of-alice")
    bob.s3.create_bucket(Bucket="of-bob")
    alice.s3.put_object(Bucket="of-alice", Key="a", Body=b"hers", ACL="private")
    assert code(alice.s3.create_bucket, Bucket="of-alice") is None
    assert code(bob.s3.create_bucket, Bucket="of-alice") == "BucketAlreadyExists"
    for call, more in (
        (bob.s3.get_object, {"Key": "a"}),
        (bob.s3.delete_object, {"Key": "a"}),
        (bob.s3.list_objects_v2, {}),
        (bob.s3.delete_bucket, {}),
        (bob.s3.get_bucket_cors, {}),
        (bob.s3.get_bucket_location, {}),
    ):
        assert code(call, Bucket="of-alice", **more) == "AccessDenied", call
    names = lambda s3: [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert (names(alice.s3), names(bob.s3)) == (["of-alice"], ["of-bob"])
    assert names(server.client()) == [SOURCE, "of-alice", "of-bob", DESTINATION]
    everything = Key(server, "lister", "--allow", "list:*")
    assert len(names(everything.s3)) == 4
    assert alice.s3.get_object(Bucket="of-alice", Key="a")["Body"].read() == b"hers"
    # Ownership is stored.
    server.stop()
    server.start()
    alice.use({"access_key_id": alice.id, "secret_access_key": alice.secret})
    bob.use({"access_key_id": bob.id, "secret_access_key": bob.secret})
    assert code(bob.s3.get_object, Bucket="of-alice", Key="a") == "AccessDenied"
    alice.s3.delete_object(Bucket="of-alice", Key="a")
    alice.s3.delete_bucket(Bucket="of-alice")
    assert names(alice.s3) == []


def test_a_removed_key_is_refused_at_once_and_a_rotated_one_has_two_secrets(server):
    key = Key(server, "k", "--allow", f"read:{SOURCE}", "--allow", f"write:{SOURCE}")
    key.s3.put_object(Bucket=SOURCE, Key="a.txt", Body=b"x")
    old = key.s3
    key.use(keys(server, "rotate", "k")[0])
    for client in (old, key.s3):
        assert client.get_object(Bucket=SOURCE, Key="a.txt")["Body"].read() == b"x"
    assert run("keys", "rotate", "--server", server.http_url, "--data", server.data, "k").returncode == 1
    assert keys(server, "rotate", "k", "--finish") == [{"name": "k", "access_key_id": key.id}]
    assert code(old.get_object, Bucket=SOURCE, Key="a.txt") == "InvalidAccessKeyId"
    assert code(key.s3.get_object, Bucket=SOURCE, Key="a.txt") is None
    (listed,) = keys(server, "list")
    assert (listed["name"], listed["access_key_ids"]) == ("k", [key.id])
    assert listed["last_used_ms"] > 0 and key.secret not in json.dumps(listed)
    # Keys and their last use outlive the server.
    server.stop()
    server.start()
    key.use({"access_key_id": key.id, "secret_access_key": key.secret})
    (after,) = keys(server, "list")
    assert after["last_used_ms"] >= listed["last_used_ms"]
    assert code(key.s3.get_object, Bucket=SOURCE, Key="a.txt") is None
    keys(server, "remove", "k")
    assert code(key.s3.get_object, Bucket=SOURCE, Key="a.txt") == "InvalidAccessKeyId"
    assert keys(server, "list") == []
    assert (server.data / "ledger.redb").stat().st_mode & 0o077 == 0
    assert key.secret not in server.log_text()


def test_what_is_wrong_with_a_key_is_named(server):
    Key(server, "k")
    for arguments, part in (
        (["add", "k"], "there is an access key"),
        (["add", "a b"], "is no name of an access key"),
        (["add", "root"], "the server itself has it"),
        (["add", "a", "--allow", "wirte:in"], "did you mean"),
        (["add", "a", "--preset", "operater"], "did you mean"),
        (["rotate", "nobody"], "there is no access key"),
        (["remove", "nobody"], "there is no access key"),
        (["rotate", "k", "--finish"], "one secret only"),
    ):
        done = run("keys", arguments[0], "--server", server.http_url, "--data", server.data, *arguments[1:])
        assert done.returncode == 1 and part in done.stderr.decode(), (arguments, done.stderr)
    # Programs of this machine that are trusted elsewhere need a key here.
    assert run("keys", "list", "--server", server.http_url).returncode == 1


def test_a_quota_bounds_the_bytes_of_a_day(server):
    key = Key(server, "k", "--allow", f"write:{SOURCE}", "--allow", f"read:{SOURCE}", "--daily-bytes", "1000")
    key.s3.put_object(Bucket=SOURCE, Key="a", Body=b"x" * 600)
    assert code(key.s3.put_object, Bucket=SOURCE, Key="b", Body=b"x" * 600) == "QuotaExceeded"
    copy = {"Bucket": SOURCE, "Key": "b", "CopySource": {"Bucket": SOURCE, "Key": "a"}}
    assert code(key.s3.copy_object, **copy) == "QuotaExceeded"
    key.s3.put_object(Bucket=SOURCE, Key="b", Body=b"x" * 400)
    assert code(key.s3.put_object, Bucket=SOURCE, Key="c", Body=b"x") == "QuotaExceeded"
    form = key.s3.generate_presigned_post(SOURCE, "d")
    posted = requests.post(form["url"], data=form["fields"], files={"file": b"x"}, timeout=30)
    assert posted.status_code == 403 and "QuotaExceeded" in posted.text
    assert keys(server, "list")[0]["uploaded_today"] == 1000
    # A body whose length is not known before would be counted by nothing.
    upload = key.s3.create_multipart_upload(Bucket=SOURCE, Key="e")["UploadId"]
    put = {"Bucket": SOURCE, "Key": "e"}
    for operation, parameters in (("put_object", put), ("upload_part", put | {"UploadId": upload, "PartNumber": 1})):
        url = key.s3.generate_presigned_url(operation, Params=parameters)
        sent = requests.put(url, data=iter([b"x" * 5000]), timeout=30)
        assert sent.status_code == 411 and "MissingContentLength" in sent.text
    assert code(server.client().head_object, Bucket=SOURCE, Key="e") == "404"
    server.client().put_object(Bucket=SOURCE, Key="c", Body=b"x")


def test_each_decision_to_write_delete_or_deny_has_a_line(server):
    key = Key(server, "camera", "--allow", f"write:{SOURCE}/raw/")
    key.s3.put_object(Bucket=SOURCE, Key="raw/a", Body=b"x")
    assert code(key.s3.delete_object, Bucket=SOURCE, Key="raw/a") == "AccessDenied"
    assert code(key.s3.get_object, Bucket=SOURCE, Key="raw/a") == "AccessDenied"
    server.client().delete_object(Bucket=SOURCE, Key="raw/a")
    until(lambda: len(audit(server)) >= 6, "six lines")
    lines = audit(server)
    shown = [(line["principal"], line["action"], line["resource"], line["decision"]) for line in lines]
    object_arn = f"arn:aws:s3:::{SOURCE}/raw/a"
    root = server.credentials[0]
    assert shown[-4:] == [
        ("camera", "s3:PutObject", object_arn, "allow"),
        ("camera", "s3:DeleteObject", object_arn, "deny"),
        ("camera", "s3:GetObject", object_arn, "deny"),
        (root, "s3:DeleteObject", object_arn, "allow"),
    ]
    assert lines[-4]["rule"] == "allowed by identity policy, statement 0"
    added = (root, "tintype:AdministerKeys", "arn:aws:iam::000000000000:user/camera", "allow")
    assert (shown[-5], lines[-5]["change"]) == (added, "add")
    assert shown[-6] == (root, "tintype:AdministerKeys", "/keys", "allow")
    assert lines[-5]["request_id"] == lines[-6]["request_id"]
    # An upload to the API has one, whoever sends it.
    posted = requests.post(
        server.api_url, jpeg(300, 200), params={"key": "new.jpg"}, auth=server.credentials,
        headers={"content-type": "image/jpeg"}, timeout=60,
    )
    assert posted.status_code == 200, posted.text
    new = (root, "s3:PutObject", f"arn:aws:s3:::{SOURCE}/new.jpg", "allow")
    shown = lambda: [(line["principal"], line["action"], line["resource"], line["decision"]) for line in audit(server)]
    until(lambda: new in shown(), "the upload has its line")


def test_an_upload_at_the_console_is_an_upload_of_the_key(server):
    operator = Key(server, "operator", "--preset", "operator")
    rights = ("--preset", "operator", "--allow", f"write:{SOURCE}/raw/", "--daily-bytes", "20000")
    uploader = Key(server, "uploader", *rights)
    image = jpeg(300, 200)
    assert len(image) < 20000
    upload = lambda key, name, body=image: requests.post(
        f"{server.http_url}/upload", body, params={"key": name}, auth=key.basic, timeout=60
    )
    for key, name in ((operator, "raw/a.jpg"), (uploader, "other.jpg")):
        denied = upload(key, name)
        assert denied.status_code == 403 and "s3:PutObject" in denied.json()["message"]
    assert upload(uploader, "raw/a.jpg").status_code == 200
    assert server.thumbnail("thumb_raw/a.jpg")["Bytes"]
    exceeded = upload(uploader, "raw/b.jpg", image + bytes(20000))
    assert exceeded.status_code == 403 and "may upload 20000 bytes a day" in exceeded.json()["message"]
    assert code(server.client().head_object, Bucket=SOURCE, Key="raw/b.jpg") == "404"
    lines = [(line["principal"], line["resource"], line["decision"]) for line in audit(server)]
    assert ("uploader", f"arn:aws:s3:::{SOURCE}/raw/a.jpg", "allow") in lines
    assert ("operator", f"arn:aws:s3:::{SOURCE}/raw/a.jpg", "deny") in lines


def test_a_notification_needs_the_right_to_what_it_writes(server):
    owner = Key(server, "owner", "--preset", "bucket-owner")
    both = Key(server, "both", "--preset", "bucket-owner", "--allow", f"write:{DESTINATION}")
    function = server.client().get_bucket_notification_configuration(Bucket=SOURCE)
    arn = function["LambdaFunctionConfigurations"][0]["LambdaFunctionArn"]
    configuration = lambda *events: {
        "LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": list(events)}]
    }
    created, removed = "s3:ObjectCreated:*", "s3:ObjectRemoved:*"
    for key in (owner, both):
        key.s3.create_bucket(Bucket=f"of-{key.name}")
    put = lambda key, of: code(
        key.s3.put_bucket_notification_configuration, Bucket=f"of-{key.name}", NotificationConfiguration=of
    )
    with refused("AccessDenied", 403, "s3:PutObject") as denied:
        owner.s3.put_bucket_notification_configuration(
            Bucket="of-owner", NotificationConfiguration=configuration(created)
        )
    # Where the function writes is for the log.
    assert DESTINATION not in str(denied.value)
    assert any(DESTINATION in line["resource"] for line in audit(server) if line["decision"] == "deny")
    assert put(owner, {}) is None
    assert put(both, configuration(created, removed)) == "AccessDenied"
    assert put(both, configuration(created)) is None
    both.s3.put_object(Bucket="of-both", Key="a.jpg", Body=jpeg(300, 200))
    assert server.thumbnail("thumb_a.jpg")["Bytes"]


def narrowed(policy, resource):
    """The same policy, in which objects may be read of one resource alone."""
    document = json.loads(policy.read_text())
    document["Statement"][1]["Resource"] = resource
    other = policy.with_name("narrowed.json")
    other.write_text(json.dumps(document))
    return other


def test_the_api_needs_its_own_right_and_that_of_the_object(server, tmp_path):
    policy = tmp_path / "policy.json"
    allow = lambda actions, resource: {"Effect": "Allow", "Action": actions, "Resource": resource}
    policy.write_text(
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    allow("execute-api:Invoke", "*"),
                    allow("s3:GetObject", [f"arn:aws:s3:::{SOURCE}/raw/*", f"arn:aws:s3:::{DESTINATION}/*"]),
                    allow("s3:PutObject", f"arn:aws:s3:::{SOURCE}/raw/*"),
                ],
            }
        )
    )
    user = Key(server, "user", "--policy", policy)
    without = Key(server, "without", "--allow", "read:*")
    root = server.client()
    for key in ("raw/a.jpg", "secret.jpg"):
        root.put_object(Bucket=SOURCE, Key=key, Body=jpeg(300, 200))
    get = lambda key, auth, path="": requests.get(
        f"{server.api_url}{path}", params={"key": key}, auth=auth, timeout=60
    ).status_code
    server.wait_until_idle()
    for path in ("", "/info"):
        assert get("raw/a.jpg", user.basic, path) == 200
        assert get("secret.jpg", server.credentials, path) == 200
        # Also where the answer is cached.
        assert get("secret.jpg", user.basic, path) == 403
        assert get("raw/a.jpg", without.basic, path) == 403
        assert get("raw/a.jpg", None, path) == 403
    # No cache that others share stores what a key was answered,.
    for _ in range(2):
        for pair in (user.basic, server.credentials):
            answer = requests.get(server.api_url, params={"key": "raw/a.jpg"}, auth=pair, timeout=60)
            assert answer.headers["Cache-Control"] == "private, max-age=300"
    # What is known of a thumbnail is for whoever may read it.
    sources = Key(server, "sources", "--policy", narrowed(policy, f"arn:aws:s3:::{SOURCE}/raw/*"))
    info = lambda pair: requests.get(f"{server.api_url}/info", params={"key": "raw/a.jpg"}, auth=pair, timeout=60).json()
    assert [one["state"] for one in info(user.basic)["renditions"]] == ["current"]
    assert info(sources.basic)["renditions"] == []
    event = {"Records": [{"s3": {"bucket": {"name": SOURCE}, "object": {"key": "secret.jpg"}}}]}
    posted = requests.post(server.api_url, json=event, auth=user.basic, timeout=60)
    assert posted.status_code != 200 or "secret.jpg" not in posted.text or "not authorized" in posted.text
    form = requests.post(f"{server.api_url}/uploads", json={"key": "raw/form.jpg"}, auth=user.basic, timeout=60)
    assert user.id in form.text and server.credentials[0] not in form.text
    # The console and what operators use.
    for path in ("/", "/logs", "/results", "/metrics", "/object?key=secret.jpg", "/picture?key=secret.jpg", "/preview?key=secret.jpg", "/download?key=secret.jpg", "/gallery", "/keys"):
        for auth in (user.basic, without.basic, None):
            answer = requests.get(server.http_url + path, auth=auth, allow_redirects=False, timeout=30)
            assert answer.status_code in (401, 403, 303), (path, answer.status_code)
    operator = Key(server, "operator", "--preset", "operator")
    for path, expected in (("/", 200), ("/metrics", 200), ("/object?key=secret.jpg", 200), ("/keys", 403)):
        assert requests.get(server.http_url + path, auth=operator.basic, timeout=30).status_code == expected, path
    login = lambda pair: requests.post(
        f"{server.http_url}/login",
        data={"access_key_id": pair[0], "secret_access_key": pair[1]},
        allow_redirects=False,
        timeout=30,
    )
    assert login(user.basic).status_code == 403
    session = login(operator.basic)
    assert session.status_code == 303
    page = lambda: requests.get(f"{server.http_url}/logs", cookies=session.cookies, timeout=30).status_code
    assert page() == 200
    keys(server, "remove", "operator")
    assert page() in (401, 403)


def test_keys_of_the_settings_are_read_again(new_server):
    key = lambda secret, allow: (
        f'[[access]]\nname = "camera"\naccess_key_id = "TTCAMERA"\nsecret_access_key = "{secret}"\nallow = ["{allow}"]\n'
    )
    first, second = "first-secret-of-the-camera", "second-secret-of-the-camera"
    server = new_server(settings=key(first, f"write:{SOURCE}")).start()
    put = lambda secret: code(
        server.client("TTCAMERA", secret).put_object, Bucket=SOURCE, Key="a.txt", Body=b"x"
    )
    assert (put(first), put(second)) == (None, "SignatureDoesNotMatch")
    (listed,) = keys(server, "list")
    assert (listed["name"], listed["created_ms"]) == ("camera", None)
    done = run("keys", "remove", "--server", server.http_url, "--data", server.data, "camera")
    assert done.returncode == 1 and "in the settings" in done.stderr.decode()
    server.config.write_text(key(second, f"write:{SOURCE}"))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: put(second) is None, "the new secret is valid")
    assert put(first) == "SignatureDoesNotMatch"
    server.config.write_text(key(second, f"read:{SOURCE}"))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: put(second) == "AccessDenied", "the rights are others")
    assert first not in server.log_text() and second not in server.log_text()


def test_the_aws_cli_with_a_key_of_its_own(server):
    key = Key(server, "cli", "--allow", f"write:{SOURCE}/raw/", "--allow", f"list:{SOURCE}/raw/")
    env = server.tool_environment() | {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}
    file = Path(server.folder / "a.jpg")
    file.write_bytes(jpeg(300, 200))
    aws = lambda *arguments: subprocess.run(
        ["aws", "--endpoint-url", server.s3_url, "s3", *arguments], env=env, capture_output=True, text=True, timeout=120
    )
    done = aws("cp", str(file), f"s3://{SOURCE}/raw/a.jpg")
    assert done.returncode == 0, done.stderr
    assert server.thumbnail("thumb_raw/a.jpg")["Bytes"]
    assert "a.jpg" in aws("ls", f"s3://{SOURCE}/raw/").stdout
    denied = aws("cp", f"s3://{SOURCE}/raw/a.jpg", str(file) + ".copy")
    assert denied.returncode != 0 and "403" in denied.stderr + denied.stdout
    denied = aws("cp", str(file), f"s3://{SOURCE}/other.jpg")
    assert denied.returncode != 0 and "AccessDenied" in denied.stderr


def test_streams_end_with_the_key_they_were_asked_for_with(server):
    operator = Key(server, "operator", "--preset", "operator")
    with requests.get(f"{server.http_url}/events", auth=operator.basic, stream=True, timeout=60) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        assert next(lines).startswith((":", "retry"))
        server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=jpeg())
        assert next(line for line in lines if line.startswith("data:"))
        keys(server, "remove", "operator")
        server.client().put_object(Bucket=SOURCE, Key="b.jpg", Body=jpeg())
        # It ends, also where nothing more happens.
        assert not [line for line in lines if line.startswith("data:") and "b.jpg" in line]


def test_the_console_shows_an_image_to_whoever_may_get_it(server, tmp_path):
    allow = lambda actions, resource="*": {"Effect": "Allow", "Action": actions, "Resource": resource}
    policy = tmp_path / "policy.json"
    statements = [
        allow(["tintype:Read", "tintype:Write"]),
        allow("s3:PutObject", f"arn:aws:s3:::{SOURCE}/*"),
        allow("s3:GetObject", f"arn:aws:s3:::{SOURCE}/open/*"),
        allow("s3:ListBucket", f"arn:aws:s3:::{SOURCE}") | {"Condition": {"StringLike": {"s3:prefix": "listed/*"}}},
    ]
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    clerk, operator = Key(server, "clerk", "--policy", policy), Key(server, "operator", "--preset", "operator")
    root = server.client()
    for key in ("open/a.jpg", "secret/b.jpg", "listed/c.jpg"):
        root.put_object(Bucket=SOURCE, Key=key, Body=jpeg(300, 200), Metadata={"photographer": "somebody"}, ContentType="image/jpeg")
    server.wait_until_idle()
    get = lambda path, key, pair: requests.get(f"{server.http_url}{path}", params={"key": key}, auth=pair, headers={"accept": "application/json"}, timeout=60)
    for path in ("/picture", "/preview", "/render", "/download"):
        assert get(path, "open/a.jpg", clerk.basic).status_code == 200, path
        assert get(path, "secret/b.jpg", operator.basic).status_code == 200, path
        # Also where another was shown it before.
        denied = get(path, "secret/b.jpg", clerk.basic)
        assert denied.status_code == 403 and "s3:GetObject" in denied.json()["message"], path
    shown = lambda key, pair: get("/object", key, pair).json()["object"]
    assert shown("open/a.jpg", clerk.basic) == shown("open/a.jpg", operator.basic)
    assert [get("/object", key, clerk.basic).status_code for key in ("secret/b.jpg", "secret/none.jpg")] == [403, 403]
    whole, part = shown("listed/c.jpg", operator.basic), shown("listed/c.jpg", clerk.basic)
    assert whole["metadata"] == {"photographer": "somebody"} and whole["content_type"] == "image/jpeg" and whole["image"]
    # As in a listing.
    assert part["size"] == whole["size"] and part["content_type"] is None
    assert not {"metadata", "image", "checksums"} & set(part)
    check = lambda pair, key: requests.post(f"{server.http_url}/upload/check", data={"key": key}, auth=pair, timeout=60).json()["existing"]
    # Nor do measurements name objects or buckets.
    measured = requests.get(f"{server.http_url}/metrics", auth=operator.basic, timeout=60).text
    assert "tintype_" in measured and "secret" not in measured and SOURCE not in measured
    assert check(clerk.basic, "secret/b.jpg") == [{"key": "secret/b.jpg"}]
    assert check(clerk.basic, "open/a.jpg")[0]["size"] == shown("open/a.jpg", operator.basic)["size"]


def test_streams_end_with_the_right_to_them(new_server):
    key = lambda preset: (
        '[[access]]\nname = "ops"\naccess_key_id = "TTOPS"\nsecret_access_key = "secret-of-the-operators"\n'
        f'preset = "{preset}"\n'
    )
    server = new_server(settings=key("operator")).start()
    pair = ("TTOPS", "secret-of-the-operators")
    follow = lambda path: requests.get(f"{server.http_url}{path}", auth=pair, stream=True, timeout=60)
    with follow("/events") as events, follow("/logs?follow=true") as logs:
        streams = [stream.iter_lines(decode_unicode=True) for stream in (events, logs)]
        server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=jpeg())
        for lines in streams:
            assert next(line for line in lines if "a.jpg" in str(line))
        server.config.write_text(key("uploader"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: requests.get(f"{server.http_url}/logs", auth=pair, timeout=30).status_code == 403, "the right is gone")
        server.client().put_object(Bucket=SOURCE, Key="b.jpg", Body=jpeg())
        for lines in streams:
            assert not [line for line in lines if "b.jpg" in str(line)]


def test_what_is_not_there_is_so_for_whoever_may_list_it(server, tmp_path):
    server.client().put_object(Bucket=SOURCE, Key="open/a", Body=b"x")
    lister = Key(server, "lister", "--allow", f"list:{SOURCE}/open/")
    for call, missing, denied in ((lister.s3.get_object, "NoSuchKey", "AccessDenied"), (lister.s3.head_object, "404", "403")):
        assert code(call, Bucket=SOURCE, Key="open/b") == missing
        for key in ("open/a", "secret/b"):
            assert code(call, Bucket=SOURCE, Key=key) == denied, key
    assert code(lister.s3.get_object_tagging, Bucket=SOURCE, Key="open/b") == "AccessDenied"


def test_an_access_key_in_the_settings_opens_the_port_to_it(new_server):
    access = '[[access]]\nname = "shop"\naccess_key_id = "TTSHOP"\nsecret_access_key = "secret-of-the-shop"\nallow = ["read:*"]\n'
    server = new_server(settings=access)
    server.http_listen = "0.0.0.0:0"
    server.start()
    port = server.http_url.rsplit(":", 1)[1]
    answer = requests.get(f"http://127.0.0.1:{port}/dev1/myimage", params={"key": "a.jpg"}, timeout=30)
    assert answer.status_code == 403
