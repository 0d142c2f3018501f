"""deploy/aws/deploy destroy: it deletes what its stack created, and nothing else of the same name."""

import pytest
import requests

from aws_cli import AwsCli, run_script
from fake_aws import ACCOUNT, FakeAws, Stack, stack_id
from moto_server import Moto
from tintype import ROOT

IMAGES = f"input-product-images-{ACCOUNT}-us-east-1"
THUMBNAILS = f"output-product-thumbnail-{ACCOUNT}-us-east-1"
ARTEFACTS = f"tintype-artefacts-{ACCOUNT}-us-east-1"
PRODUCTION = {"SourceBucketName": IMAGES, "DestinationBucketName": THUMBNAILS}
CREATED = [("SourceBucket", "CREATE_COMPLETE", IMAGES), ("DestinationBucket", "CREATE_COMPLETE", THUMBNAILS)]
ALL = ("destroy", "--delete-images", "--yes")


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    cli = AwsCli(tmp_path_factory.mktemp("cli"))
    yield cli
    cli.stop()


@pytest.fixture
def aws(moto):
    """With two buckets that the stack tintype created, an image in one and a thumbnail in the other."""
    fake = FakeAws(moto)
    fake.created(stack_id("tintype"), IMAGES, THUMBNAILS)
    s3 = moto.buckets(IMAGES, THUMBNAILS)
    s3.put_object(Bucket=IMAGES, Key="a.jpg", Body=b"x")
    s3.put_object(Bucket=THUMBNAILS, Key="thumb_a.jpg", Body=b"x")
    yield fake
    fake.stop()
    requests.post(f"{moto.url}/moto-api/reset", timeout=10)


@pytest.fixture
def script(aws, cli):
    """Runs it; at a terminal on which `answer` is typed, if there is one. `script.calls` are its calls of the AWS CLI."""
    cli.forget()

    def run(*arguments, answer=None, **env):
        return run_script([ROOT / "deploy/aws/deploy", *arguments], aws, cli, answer, **env)

    run.calls = cli.calls
    yield run
    # Every request to S3 expects this account as the owner.
    owner = ["--expected-bucket-owner", ACCOUNT]
    assert [call for call in cli.calls() if call[0] in ("s3", "s3api") and call[4:6] != owner] == []
    assert {owner for _, _, owner in aws.s3} <= {ACCOUNT}


def nothing_deleted(aws):
    return (
        aws.keys(IMAGES) == ["a.jpg"]
        and aws.keys(THUMBNAILS) == ["thumb_a.jpg"]
        and aws.written() == []
        and "DeleteStack" not in aws.cloudformation
    )


