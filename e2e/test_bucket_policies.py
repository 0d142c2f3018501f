"""Bucket policies, and what is public: nothing, until two things are said."""

import json

import pytest
import requests

from access_keys import Key, code
from sample_images import jpeg
from tintype import DESTINATION, SOURCE, run
from waiting import until


@pytest.fixture
def server(new_server):
    return new_server().start()


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statement(effect, principal, actions, resources, **more):
    return {"Effect": effect, "Principal": principal, "Action": actions, "Resource": resources, **more}


def arn(name):
    return {"AWS": f"arn:aws:iam::000000000000:user/{name}"}


def test_a_bucket_policy_allows_others_and_denies_first(server):
    alice = Key(server, "alice", "--preset", "bucket-owner")
    bob = Key(server, "bob")
    bucket, objects = "of-alice", "arn:aws:s3:::of-alice/*"
    alice.s3.create_bucket(Bucket=bucket)
    for key in ("a", "secret/b"):
        alice.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert code(alice.s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    written = policy(
        statement("Allow", arn("bob"), ["s3:GetObject", "s3:PutBucketPolicy"], [objects, "arn:aws:s3:::of-alice"]),
        statement("Deny", "*", "s3:GetObject", "arn:aws:s3:::of-alice/secret/*"),
    )
    alice.s3.put_bucket_policy(Bucket=bucket, Policy="  " + written)
    # As it was put, to the byte.
    assert alice.s3.get_bucket_policy(Bucket=bucket)["Policy"] == "  " + written
    assert alice.s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False
    assert bob.s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    for client in (bob.s3, alice.s3):
        assert code(client.get_object, Bucket=bucket, Key="secret/b") == "AccessDenied"
    assert server.client().get_object(Bucket=bucket, Key="secret/b")["Body"].read() == b"x"
    assert code(bob.s3.put_object, Bucket=bucket, Key="c", Body=b"") == "AccessDenied"
    assert code(bob.s3.get_bucket_policy, Bucket=bucket) == "AccessDenied"
    for wrong in ("{", policy(statement("Allow", "*", "s3:GetObject", "arn:aws:s3:::other/*")), policy()):
        assert code(alice.s3.put_bucket_policy, Bucket=bucket, Policy=wrong) == "MalformedPolicy"
    # It outlives the server.
    server.stop()
    server.start()
    assert code(bob.use({"access_key_id": bob.id, "secret_access_key": bob.secret}).s3.get_object, Bucket=bucket, Key="a") is None
    server.client().delete_bucket_policy(Bucket=bucket)
    assert code(bob.s3.get_object, Bucket=bucket, Key="a") == "AccessDenied"


def test_nothing_is_public_until_two_things_are_said(server):
    root = server.client()
    root.create_bucket(Bucket="pictures")
    root.put_object(Bucket="pictures", Key="open/a", Body=b"public")
    root.put_object(Bucket="pictures", Key="b", Body=b"private")
    get = lambda key: requests.get(f"{server.s3_url}/pictures/{key}", timeout=30)
    everybody = policy(statement("Allow", "*", "s3:GetObject", "arn:aws:s3:::pictures/open/*"))
    assert get("open/a").status_code == 403 and "AccessDenied" in get("open/a").text
    block = root.get_public_access_block(Bucket="pictures")["PublicAccessBlockConfiguration"]
    assert all(block.values()) and len(block) == 4
    assert code(root.put_bucket_policy, Bucket="pictures", Policy=everybody) == "AccessDenied"
    root.delete_public_access_block(Bucket="pictures")
    assert code(root.get_public_access_block, Bucket="pictures") == "NoSuchPublicAccessBlockConfiguration"
    root.put_bucket_policy(Bucket="pictures", Policy=everybody)
    assert root.get_bucket_policy_status(Bucket="pictures")["PolicyStatus"]["IsPublic"] is True
    assert get("open/a").content == b"public"
    assert requests.head(f"{server.s3_url}/pictures/open/a", timeout=30).status_code == 200
    assert get("b").status_code == 403 and get("").status_code == 403
    for method, path in (("PUT", "open/a"), ("DELETE", "open/a"), ("PUT", ""), ("DELETE", ""), ("POST", "?delete")):
        answer = requests.request(method, f"{server.s3_url}/pictures/{path}", data=b"", timeout=30)
        assert answer.status_code in (400, 403), (method, path, answer.text)
    assert requests.get(server.s3_url, timeout=30).status_code == 403
    # What is not there looks as what is.
    unknown = requests.post(f"{server.s3_url}/not-there?delete", data=b"", timeout=30)
    assert unknown.status_code == 403 and "AccessDenied" in unknown.text
    # Nobody without a key says what a page of this server is.
    for key in ("open/a", "b"):
        typed = get(f"{key}?response-content-type=text/html")
        assert typed.status_code == 400 and "InvalidRequest" in typed.text
    assert get("open/a").content == b"public"
    # `check` says so; what is blocked again is public no more.
    server.stop()
    checked = run("check", "--data", server.data, "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0").stdout.decode()
    assert "by policies and ACLs of buckets: pictures" in checked
    server.start()
    assert get("open/a").content == b"public"
    restricted = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    server.client().put_public_access_block(Bucket="pictures", PublicAccessBlockConfiguration=restricted)
    assert get("open/a").status_code == 403


def test_without_the_default_a_policy_is_enough(new_server):
    server = new_server(settings="[storage]\nblock_public_access = false\n").start()
    root = server.client()
    root.put_object(Bucket=DESTINATION, Key="a", Body=b"x")
    assert code(root.get_public_access_block, Bucket=DESTINATION) == "NoSuchPublicAccessBlockConfiguration"
    root.put_bucket_policy(
        Bucket=DESTINATION,
        Policy=policy(statement("Allow", "*", "s3:GetObject", f"arn:aws:s3:::{DESTINATION}/*")),
    )
    assert requests.get(f"{server.s3_url}/{DESTINATION}/a", timeout=30).content == b"x"
    assert requests.get(f"{server.s3_url}/{SOURCE}/a", timeout=30).status_code == 403
    missing = requests.get(f"{server.s3_url}/nowhere/a", timeout=30)
    assert (missing.status_code, "<Code>NoSuchBucket</Code>" in missing.text) == (404, True)


def test_by_default_nobody_learns_which_buckets_there_are(server):
    answers = [requests.get(f"{server.s3_url}/{bucket}/a", timeout=30) for bucket in (SOURCE, "nowhere")]
    assert [(answer.status_code, "<Code>AccessDenied</Code>" in answer.text) for answer in answers] == [(403, True)] * 2


def test_creating_ones_own_bucket_again_sets_its_acl(new_server):
    server = new_server(settings="[storage]\nblock_public_access = false\n").start()
    root = server.client()
    shown = lambda: requests.get(f"{server.s3_url}/pictures", timeout=30).status_code
    root.create_bucket(Bucket="pictures", ACL="public-read")
    assert shown() == 200
    root.create_bucket(Bucket="pictures")
    assert shown() == 403
    root.put_public_access_block(Bucket="pictures", PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    assert code(root.create_bucket, Bucket="pictures", ACL="public-read") == "AccessDenied"
    assert shown() == 403


def test_a_public_acl_counts_where_it_may(new_server):
    server = new_server(settings="[storage]\nblock_public_access = false\n").start()
    root = server.client()
    get = lambda path: requests.get(f"{server.s3_url}/{path}", timeout=30)
    root.create_bucket(Bucket="pictures")
    root.put_object(Bucket="pictures", Key="a", Body=b"a", ACL="public-read")
    root.put_object(Bucket="pictures", Key="b", Body=b"b")
    root.copy_object(Bucket="pictures", Key="c", CopySource="pictures/a")
    root.copy_object(Bucket="pictures", Key="d", CopySource="pictures/b", ACL="public-read")
    upload = root.create_multipart_upload(Bucket="pictures", Key="e", ACL="public-read")["UploadId"]
    part = root.upload_part(Bucket="pictures", Key="e", UploadId=upload, PartNumber=1, Body=b"e")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    root.complete_multipart_upload(Bucket="pictures", Key="e", UploadId=upload, MultipartUpload=parts)
    form = root.generate_presigned_post("pictures", "f", {"acl": "public-read"}, [{"acl": "public-read"}])
    assert requests.post(form["url"], data=form["fields"], files={"file": b"f"}, timeout=30).status_code == 204
    for key, is_public in (("a", True), ("b", False), ("c", False), ("d", True), ("e", True), ("f", True)):
        assert get(f"pictures/{key}").status_code == (200 if is_public else 403), key
        assert len(root.get_object_acl(Bucket="pictures", Key=key)["Grants"]) == 1 + is_public, key
    # Only to read, and only as long as it is the same object.
    assert requests.put(f"{server.s3_url}/pictures/a", data=b"x", timeout=30).status_code == 403
    root.put_object(Bucket="pictures", Key="a", Body=b"private again")
    assert get("pictures/a").status_code == 403
    root.put_object_acl(Bucket="pictures", Key="a", ACL="public-read")
    assert get("pictures/a").content == b"private again"
    assert get("pictures").status_code == 403
    root.put_bucket_acl(Bucket="pictures", ACL="public-read")
    assert "<Key>b</Key>" in get("pictures").text and get("pictures/b").status_code == 403
    ignored = {"IgnorePublicAcls": True}
    root.put_public_access_block(Bucket="pictures", PublicAccessBlockConfiguration=ignored)
    assert get("pictures/a").status_code == 403 and get("pictures").status_code == 403
    blocked = {"BlockPublicAcls": True}
    root.put_public_access_block(Bucket="pictures", PublicAccessBlockConfiguration=blocked)
    assert get("pictures/a").status_code == 200
    for call, more in ((root.put_object, {"Body": b""}), (root.put_object_acl, {})):
        assert code(call, Bucket="pictures", Key="a", ACL="public-read", **more) == "AccessDenied"
    assert code(root.put_bucket_acl, Bucket="pictures", ACL="public-read") == "AccessDenied"
    # What a policy denies no ACL allows.
    denied = policy(statement("Deny", "*", "s3:GetObject", "arn:aws:s3:::pictures/d"))
    root.put_bucket_policy(Bucket="pictures", Policy=denied)
    assert (get("pictures/a").status_code, get("pictures/d").status_code) == (200, 403)


def grants(answer):
    """What an ACL allows, in short."""
    return [(one["Grantee"].get("URI", "owner").rsplit("/")[-1], one["Permission"]) for one in answer["Grants"]]


def test_canned_acls_mean_what_s3_says(new_server):
    server = new_server(settings="[storage]\nblock_public_access = false\n").start()
    owner, other = Key(server, "owner", "--policy", creator(server)), Key(server, "other")
    url = lambda: f"{server.s3_url}/pictures"
    owner.s3.create_bucket(Bucket="pictures", ACL="authenticated-read")
    assert grants(owner.s3.get_bucket_acl(Bucket="pictures")) == [("AuthenticatedUsers", "READ"), ("owner", "FULL_CONTROL")]
    at = {"Bucket": "pictures", "Key": "a"}
    # Whoever has a key may list; the object is private.
    owner.s3.put_object(**at, Body=b"a")
    assert other.s3.list_objects_v2(Bucket="pictures")["KeyCount"] == 1
    assert requests.get(url(), timeout=30).status_code == 403
    assert code(other.s3.get_object, **at) == "AccessDenied"
    # An object's own; a write grant on an object means nothing.
    for acl, by_key, by_anybody, group in (
        ("authenticated-read", True, False, [("AuthenticatedUsers", "READ")]),
        ("public-read-write", True, True, [("AllUsers", "READ"), ("AllUsers", "WRITE")]),
        ("bucket-owner-read", False, False, []),
        ("public-read", True, True, [("AllUsers", "READ")]),
    ):
        owner.s3.put_object(**at, Body=b"a", ACL=acl)
        found = owner.s3.get_object_acl(**at)
        assert grants(found) == [*group, ("owner", "FULL_CONTROL")], acl
        assert (code(other.s3.get_object, **at) is None) == by_key, acl
        assert (requests.get(f"{url()}/a", timeout=30).status_code == 200) == by_anybody, acl
        assert code(other.s3.put_object, **at, Body=b"b") == "AccessDenied", acl
        assert code(other.s3.get_object_acl, **at) == "AccessDenied", acl
        # Written out it is the same again, and an object that is put again is private again.
        owner.s3.put_object(**at, Body=b"a")
        assert grants(owner.s3.get_object_acl(**at)) == [("owner", "FULL_CONTROL")]
        written = {"Grants": found["Grants"], "Owner": found["Owner"]}
        owner.s3.put_object_acl(**at, AccessControlPolicy=written)
        assert grants(owner.s3.get_object_acl(**at)) == [*group, ("owner", "FULL_CONTROL")], acl
    # Everybody may put, and neither read what is there nor delete it.
    owner.s3.put_object(**at, Body=b"a")
    owner.s3.put_bucket_acl(Bucket="pictures", ACL="public-read-write")
    assert requests.put(f"{url()}/b", data=b"b", timeout=30).status_code == 200
    assert code(other.s3.put_object, Bucket="pictures", Key="c", Body=b"c") is None
    assert code(other.s3.put_object, Bucket="pictures", Key="c", Body=b"c", ACL="public-read") == "AccessDenied"
    assert code(other.s3.delete_object, **at) == code(other.s3.get_object, **at) == "AccessDenied"
    assert code(other.s3.put_bucket_acl, Bucket="pictures", ACL="private") == "AccessDenied"
    # It outlives the server, and counts for nothing where public ACLs are ignored.
    server.stop()
    server.start()
    owner.use({"access_key_id": owner.id, "secret_access_key": owner.secret})
    assert grants(owner.s3.get_bucket_acl(Bucket="pictures"))[:2] == [("AllUsers", "READ"), ("AllUsers", "WRITE")]
    assert requests.put(f"{url()}/b", data=b"b", timeout=30).status_code == 200
    owner.s3.put_public_access_block(Bucket="pictures", PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    assert requests.put(f"{url()}/b", data=b"b", timeout=30).status_code == 403


def creator(server):
    """The file of a policy that allows to create buckets, whatever is said of them."""
    path = server.data.parent / "creator.json"
    actions = ["s3:CreateBucket", "s3:PutBucketAcl", "s3:PutBucketOwnershipControls"]
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}}))
    return path


