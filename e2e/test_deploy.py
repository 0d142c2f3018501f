"""deploy/aws/deploy and its templates against moto_server: the stack is created and read back, and its role may do what the
pipeline does and nothing else."""

import base64
import io
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

import sample_images
from aws_cli import AwsCli, run_script
from fake_aws import FakeAws, Stack
from lambda_runtime import Function
from moto_server import Moto
from template import PATH, Template, source
from tintype import BOOTSTRAP, ROOT, environment

BUCKETS = {"SourceBucketName": "photos-in", "DestinationBucketName": "photos-out"}
EIGHT = {
    "Duration",
    "Throttles",
    "ConcurrentExecutions",
    "Invocations",
    "Errors",
    "AsyncEventsReceived",
    "AsyncEventsDropped",
    "AsyncEventAge",
}


@pytest.fixture
def moto(tmp_path):
    server = Moto(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def home(tmp_path):
    """A copy of deploy/aws, adapted to moto, which reads a URI from every integration and has no aliases."""
    folder = tmp_path / "home/deploy/aws"
    shutil.copytree(ROOT / "deploy/aws", folder)
    text = PATH.read_text()
    mock = "        Type: MOCK\n"
    assert text.count(mock) == 2
    text = text.replace(mock, mock + "        IntegrationHttpMethod: OPTIONS\n        Uri: none\n")
    # moto creates no aliases of functions: its callers call the function itself.
    text = text.replace("!Ref Live", "!GetAtt Function.Arn").replace("${Live}", "${Function.Arn}")
    # It cannot update a log group, and forgets the one that an update reaches: nothing may refer to it.
    for reference, instead in {
        '!Select [3, !Split ["/", !Ref FunctionLogs]]': "!If [NamesFunction, !Ref FunctionName, Thumbnails]",
        "!GetAtt FunctionLogs.Arn": '"*"',
        "LogGroup: !Ref FunctionLogs": "LogGroup: logs",
        "LogGroupName: !Ref FunctionLogs": "LogGroupName: logs",
        "${FunctionLogs}": "logs",
    }.items():
        assert reference in text, reference
        text = text.replace(reference, instead)
    (folder / "template.yaml").write_text(text)
    with zipfile.ZipFile(tmp_path / "bootstrap.zip", "w") as package:
        package.writestr("bootstrap", "#!/bin/sh\n")
    return folder


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    cli = AwsCli(tmp_path_factory.mktemp("cli"))
    yield cli
    cli.stop()


@pytest.fixture
def aws(moto):
    """moto, with the tags of buckets that a stack created."""
    fake = FakeAws(moto)
    yield fake
    fake.stop()


@pytest.fixture
def deploy(aws, cli, home, tmp_path):
    def run(*arguments, package=tmp_path / "bootstrap.zip", answer=None, **env):
        """At a terminal on which `answer` is typed, if there is one."""
        given = ["--package", str(package)] if package else []
        return run_script([home / "deploy", *given, *arguments], aws, cli, answer, **env)

    return run


def create(moto, home, **parameters):
    """Creates the stack directly: moto has no outputs of a stack created by a change set."""
    moto.client("s3").create_bucket(Bucket="code")
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as writer:
        writer.writestr("bootstrap", "#!/bin/sh\n")
    moto.client("s3").put_object(Bucket="code", Key="k.zip", Body=package.getvalue())
    # With the defaults, which moto would take for changes in the first update.
    defaults = {name: str(one["Default"]) for name, one in source()["Parameters"].items() if "Default" in one}
    given = defaults | BUCKETS | {"CodeBucket": "code", "CodeKey": "k.zip"} | parameters
    moto.client("cloudformation").create_stack(
        StackName="tintype",
        TemplateBody=(home / "template.yaml").read_text(),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = moto.client("cloudformation").describe_stacks(StackName="tintype")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


def test_deploy_creates_the_stack_and_its_resources_are_there(deploy, moto):
    done = deploy("ThumbnailSize=64x64", "ApiAccessLogs=true", "--tag", "team=web")
    assert done.returncode == 0, done.stdout + done.stderr
    buckets = {one["Name"] for one in moto.client("s3").list_buckets()["Buckets"]}
    source = "input-product-images-123456789012-us-east-1"
    assert buckets == {
        source,
        "output-product-thumbnail-123456789012-us-east-1",
        "tintype-artefacts-123456789012-us-east-1",
    }
    encryption = moto.client("s3").get_bucket_encryption(Bucket=source)["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    packages = moto.client("s3").get_bucket_tagging(Bucket="tintype-artefacts-123456789012-us-east-1")["TagSet"]
    assert packages == [{"Key": "tintype-stack", "Value": "tintype"}]
    function = moto.client("lambda").get_function_configuration(FunctionName="Thumbnails")
    assert (function["Runtime"], function["MemorySize"], function["Timeout"]) == ("provided.al2023", 512, 30)
    variables = function["Environment"]["Variables"]
    assert variables["THUMBNAIL_SIZE"] == "64x64" and variables["SOURCE_BUCKET"] == source
    policy = json.loads(moto.client("lambda").get_policy(FunctionName="Thumbnails")["Policy"])
    assert {one["Principal"]["Service"] for one in policy["Statement"]} == {"s3.amazonaws.com", "apigateway.amazonaws.com"}
    (queue,) = moto.client("sqs").list_queues()["QueueUrls"]
    assert queue.endswith("/Thumbnails-dead-letters")
    groups = moto.client("logs").describe_log_groups()["logGroups"]
    assert {one["logGroupName"]: one["retentionInDays"] for one in groups} == {
        "/aws/lambda/Thumbnails": 14,
        "/aws/apigateway/Thumbnails-api": 14,
    }
    (api,) = moto.client("apigateway").get_rest_apis()["items"]
    resources = moto.client("apigateway").get_resources(restApiId=api["id"])["items"]
    methods = {one["path"]: set(one.get("resourceMethods", {})) for one in resources}
    verbs = {"GET", "HEAD", "POST", "OPTIONS"}
    assert methods == {"/": set(), "/myimage": verbs, "/myimage/{proxy+}": verbs}
    body = moto.client("cloudwatch").get_dashboard(DashboardName="thumbnail")["DashboardBody"]
    assert EIGHT <= {one["properties"]["title"] for one in json.loads(body)["widgets"]}
    (stack,) = moto.client("cloudformation").describe_stacks(StackName="tintype")["Stacks"]
    assert stack["Tags"] == [{"Key": "team", "Value": "web"}]


def test_deploy_updates_prints_addresses_and_destroy_leaves_nothing(deploy, aws, moto, home):
    # moto cannot update a missing topic.
    outputs = create(moto, home, AlarmEmail="a@example.com")
    given = [f"{name}={value}" for name, value in BUCKETS.items()] + ["AlarmEmail=a@example.com"]
    done = deploy(*given, "MemorySize=256")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "aws s3 cp photo.jpg s3://photos-in/photo.jpg" in done.stdout
    assert f"{outputs['ApiUrl']}?key=photo.jpg" in done.stdout
    function = moto.client("lambda").get_function_configuration(FunctionName="Thumbnails")
    assert function["MemorySize"] == 256
    # Parameters that are not given keep their values, and the buckets their names.
    done = deploy("Timeout=20")
    assert done.returncode == 0, done.stdout + done.stderr
    function = moto.client("lambda").get_function_configuration(FunctionName="Thumbnails")
    assert (function["MemorySize"], function["Timeout"]) == (256, 20)
    stack = moto.client("cloudformation").describe_stacks(StackName="tintype")["Stacks"][0]
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    aws.created(stack["StackId"], *BUCKETS.values())
    expected = BUCKETS | {"AlarmEmail": "a@example.com", "MemorySize": "256"}
    assert {name: parameters.get(name) for name in expected} == expected
    s3 = moto.client("s3")
    s3.delete_bucket_policy(Bucket="photos-in")
    s3.put_object(Bucket="photos-in", Key="a.jpg", Body=b"x")
    refused = deploy("destroy", "--yes")
    assert refused.returncode != 0 and "s3://photos-in holds images" in refused.stderr
    gone = deploy("destroy", "--delete-images", "--yes")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert {one["Name"] for one in s3.list_buckets()["Buckets"]} == {"code"}


def test_a_dry_run_needs_no_account_and_shows_every_step(deploy):
    shown = deploy("--dry-run", "ThumbnailSize=64x64", AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ACCESS_KEY_ID="", AWS_REGION="eu-central-1")
    assert shown.returncode == 0, shown.stderr
    steps = [line for line in shown.stdout.splitlines() if line.startswith("would run: ")]
    assert [line.split()[4] for line in steps] == [
        "describe-stacks",
        "get-function-configuration",
        "describe-log-groups",
        "get-queue-url",
        "list-dashboards",
        "create-bucket",
        "put-public-access-block",
        "put-bucket-tagging",
        "put-object",
        "put-object",
        "deploy",
    ]
    assert "ThumbnailSize=64x64" in steps[-1] and "input-product-images-ACCOUNT-eu-central-1" in steps[-1]
    assert "LocationConstraint=eu-central-1" in steps[5]


OFFLINE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": ""}


def test_a_second_stack_has_names_of_its_own(deploy):
    shown = deploy("--dry-run", "--stack", "Shop", **OFFLINE)
    assert shown.returncode == 0, shown.stderr
    for name in ("input-product-images-shop-ACCOUNT-us-east-1", "output-product-thumbnail-shop-ACCOUNT-us-east-1"):
        assert name in shown.stdout
    assert "--function-name Shop-Thumbnails " in shown.stdout and "--dashboard-name-prefix Shop-thumbnail-us-east-1 " in shown.stdout
    long = deploy("--dry-run", "--stack", "a-stack-with-a-very-long-name-for-a-bucket", **OFFLINE)
    names = re.findall(r"BucketName=(\S+)", long.stdout)
    assert len(names) == 2 and all(len(name) <= 63 for name in names)


def test_taken_names_are_reported_before_anything_is_created(deploy, moto):
    """The slides of the reference design were followed by hand, in this account."""
    moto.client("logs").create_log_group(logGroupName="/aws/lambda/Thumbnails")
    moto.client("cloudwatch").put_dashboard(DashboardName="thumbnail", DashboardBody='{"widgets": []}')
    moto.client("sqs").create_queue(QueueName="Thumbnails-dead-letters")
    source = "input-product-images-123456789012-us-east-1"
    moto.buckets(source)
    role = moto.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as writer:
        writer.writestr("bootstrap", "x")
    moto.client("lambda").create_function(
        FunctionName="Thumbnails", Runtime="provided.al2023", Role=role, Handler="h", Code={"ZipFile": package.getvalue()}
    )
    done = deploy()
    assert done.returncode == 1 and "nothing is created" in done.stderr, done.stderr
    for part in (
        "function Thumbnails: set FunctionName=",
        "log group /aws/lambda/Thumbnails: ",
        "aws logs delete-log-group --log-group-name /aws/lambda/Thumbnails",
        "queue Thumbnails-dead-letters",
        "dashboard thumbnail: ",
        f"bucket {source}: to use it as it is set SourceBucketExists=true",
    ):
        assert part in done.stderr, (part, done.stderr)
    assert {one["Name"] for one in moto.client("s3").list_buckets()["Buckets"]} == {source}
    # Other names, and the bucket that is there.
    done = deploy("FunctionName=Other", "DashboardName=other", f"SourceBucketName={source}", "SourceBucketExists=true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"s3://{source} sends no events to EventBridge" in done.stdout
    (rule,) = moto.client("events").list_rules()["Rules"]
    assert json.loads(rule["EventPattern"])["detail"]["bucket"] == {"name": [source]}


def test_what_a_failed_creation_left_is_deleted_first(deploy, aws, moto):
    aws.stacks["tintype"] = Stack("ROLLBACK_COMPLETE", end=None)
    done = deploy()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(ROLLBACK_COMPLETE), and can only be deleted: deleting it first" in done.stdout
    assert "DeleteStack" in aws.cloudformation
    (stack,) = moto.client("cloudformation").describe_stacks(StackName="tintype")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_a_stack_that_cannot_be_updated_is_left_alone(deploy, aws):
    for status, part in [
        ("UPDATE_IN_PROGRESS", "wait until that is over"),
        ("DELETE_FAILED", "destroy --stack tintype"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
    ]:
        aws.stacks["tintype"] = Stack(status)
        done = deploy()
        assert done.returncode == 1 and part in done.stderr, (status, done.stderr)
    assert set(aws.cloudformation) == {"DescribeStacks"} and aws.written() == []


CHANGES = [("Modify", "Function", "AWS::Lambda::Function", "False"), ("Add", "Version", "AWS::Lambda::Version", "False")]


def test_a_change_set_is_reviewed_before_it_is_executed(deploy, aws):
    for answer, executed in [(None, False), ("n\n", False), ("\n", False), ("y\n", True)]:
        aws.stacks["tintype"] = Stack("UPDATE_COMPLETE", changes=CHANGES)
        aws.cloudformation.clear()
        done = deploy("--review", "MemorySize=256", answer=answer)
        assert done.returncode == 0, done.stdout + done.stderr
        # What would change, and how, is shown first.
        for part in ("Modify", "Function", "AWS::Lambda::Version"):
            assert part in done.stdout, (part, done.stdout)
        assert ("ExecuteChangeSet" in aws.cloudformation) == executed, answer
        later = "not executed. Later: aws cloudformation execute-change-set --change-set-name arn:aws:cloudformation:"
        assert (later in done.stdout) == (not executed), done.stdout
        assert ("Upload an image:" in done.stdout) == executed
        proposed = aws.stacks["tintype"].proposed
        assert "MemorySize" in proposed.values() and "256" in proposed.values()


def test_a_review_without_changes_asks_nothing(deploy, aws):
    aws.stacks["tintype"] = Stack("UPDATE_COMPLETE", changes=[])
    done = deploy("--review", answer="y\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing changes" in done.stdout and "ExecuteChangeSet" not in aws.cloudformation


@pytest.mark.parametrize("answer", ["n\n", "y\n"])
def test_a_review_of_a_new_stack_creates_it(deploy, moto, answer):
    """By moto, which has change sets of stacks that are created."""
    done = deploy("--review", answer=answer)
    assert done.returncode == 0, done.stdout + done.stderr
    buckets = {one["Name"] for one in moto.client("s3").list_buckets()["Buckets"]}
    assert "tintype-artefacts-123456789012-us-east-1" in buckets
    assert ("not executed" in done.stdout) == (answer == "n\n")
    assert (len(buckets) == 3) == (answer == "y\n"), buckets


def test_a_canary_that_is_rolled_back_is_a_failure_with_advice(deploy, aws):
    """CodeDeploy, stopped by an alarm, has CloudFormation roll the update back."""
    for review in ((), ("--review",)):
        aws.stacks["tintype"] = Stack("UPDATE_COMPLETE", changes=CHANGES, after="UPDATE_ROLLBACK_COMPLETE")
        done = deploy(*review, "Release=Canary10Percent5Minutes", answer="y\n")
        assert done.returncode == 1 and "the stack tintype is not changed" in done.stderr, done.stdout + done.stderr
        assert "stopped a canary, calls go to the version before" in done.stderr
        assert "Upload an image:" not in done.stdout
    aws.stacks["tintype"] = Stack("UPDATE_COMPLETE", changes=CHANGES, after="UPDATE_ROLLBACK_COMPLETE")
    done = deploy("MemorySize=256")
    assert done.returncode == 1 and "is not changed" in done.stderr and "canary" not in done.stderr
    # A stack that was rolled back can be updated again.
    aws.stacks["tintype"] = Stack("UPDATE_ROLLBACK_COMPLETE", changes=CHANGES)
    assert deploy("MemorySize=256").returncode == 0


def test_a_canary_is_given_to_codedeploy_as_the_template_has_it(deploy, aws):
    aws.stacks["tintype"] = Stack("UPDATE_COMPLETE", changes=CHANGES)
    done = deploy("Release=Linear10PercentEvery1Minute", "MemorySize=256")
    assert done.returncode == 0, done.stdout + done.stderr
    proposed = aws.stacks["tintype"].proposed
    release = next(name for name, value in proposed.items() if value == "Release")
    assert proposed[release.replace("ParameterKey", "ParameterValue")] == "Linear10PercentEvery1Minute"
    # The alias is moved by CodeDeploy only with its update policy, and only to a version, which a canary has.
    sent = proposed["TemplateBody"]
    assert "CodeDeployLambdaAliasUpdate" in sent and "DEPLOYMENT_STOP_ON_ALARM" in sent


def test_the_last_five_versions_and_the_live_one_stay(deploy, aws, moto):
    awslambda = moto.client("lambda")
    role = moto.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]

    def package(number):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as writer:
            writer.writestr("bootstrap", str(number))
        return content.getvalue()

    awslambda.create_function(
        FunctionName="Thumbnails", Runtime="provided.al2023", Role=role, Handler="h", Code={"ZipFile": package(0)}
    )
    for number in range(1, 9):
        awslambda.update_function_code(FunctionName="Thumbnails", ZipFile=package(number))
        awslambda.publish_version(FunctionName="Thumbnails")
    # Gone back to by hand.
    awslambda.create_alias(FunctionName="Thumbnails", Name="live", FunctionVersion="2")

    def versions():
        return [one["Version"] for one in awslambda.list_versions_by_function(FunctionName="Thumbnails")["Versions"]]

    before = versions()
    for parameters in ((), ("Release=Canary10Percent5Minutes",)):
        aws.stacks["tintype"] = Stack("UPDATE_COMPLETE", changes=CHANGES)
        done = deploy(*parameters, "MemorySize=256")
        assert done.returncode == 0, done.stdout + done.stderr
        if not parameters:
            # No versions are the stack's: nothing is deleted.
            assert versions() == before
    assert versions() == ["$LATEST", "2", "4", "5", "6", "7", "8"]


def test_settings_of_a_file_are_a_layer(deploy, moto, tmp_path):
    settings = tmp_path / "shop.toml"
    settings.write_text("# " + "x" * 10_000 + "\n[api]\nrate = 5\n")
    done = deploy("--settings", str(settings))
    assert done.returncode == 0, done.stdout + done.stderr
    artefacts = "tintype-artefacts-123456789012-us-east-1"
    keys = [one["Key"] for one in moto.client("s3").list_objects_v2(Bucket=artefacts)["Contents"]]
    (key,) = [one for one in keys if one.endswith("-settings.zip")]
    with zipfile.ZipFile(io.BytesIO(moto.client("s3").get_object(Bucket=artefacts, Key=key)["Body"].read())) as layer:
        assert layer.namelist() == ["tintype.toml"] and layer.read("tintype.toml") == settings.read_bytes()
    (stack,) = moto.client("cloudformation").describe_stacks(StackName="tintype")["Stacks"]
    assert {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}["SettingsKey"] == key
    settings.write_text("x" * 65_537)
    done = deploy("--settings", str(settings))
    assert done.returncode == 1 and "more than 64 KB" in done.stderr
    done = deploy("--dry-run", "Settings=" + "x" * 3_500, **OFFLINE)
    assert done.returncode == 1 and "Lambda allows 4096" in done.stderr and "--settings" in done.stderr


def test_the_estimate_of_the_environment_is_no_less_than_it_is(home):
    """Lambda refuses more than 4 KB when the function is created; the script says so before."""
    given = {
        "SourceBucketName": "i" * 63,
        "DestinationBucketName": "o" * 63,
        "FunctionName": "F" * 64,
        "CodeKey": "0" * 32 + ".zip",
        "SettingsVersion": "1" * 12,
        "Settings": "[[preset]]\n" * 20,
        "CorsOrigin": "https://shop.example",
        "Prefix": "raw/" * 10,
        "MirrorDeletes": "true",
        "ApiUploads": "true",
        "ApiKeyRequired": "true",
        "CustomMetrics": "true",
        "PublicImages": "presets",
        "ThumbnailSize": "1000x1000",
        "ThumbnailFit": "contain",
        "ThumbnailFormat": "webp",
        "ThumbnailQuality": "100",
        "ThumbnailKey": "{stem}-{size}.{ext}",
    }
    variables = Template(**given)["Function"]["Environment"]["Variables"]
    queue = "https://sqs.ap-southeast-1.amazonaws.com/123456789012/" + given["FunctionName"] + "-dead-letters"
    actual = sum(len(name) + len(str(value)) for name, value in (variables | {"DEAD_LETTER_QUEUE_URL": queue}).items())
    parameters = " ".join(f"[{name}]={shlex.quote(value)}" for name, value in given.items())
    script = f"""
        declare -A given=({parameters})
        parameter() {{ echo "${{given[$1]:-$2}}"; }}
        fail() {{ echo "$*"; }}
        . {home}/steps/preflight.sh
        source_bucket=${{given[SourceBucketName]}} destination_bucket=${{given[DestinationBucketName]}} function_name=${{given[FunctionName]}}
        eval "$(declare -f environment_fits | sed 's/bytes <= 4096/bytes < 0/')"
        environment_fits"""
    words = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    estimate = int(re.search(r"about (\d+) bytes", words)[1])
    assert actual <= estimate <= actual + 800, (actual, estimate)


def test_a_package_depends_on_the_program_alone(deploy, tmp_path, home):
    """Its digest is its key: the same program built again is no new version."""
    script = (
        "set -euo pipefail; workspace=$1; fail() { echo \"$*\" >&2; exit 1; }; . " + str(home / "steps/build.sh") + "; pack $2 bootstrap 755 $3"
    )
    programs = [tmp_path / "one", tmp_path / "two"]
    for number, program in enumerate(programs):
        program.write_bytes(b"program")
        os.utime(program, (1_000_000_000 + number * 86_400,) * 2)
    without_zip = tmp_path / "bin"
    without_zip.mkdir()
    for tool in ("mkdir", "rm", "bash", "python3"):
        (without_zip / tool).symlink_to(sys.executable if tool == "python3" else shutil.which(tool))
    for path in (os.environ["PATH"], str(without_zip)):
        packages = []
        for zone, program in zip(("UTC", "Asia/Tokyo"), programs):
            package = tmp_path / "packages" / f"{program.name}.zip"
            subprocess.run(
                ["bash", "-c", script, "pack", str(tmp_path), str(program), str(package)], check=True, env={"PATH": path, "TZ": zone}
            )
            packages.append(package.read_bytes())
            with zipfile.ZipFile(package) as found:
                (entry,) = found.infolist()
            assert entry.filename == "bootstrap" and stat.S_IMODE(entry.external_attr >> 16) == 0o755
        assert packages[0] == packages[1]


def test_a_missing_static_library_is_an_error_with_advice(deploy, cli, tmp_path):
    """Amazon Linux and Fedora have it in a package of its own."""
    tools = tmp_path / "tools"
    tools.mkdir()
    compiler = tools / "cc"
    compiler.write_text("#!/bin/sh\necho libc.a\n")
    compiler.chmod(0o755)
    done = deploy("build", package=None, PATH=f"{tools}:{cli.path}:{os.environ['PATH']}")
    assert done.returncode == 1 and "glibc-static" in done.stderr, done.stderr


def test_a_dry_run_does_not_show_settings(deploy):
    shown = deploy("--dry-run", "Settings=[[api.key]]\nkey = 'hunter2'", AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ACCESS_KEY_ID="")
    assert shown.returncode == 0, shown.stderr
    assert "Settings=…" in shown.stdout and "hunter2" not in shown.stdout + shown.stderr


def test_other_parameters_of_the_function_are_a_new_version(deploy):
    def version(*given):
        shown = deploy("--dry-run", *given, **OFFLINE).stdout
        return re.search(r"SettingsVersion=(\w+)", shown)[1]

    others = ["Settings=[api]\nrate = 1", "Settings=[api]\nrate = 2", "ExistingRoleArn=arn:aws:iam::1:role/LabRole"]
    versions = [version(one) for one in [*others, others[0]]]
    assert len(set(versions)) == 3 and versions[0] == versions[3]
    # What is not the function's is no version of it: Lambda would publish none, and the update would fail.
    assert version("AlarmEmail=a@example.com", "ThrottleRate=5", "LogRetentionInDays=30") == version()


def test_other_parameters_of_the_api_deploy_it_again(deploy, home):
    def deployment(*given):
        shown = deploy("--dry-run", *given, **OFFLINE)
        assert shown.returncode == 0, shown.stderr
        return re.search(r"the API's deployment is (\w+)", shown.stdout)[1]

    plain = deployment()
    assert plain == deployment("MemorySize=1024", "ThrottleRate=5")
    assert len({plain, deployment("CorsOrigin=*"), deployment("CorsOrigin=https://shop.example")}) == 3


def test_errors_are_reported_before_anything_is_done(deploy):
    for arguments, part in [
        (["ThumbnailSise=64x64"], '"ThumbnailSise" is no parameter'),
        (["--frobnicate"], 'unknown: "--frobnicate"'),
        (["--stack"], "--stack needs a value"),
        (["build", "Architecture=sparc"], "there are x86_64 and arm64"),
    ]:
        done = deploy(*arguments, package=None)
        assert done.returncode != 0 and part in done.stderr, (arguments, done.stderr)


def test_a_missing_target_is_an_error_with_advice(deploy):
    library = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True).stdout.strip()
    if (Path(library) / "lib/rustlib/aarch64-unknown-linux-gnu/lib").exists():
        pytest.skip("the target for arm64 is there")
    done = deploy("build", "Architecture=arm64", package=None)
    assert done.returncode != 0 and "rustup target add aarch64-unknown-linux-gnu" in done.stderr


def test_the_package_that_was_built():
    """The package of scripts/test contains the program, executable and without dynamic libraries."""
    package = ROOT / "target/aws/bootstrap-x86_64.zip"
    if not package.exists():
        pytest.skip("built by scripts/test build on x86_64")
    assert package.stat().st_size <= 8_000_000
    with zipfile.ZipFile(package) as found:
        (entry,) = found.infolist()
        assert entry.filename == "bootstrap" and stat.S_IMODE(entry.external_attr >> 16) & 0o111
        program = found.read(entry)
    assert program[:4] == b"\x7fELF" and b"/lib64/ld-linux" not in program[:4096]


# --- The role --------------------------------------------------------------------------------------------------------


class Role:
    """The function's role as the template states it, with IAM enforced."""

    def __init__(self, moto, home, **parameters):
        self.moto = moto
        self.outputs = create(moto, home, **parameters)
        # moto returns AWS's queue URLs; here queues are at moto's address.
        self.queue = self.outputs["DeadLetterQueueUrl"].replace("https://sqs.us-east-1.amazonaws.com", moto.url)
        name = self.outputs["RoleArn"].rsplit("/", 1)[1]
        (policy,) = Template(**BUCKETS, **parameters)["Role"]["Policies"]
        # moto enforces only separately attached policies.
        text = json.dumps(policy["PolicyDocument"])
        for placeholder, arn in {
            "<FunctionLogs.Arn>": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/Thumbnails:*",
            # For queues moto checks the action alone; test_template.py checks the resource.
            "<DeadLetters.Arn>": "*",
        }.items():
            text = text.replace(placeholder, arn)
        assert "<" not in text
        moto.client("iam").put_role_policy(RoleName=name, PolicyName="thumbnails", PolicyDocument=text)
        # The buckets' policies require TLS; this test uses plain HTTP.
        s3 = moto.client("s3")
        for bucket in BUCKETS.values():
            s3.delete_bucket_policy(Bucket=bucket)
        s3.put_object(Bucket="photos-in", Key="photo.jpg", Body=sample_images.jpeg())
        s3.create_bucket(Bucket="another")
        s3.put_object(Bucket="another", Key="photo.jpg", Body=b"x")
        s3.put_object(Bucket="photos-out", Key="old.jpg", Body=b"x")
        assumed = moto.client("sts").assume_role(RoleArn=self.outputs["RoleArn"], RoleSessionName="function")
        self.keys = assumed["Credentials"]
        requests.post(f"{moto.url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}, timeout=10)

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.moto.url,
            region_name="us-east-1",
            aws_access_key_id=self.keys["AccessKeyId"],
            aws_secret_access_key=self.keys["SecretAccessKey"],
            aws_session_token=self.keys["SessionToken"],
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def may(self, call):
        s3, sqs = self.client("s3"), self.client("sqs")
        calls = {
            "read an image": lambda: s3.get_object(Bucket="photos-in", Key="photo.jpg"),
            "list images": lambda: s3.list_objects_v2(Bucket="photos-in"),
            "read a thumbnail": lambda: s3.get_object(Bucket="photos-out", Key="old.jpg"),
            "list thumbnails": lambda: s3.list_objects_v2(Bucket="photos-out"),
            "write a thumbnail": lambda: s3.put_object(Bucket="photos-out", Key="new.jpg", Body=b"x"),
            "send a dead letter": lambda: sqs.send_message(QueueUrl=self.queue, MessageBody="x"),
            "write an image": lambda: s3.put_object(Bucket="photos-in", Key="photo.jpg", Body=b"x"),
            "delete an image": lambda: s3.delete_object(Bucket="photos-in", Key="photo.jpg"),
            "delete a thumbnail": lambda: s3.delete_object(Bucket="photos-out", Key="old.jpg"),
            "read another bucket": lambda: s3.get_object(Bucket="another", Key="photo.jpg"),
            "list another bucket": lambda: s3.list_objects_v2(Bucket="another"),
            "write another bucket": lambda: s3.put_object(Bucket="another", Key="photo.jpg", Body=b"x"),
            "see all buckets": lambda: s3.list_buckets(),
            "change a bucket": lambda: s3.put_bucket_versioning(Bucket="photos-in", VersioningConfiguration={"Status": "Enabled"}),
            "take dead letters": lambda: sqs.receive_message(QueueUrl=self.queue),
            "create a role": lambda: self.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}"),
            "call a function": lambda: self.client("lambda").list_functions(),
        }
        if call is None:
            return list(calls)
        try:
            calls[call]()
            return True
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403, error
            return False


ALWAYS = {
    "read an image",
    "list images",
    "read a thumbnail",
    "list thumbnails",
    "write a thumbnail",
    "send a dead letter",
}


@pytest.mark.parametrize(
    ("parameters", "more"),
    [
        ({}, set()),
        ({"ApiUploads": "true"}, {"write an image"}),
        ({"MirrorDeletes": "true"}, {"delete a thumbnail"}),
    ],
    ids=["plain", "uploads", "deletes"],
)
def test_the_role_may_do_what_the_pipeline_does_and_nothing_else(moto, home, parameters, more):
    role = Role(moto, home, **parameters)
    allowed = {call for call in role.may(None) if role.may(call)}
    assert allowed == ALWAYS | more


def test_the_pipeline_works_with_the_role_and_no_more(moto, home, tmp_path):
    role = Role(moto, home)
    variables = Template(**BUCKETS)["Function"]["Environment"]["Variables"]
    env = (
        {name: str(value) for name, value in variables.items()}
        | moto.environment()
        | {
            "AWS_ACCESS_KEY_ID": role.keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": role.keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": role.keys["SessionToken"],
            "DEAD_LETTER_QUEUE_URL": role.queue,
        }
    )
    with Function([BOOTSTRAP], env, tmp_path) as function:
        (record,) = function.invoke({"key": "photo.jpg"}).ok["records"]
        assert record["outcome"] == "made" and record["renditions"][0]["key"] == "thumb_photo.jpg"
        (missing,) = function.invoke({"key": "nowhere.jpg"}).ok["records"]
        assert missing["reason"] == "missing", "404, since the role may list"
        upload = {
            "httpMethod": "POST",
            "path": "/myimage",
            "headers": {"content-type": "image/jpeg"},
            "queryStringParameters": {"key": "up.jpg"},
            "requestContext": {},
            "body": base64.b64encode(sample_images.jpeg()).decode(),
            "isBase64Encoded": True,
        }
        refused = function.invoke(upload).ok
        assert refused["statusCode"] == 403 and "ApiUploads=true" in refused["body"]


def test_redrive_and_backfill(deploy, aws, moto, home, tmp_path):
    outputs = create(moto, home)
    s3 = moto.client("s3")
    for bucket in BUCKETS.values():
        s3.delete_bucket_policy(Bucket=bucket)
    queue = outputs["DeadLetterQueueUrl"].replace("https://sqs.us-east-1.amazonaws.com", moto.url)
    variables = Template(**BUCKETS)["Function"]["Environment"]["Variables"]
    env = {name: str(value) for name, value in variables.items()} | moto.environment() | {"DEAD_LETTER_QUEUE_URL": queue}
    sqs = moto.client("sqs")

    def waiting():
        answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return int(answer["ApproximateNumberOfMessages"]) + int(answer["ApproximateNumberOfMessagesNotVisible"])

    with Function([BOOTSTRAP], env, tmp_path) as function:
        aws.function = lambda event: function.invoke(event).ok
        for number in range(12):
            s3.put_object(Bucket="photos-in", Key=f"{number} ü.jpg", Body=b"no image")
            function.invoke({"key": f"{number} ü.jpg"}).ok
        assert waiting() == 12
        for number in range(11):
            s3.put_object(Bucket="photos-in", Key=f"{number} ü.jpg", Body=sample_images.jpeg())
        done = deploy("redrive", package=None)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "12 sent again, 0 failed" in done.stdout
        # The one that is no image still is a new dead letter, and is not tried without end.
        assert waiting() == 1
        assert len(s3.list_objects_v2(Bucket="photos-out")["Contents"]) == 11
        for number in range(30):
            s3.put_object(Bucket="photos-in", Key=f"more/{number}+.jpg", Body=sample_images.jpeg())
        s3.put_object(Bucket="photos-in", Key="readme.txt", Body=b"x")
        done = deploy("backfill", package=None)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "43 objects, 0 of them failed for now" in done.stdout
        assert len(s3.list_objects_v2(Bucket="photos-out")["Contents"]) == 41