def test_what_the_stack_created_is_deleted(aws, script):
    aws.stacks["tintype"] = Stack(resources=CREATED, parameters=PRODUCTION)
    done = script(*ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert aws.keys(IMAGES) == aws.keys(THUMBNAILS) == []
    assert aws.stacks["tintype"].status == "DELETE_COMPLETE"
    assert f"s3://{IMAGES}: 1 objects" in done.stdout


@pytest.mark.parametrize(
    ("status", "of_bucket"),
    [("ROLLBACK_COMPLETE", "DELETE_COMPLETE"), ("CREATE_FAILED", "CREATE_FAILED"), ("ROLLBACK_FAILED", "DELETE_FAILED")],
)
def test_after_a_failed_create_earlier_buckets_stay(aws, script, status, of_bucket):
    resources = [(logical, of_bucket, name) for logical, _, name in CREATED]
    aws.created(stack_id("production"), IMAGES, THUMBNAILS)
    aws.stacks["tintype"] = Stack(status, resources, PRODUCTION)
    done = script(*ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert aws.keys(IMAGES) == ["a.jpg"] and aws.keys(THUMBNAILS) == ["thumb_a.jpg"] and aws.written() == []
    assert aws.stacks["tintype"].status == "DELETE_COMPLETE"
    left = done.stdout[done.stdout.index("not touched:") :]
    assert f"s3://{IMAGES} (SourceBucket)" in left and f"s3://{THUMBNAILS} (DestinationBucket)" in left


# The status of a bucket, the stack that created it by its tag, and whether it is the stack's own.
TINTYPE, PRODUCTIONS, EARLIER = stack_id("tintype"), stack_id("production"), stack_id("tintype", 0)
BUCKETS = [
    ("CREATE_COMPLETE", TINTYPE, True),
    ("CREATE_COMPLETE", PRODUCTIONS, False),
    ("CREATE_COMPLETE", EARLIER, False),
    # Deleted and created by hand: the resource is unchanged.
    ("CREATE_COMPLETE", None, False),
    ("CREATE_FAILED", PRODUCTIONS, False),
    ("UPDATE_COMPLETE", TINTYPE, True),
    ("UPDATE_COMPLETE", None, False),
    ("UPDATE_ROLLBACK_COMPLETE", None, False),
    ("UPDATE_FAILED", PRODUCTIONS, False),
    ("UPDATE_FAILED", None, False),
    ("DELETE_FAILED", TINTYPE, True),
    ("DELETE_FAILED", PRODUCTIONS, False),
    ("DELETE_COMPLETE", PRODUCTIONS, False),
    ("DELETE_SKIPPED", TINTYPE, False),
    ("IMPORT_COMPLETE", None, False),
    ("IMPORT_COMPLETE", EARLIER, False),
    ("IMPORT_FAILED", PRODUCTIONS, False),
]


def test_which_buckets_are_the_stacks_own(aws, script):
    stack = Stack("UPDATE_ROLLBACK_FAILED", template="Resources:\n")
    for number, (of_bucket, creator, _) in enumerate(BUCKETS):
        name = f"bucket-{number}"
        aws.moto.buckets(name).put_object(Bucket=name, Key="a", Body=b"x")
        stack.resources.append((f"Bucket{number}", of_bucket, name))
        stack.template += f"  Bucket{number}:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Delete\n"
        aws.created(creator, name)
    aws.stacks["tintype"] = stack
    done = script(*ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    emptied = [not aws.keys(f"bucket-{number}") for number in range(len(BUCKETS))]
    assert list(zip(BUCKETS, emptied)) == [(one, one[2]) for one in BUCKETS]
    left = done.stdout[done.stdout.index("not touched:") :]
    assert [number for number in range(len(BUCKETS)) if f"s3://bucket-{number} " in left] == [
        number for number, (_, _, own) in enumerate(BUCKETS) if not own
    ]


def test_a_bucket_without_the_stacks_tag_stays_with_advice(aws, script):
    """Its images end the deletion of the stack: CloudFormation deletes only empty buckets."""
    aws.created(None, THUMBNAILS)
    aws.stacks["tintype"] = Stack(resources=CREATED, end="DELETE_FAILED")
    done = script(*ALL)
    assert done.returncode == 1 and "the stack tintype is not deleted" in done.stderr
    assert aws.keys(IMAGES) == [] and aws.keys(THUMBNAILS) == ["thumb_a.jpg"]
    left = done.stdout[done.stdout.index("not touched:") :]
    assert f"s3://{THUMBNAILS} (DestinationBucket): imported or created by hand" in left
    assert f"delete-stack --region us-east-1 --stack-name {TINTYPE} --retain-resources DestinationBucket" in left
    assert "SourceBucket" not in left


def test_a_bucket_that_was_never_created_is_skipped(aws, script):
    """The parameters name production's."""
    aws.created(PRODUCTIONS, IMAGES, THUMBNAILS)
    aws.created(TINTYPE, "own")
    aws.moto.buckets("own").put_object(Bucket="own", Key="b.jpg", Body=b"x")
    resources = [("SourceBucket", "CREATE_COMPLETE", "own"), ("DestinationBucket", "CREATE_FAILED", None), ("Third", "CREATE_FAILED", "")]
    aws.stacks["tintype"] = Stack("CREATE_FAILED", resources, PRODUCTION)
    done = script(*ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert aws.keys("own") == [] and "DestinationBucket: never created" in done.stdout
    assert "Third: never created" in done.stdout
    assert aws.keys(IMAGES) == ["a.jpg"] and aws.keys(THUMBNAILS) == ["thumb_a.jpg"]


def test_another_stack_does_not_touch_production(aws, script):
    """Production has the default names, and so has the other stack by its parameters."""
    aws.moto.buckets("staging-in", "staging-out").put_object(Bucket="staging-in", Key="b.jpg", Body=b"x")
    aws.created(stack_id("staging"), "staging-in", "staging-out")
    aws.stacks["tintype"] = Stack(resources=CREATED, parameters=PRODUCTION)
    resources = [("SourceBucket", "CREATE_COMPLETE", "staging-in"), ("DestinationBucket", "UPDATE_COMPLETE", "staging-out")]
    aws.stacks["staging"] = Stack(resources=resources, parameters={"Prefix": "raw/"})
    done = script(*ALL, "--stack", "staging")
    assert done.returncode == 0, done.stdout + done.stderr
    assert aws.keys("staging-in") == [] and aws.stacks["staging"].status == "DELETE_COMPLETE"
    assert aws.keys(IMAGES) == ["a.jpg"] and aws.keys(THUMBNAILS) == ["thumb_a.jpg"]
    assert aws.stacks["tintype"].status == "CREATE_COMPLETE"


def test_a_bucket_that_the_template_does_not_delete_stays(aws, script):
    """Nothing shows that the stack deletes them: one is retained, the other's policy cannot be found."""
    stack = Stack(resources=CREATED)
    stack.template = stack.template.replace("DeletionPolicy: Delete", "DeletionPolicy: Retain", 1).replace("  DestinationBucket:", "  Other:")
    aws.stacks["tintype"] = stack
    done = script(*ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert aws.keys(IMAGES) == ["a.jpg"] and aws.keys(THUMBNAILS) == ["thumb_a.jpg"]
    assert done.stdout.count("DeletionPolicy") == 2


def test_where_nothing_may_be_deleted_nothing_is(aws, script):
    aws.stacks["tintype"] = Stack(resources=CREATED, parameters=PRODUCTION)
    for status, protected, arguments, part in [
        ("CREATE_COMPLETE", False, [*ALL, "--stack", "staging"], "there is no stack staging"),
        ("CREATE_COMPLETE", False, [*ALL, "SourceBucketName=production"], "destroy takes no parameters"),
        ("CREATE_COMPLETE", False, [*ALL, "--stack", "a/b"], '"a/b" is no stack'),
        ("CREATE_COMPLETE", False, ["destroy", "--yes"], f"s3://{IMAGES} holds images"),
        ("CREATE_COMPLETE", True, ALL, "termination protection"),
        ("CREATE_IN_PROGRESS", False, ALL, "CREATE_IN_PROGRESS"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", False, ALL, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("DELETE_IN_PROGRESS", False, ALL, "DELETE_IN_PROGRESS"),
    ]:
        aws.stacks["tintype"].status, aws.stacks["tintype"].protected = status, protected
        done = script(*arguments)
        assert done.returncode == 1 and part in done.stderr, (arguments, status, done.stderr)
        assert nothing_deleted(aws), (arguments, status)


def test_a_bucket_of_another_account_is_refused(aws, script):
    """It was deleted, and another account has the name now."""
    aws.stacks["tintype"] = Stack(resources=CREATED)
    aws.owners = {THUMBNAILS: "999999999999"}
    done = script(*ALL)
    assert done.returncode == 1 and f"s3://{THUMBNAILS} (DestinationBucket) belongs to another account" in done.stderr
    assert nothing_deleted(aws)


def test_a_bucket_that_is_gone_is_skipped(aws, script):
    aws.stacks["tintype"] = Stack(resources=[*CREATED[:1], ("DestinationBucket", "CREATE_COMPLETE", "gone")])
    done = script(*ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert aws.keys(IMAGES) == [] and "s3://gone (DestinationBucket): already deleted" in done.stdout


@pytest.mark.parametrize("answer", ["production\n", "\x04"], ids=["other", "end"])
def test_a_wrong_answer_deletes_nothing(aws, script, answer):
    aws.stacks["tintype"] = Stack(resources=CREATED[:1])
    done = script("destroy", "--delete-images", answer=answer)
    assert done.returncode == 1 and "is not the stack's name: nothing is deleted" in done.stderr
    assert f"s3://{IMAGES}: 1 objects" in done.stdout
    assert nothing_deleted(aws)


def test_the_right_answer_deletes(aws, script):
    aws.stacks["tintype"] = Stack(resources=CREATED[:1])
    done = script("destroy", "--delete-images", answer="tintype\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert aws.keys(IMAGES) == [] and aws.stacks["tintype"].status == "DELETE_COMPLETE"


def test_without_a_terminal_nothing_is_deleted_without_yes(aws, script):
    aws.stacks["tintype"] = Stack(resources=CREATED[:1])
    done = script("destroy", "--delete-images")
    assert done.returncode == 1 and "no terminal" in done.stderr and "--yes" in done.stderr
    assert f"s3://{IMAGES}: 1 objects" in done.stdout
    assert nothing_deleted(aws)


def test_versions_markers_and_unfinished_uploads_go_in_batches(aws, script):
    s3 = aws.moto.client("s3")
    s3.put_bucket_versioning(Bucket=IMAGES, VersioningConfiguration={"Status": "Enabled"})
    odd = "a b\t'\"\\<&>ü*.jpg"
    with requests.Session() as plain:
        # Signing this many takes boto3 seconds.
        for number in range(1001):
            plain.put(f"{aws.moto.url}/{IMAGES}/{number}.jpg", data=b"x", timeout=10).raise_for_status()
    s3.put_object(Bucket=IMAGES, Key="a.jpg", Body=b"second version")
    s3.put_object(Bucket=IMAGES, Key=odd, Body=b"x")
    s3.delete_object(Bucket=IMAGES, Key="a.jpg")
    s3.create_multipart_upload(Bucket=IMAGES, Key=odd)
    s3.create_multipart_upload(Bucket=IMAGES, Key="b.jpg")
    aws.stacks["tintype"] = Stack(resources=CREATED[:1])
    done = script(*ALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"s3://{IMAGES}: 1005 objects and versions, 2 unfinished uploads" in done.stdout
    remaining = s3.list_object_versions(Bucket=IMAGES)
    assert not remaining.get("Versions") and not remaining.get("DeleteMarkers")
    assert not s3.list_multipart_uploads(Bucket=IMAGES).get("Uploads")
    assert len([path for method, path in aws.written() if path == f"/{IMAGES}?delete"]) == 2


def test_old_versions_alone_are_images_too(aws, script):
    s3 = aws.moto.client("s3")
    s3.put_bucket_versioning(Bucket=IMAGES, VersioningConfiguration={"Status": "Enabled"})
    s3.delete_object(Bucket=IMAGES, Key="a.jpg")
    aws.stacks["tintype"] = Stack(resources=CREATED[:1])
    done = script("destroy", "--yes")
    assert done.returncode == 1 and f"s3://{IMAGES} holds images" in done.stderr
    assert aws.written() == [] and "DeleteStack" not in aws.cloudformation


def test_what_s3_does_not_delete_is_reported_and_the_stack_stays(aws, script):
    aws.stacks["tintype"] = Stack(resources=CREATED[:1])
    aws.locked = {"a.jpg"}
    done = script(*ALL)
    assert done.returncode == 1 and "S3 refused to delete 1 objects" in done.stderr
    assert "AccessDenied" in done.stderr and "a.jpg" in done.stderr
    assert aws.stacks["tintype"].status == "CREATE_COMPLETE"


def test_a_stack_that_cannot_be_deleted_is_an_error(aws, script):
    aws.stacks["tintype"] = Stack(end="DELETE_FAILED")
    done = script("destroy", "--yes")
    assert done.returncode == 1 and "the stack tintype is not deleted" in done.stderr


def test_a_dry_run_shows_every_step_and_does_none(aws, script):
    aws.stacks["tintype"] = Stack(resources=CREATED)
    shown = script("destroy", "--delete-images", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert script.calls() == [] and aws.s3 == [] and aws.cloudformation == []
    steps = [line.split()[3:5] for line in shown.stdout.splitlines() if line.startswith("would run: ")]
    emptied = ["abort-multipart-upload", "delete-objects"]
    assert [operation for _, operation in steps if not operation.startswith(("describe-", "list-", "get-"))] == [
        *emptied,
        *emptied,
        "delete-bucket",
        "delete-stack",
        "wait",
    ]
    assert all(" --expected-bucket-owner ACCOUNT " in f"{line} " for line in shown.stdout.splitlines() if " s3api " in line)


# --- The bucket of packages ------------------------------------------------------------------------------------------


def artefacts(aws, **tags):
    s3 = aws.moto.buckets(ARTEFACTS)
    s3.put_object(Bucket=ARTEFACTS, Key="k.zip", Body=b"x")
    if tags:
        tag_set = [{"Key": name.replace("_", "-"), "Value": value} for name, value in tags.items()]
        s3.put_bucket_tagging(Bucket=ARTEFACTS, Tagging={"TagSet": tag_set})
    return s3


def names(s3):
    return [one["Name"] for one in s3.list_buckets()["Buckets"]]


def test_the_packages_go_with_their_stack(aws, script):
    s3 = artefacts(aws, tintype_stack="tintype")
    aws.stacks["tintype"] = Stack()
    done = script("destroy", "--yes")
    assert done.returncode == 0 and f"s3://{ARTEFACTS}: 1 objects" in done.stdout, done.stdout + done.stderr
    assert ARTEFACTS not in names(s3)


@pytest.mark.parametrize("tags", [{"team": "web"}, {"tintype_stack": "Tintype"}], ids=["none", "other-stack"])
def test_a_bucket_of_that_name_that_is_not_the_stacks_stays(aws, script, tags):
    artefacts(aws, **tags)
    aws.stacks["tintype"] = Stack()
    done = script("destroy", "--yes")
    assert done.returncode == 0 and f"   s3://{ARTEFACTS}: not marked" in done.stdout, done.stdout + done.stderr
    assert aws.keys(ARTEFACTS) == ["k.zip"]


def test_packages_of_another_account_stay(aws, script):
    artefacts(aws, tintype_stack="tintype")
    aws.owners = {ARTEFACTS: "999999999999"}
    aws.stacks["tintype"] = Stack()
    done = script("destroy", "--yes")
    assert done.returncode == 0 and f"   s3://{ARTEFACTS}: another account's" in done.stdout, done.stdout + done.stderr
    assert aws.keys(ARTEFACTS) == ["k.zip"]


def test_nothing_is_uploaded_to_a_bucket_of_another_account(aws, script, tmp_path):
    """Another account took the name, which can be guessed, to receive the program."""
    (tmp_path / "p.zip").write_bytes(b"x")
    artefacts(aws)
    aws.owners = {ARTEFACTS: "999999999999"}
    aws.stacks["tintype"] = Stack()
    done = script("--package", str(tmp_path / "p.zip"))
    assert done.returncode == 1 and f"s3://{ARTEFACTS} belongs to another account" in done.stderr
    assert aws.keys(ARTEFACTS) == ["k.zip"] and aws.written() == []


def test_nothing_is_uploaded_to_the_bucket_of_another_stack(aws, script, tmp_path):
    """Stacks may differ in capitals alone, buckets may not."""
    (tmp_path / "p.zip").write_bytes(b"x")
    artefacts(aws, tintype_stack="tintype")
    aws.stacks["other"] = Stack()
    done = script("--stack", "Tintype", "--package", str(tmp_path / "p.zip"))
    assert done.returncode == 1 and "holds the packages of the stack tintype" in done.stderr
    assert aws.written() == []