def controls(name):
    return {"Rules": [{"ObjectOwnership": name}]}


def test_ownership_controls_disable_acls(new_server):
    server = new_server(settings="[storage]\nblock_public_access = false\n").start()
    owner, other = Key(server, "owner", "--policy", creator(server)), Key(server, "other")
    bare = Key(server, "bare", "--preset", "bucket-owner")
    s3, enforced = owner.s3, "BucketOwnerEnforced"
    # To say it at once takes the right to say it.
    assert code(bare.s3.create_bucket, Bucket="of-bare", ObjectOwnership=enforced) == "AccessDenied"
    contradiction = "InvalidBucketAclWithObjectOwnership"
    assert code(s3.create_bucket, Bucket="one", ObjectOwnership=enforced, ACL="public-read") == contradiction
    assert code(s3.head_bucket, Bucket="one") == "404"
    for name in (enforced, "BucketOwnerPreferred", "ObjectWriter"):
        bucket = f"created-as-{name.lower()}"
        s3.create_bucket(Bucket=bucket, ObjectOwnership=name)
        assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == controls(name)
        # It is there: what it is to be then is not ignored.
        others = "ObjectWriter" if name == enforced else enforced
        assert code(s3.create_bucket, Bucket=bucket, ObjectOwnership=others) == "BucketAlreadyOwnedByYou"
        assert code(s3.create_bucket, Bucket=bucket, ObjectOwnership=name) is None
        assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == controls(name)
    # ACLs count, until they are disabled, and again afterwards.
    s3.create_bucket(Bucket="pictures", ACL="public-read")
    at = {"Bucket": "pictures", "Key": "a"}
    s3.put_object(**at, Body=b"a", ACL="public-read")
    get = lambda: requests.get(f"{server.s3_url}/pictures/a", timeout=30).status_code
    put = lambda name: code(s3.put_bucket_ownership_controls, Bucket="pictures", OwnershipControls=controls(name))
    assert (put(enforced), get()) == (contradiction, 200)
    s3.put_bucket_acl(Bucket="pictures", ACL="private")
    assert (put("ObjectWriter"), get()) == (None, 200)
    assert (put(enforced), get()) == (None, 403)
    assert code(other.s3.get_object, **at) == "AccessDenied"
    assert grants(s3.get_object_acl(**at)) == grants(s3.get_bucket_acl(Bucket="pictures")) == [("owner", "FULL_CONTROL")]
    s3.put_object(Bucket="pictures", Key="e", Body=b"e")
    # What names the owner's full control, or no ACL, is done; everything else is refused.
    unsupported = "AccessControlListNotSupported"
    form = lambda acl: server.client(owner.id, owner.secret).generate_presigned_post("pictures", "f", {"acl": acl}, [{"acl": acl}])
    for acl, expected in (("bucket-owner-full-control", None), ("private", unsupported), ("public-read", unsupported)):
        assert code(s3.put_object, Bucket="pictures", Key="b", Body=b"b", ACL=acl) == expected, acl
        assert code(s3.copy_object, Bucket="pictures", Key="c", CopySource="pictures/a", ACL=acl) == expected, acl
        assert code(s3.create_multipart_upload, Bucket="pictures", Key="d", ACL=acl) == expected, acl
        assert code(s3.put_object_acl, Bucket="pictures", Key="e", ACL=acl) == expected, acl
        assert code(s3.put_bucket_acl, Bucket="pictures", ACL=acl) == expected, acl
        sent = form(acl)
        answer = requests.post(sent["url"], data=sent["fields"], files={"file": b"f"}, timeout=30)
        assert answer.status_code == (400 if expected else 204) and (expected or "") in answer.text, acl
    for wrong in (controls("Nobody"), {"Rules": []}, {"Rules": [*controls(enforced)["Rules"], *controls("ObjectWriter")["Rules"]]}):
        assert code(s3.put_bucket_ownership_controls, Bucket="pictures", OwnershipControls=wrong) == "MalformedXML", wrong
    assert code(other.s3.get_bucket_ownership_controls, Bucket="pictures") == "AccessDenied"
    assert code(other.s3.delete_bucket_ownership_controls, Bucket="pictures") == "AccessDenied"
    # It outlives the server; deleted, it is gone, and to delete it again is no error.
    server.stop()
    server.start()
    s3 = owner.use({"access_key_id": owner.id, "secret_access_key": owner.secret}).s3
    assert s3.get_bucket_ownership_controls(Bucket="pictures")["OwnershipControls"] == controls(enforced)
    for _ in range(2):
        s3.delete_bucket_ownership_controls(Bucket="pictures")
        assert code(s3.get_bucket_ownership_controls, Bucket="pictures") == "OwnershipControlsNotFoundError"
    assert get() == 200


def test_the_function_is_a_principal_that_policies_name(server):
    root = server.client()
    root.put_bucket_policy(
        Bucket=DESTINATION,
        Policy=policy(statement("Deny", arn("function"), "s3:PutObject", f"arn:aws:s3:::{DESTINATION}/thumb_no*")),
    )
    for key in ("no.jpg", "yes.jpg"):
        root.put_object(Bucket=SOURCE, Key=key, Body=jpeg(300, 200))
    assert server.thumbnail("thumb_yes.jpg")["Bytes"]
    until(lambda: '"s3:PutObject"' in server.log_text() and "thumb_no.jpg" in server.log_text(), "it was denied")
    assert code(root.head_object, Bucket=DESTINATION, Key="thumb_no.jpg") == "404"
    assert run("keys", "add", "function", "--server", server.http_url, "--data", server.data).returncode == 1
