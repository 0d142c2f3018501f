"""deploy/aws/template.yaml, by cfn-lint and with conditions resolved. test_deploy.py deploys it on moto, which ignores most
of what is checked here."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from template import PATH, Template, source
from tintype import ROOT

SUFFIXES = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".JPG", ".JPEG", ".PNG"]
EIGHT = [
    "Duration",
    "Throttles",
    "ConcurrentExecutions",
    "Invocations",
    "Errors",
    "AsyncEventsReceived",
    "AsyncEventsDropped",
    "AsyncEventAge",
]


def listed(value):
    return value if isinstance(value, list) else [value]


def test_cfn_lint_finds_nothing():
    # cfn-lint finds circular dependencies, too.
    found = subprocess.run(
        [str(Path(sys.executable).parent / "cfn-lint"), "--non-zero-exit-code", "informational", str(PATH)],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_it_is_plain_cloudformation_small_enough_to_be_sent_as_it_is():
    assert "Transform" not in source()
    assert PATH.stat().st_size <= 51_200


def notifications(template, event):
    every = template["SourceBucket"]["NotificationConfiguration"]["LambdaConfigurations"]
    return [one for one in every if one["Event"] == event]


def rules(notification):
    return {rule["Name"]: rule["Value"] for rule in notification["Filter"]["S3Key"]["Rules"]}


def test_one_notification_for_each_suffix():
    found = notifications(Template(), "s3:ObjectCreated:*")
    assert [rules(one) for one in found] == [{"suffix": suffix} for suffix in SUFFIXES]
    assert {one["Function"] for one in found} == {"<Function.Arn>"}
    found = notifications(Template(Prefix="raw/"), "s3:ObjectCreated:*")
    assert [rules(one) for one in found] == [{"prefix": "raw/", "suffix": suffix} for suffix in SUFFIXES]


def test_the_filter_of_the_function_is_that_of_the_notifications():
    settings = (ROOT / "tintype.example.toml").read_text()
    assert all(f'"{suffix}"' in settings for suffix in SUFFIXES)
    variables = Template(Prefix="raw/")["Function"]["Environment"]["Variables"]
    assert variables["TINTYPE_TRIGGER__PREFIX"] == '"raw/"'
    assert "TINTYPE_TRIGGER__PREFIX" not in Template()["Function"]["Environment"]["Variables"]


def test_deletes_are_mirrored_only_by_parameter():
    plain, mirrored = Template(), Template(MirrorDeletes="true")
    assert notifications(plain, "s3:ObjectRemoved:*") == []
    found = notifications(mirrored, "s3:ObjectRemoved:*")
    assert [rules(one)["suffix"] for one in found] == SUFFIXES
    assert mirrored["Function"]["Environment"]["Variables"]["TINTYPE_TRIGGER__MIRROR_DELETES"] == "true"
    assert actions(plain) & {"s3:DeleteObject"} == set()
    assert "s3:DeleteObject" in actions(mirrored)


@pytest.mark.parametrize("name", ["SourceBucket", "DestinationBucket"])
def test_buckets(name):
    bucket = Template()[name]
    encryption = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    expired = bucket["LifecycleConfiguration"]["Rules"][0]
    assert (expired["Status"], expired["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]) == ("Enabled", 7)


def statements(policy):
    return policy["PolicyDocument"]["Statement"]


def test_forms_of_the_configured_origin_may_be_sent_to_the_source_bucket():
    (rule,) = Template(CorsOrigin="https://shop.example")["SourceBucket"]["CorsConfiguration"]["CorsRules"]
    assert (rule["AllowedOrigins"], rule["AllowedMethods"]) == (["https://shop.example"], ["POST"])
    assert rule["ExposedHeaders"] == ["ETag"]
    assert "CorsConfiguration" not in Template()["SourceBucket"]


@pytest.mark.parametrize("name", ["Source", "Destination"])
def test_bucket_policies_require_tls(name):
    policy = Template()[f"{name}BucketPolicy"]
    refused = [one for one in statements(policy) if one["Effect"] == "Deny" and "Bool" in one.get("Condition", {})]
    assert refused[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert refused[0]["Action"] == "s3:*" and len(refused[0]["Resource"]) == 2


def test_bucket_policies_say_who_may_do_what():
    def allowed(policy):
        return {
            (one["Principal"]["AWS"], action)
            for one in statements(policy)
            if one["Effect"] == "Allow"
            for action in listed(one["Action"])
        }

    template = Template()
    role = "<Role.Arn>"
    assert allowed(template["SourceBucketPolicy"]) == {(role, "s3:GetObject"), (role, "s3:ListBucket")}
    assert allowed(template["DestinationBucketPolicy"]) == {
        (role, "s3:GetObject"),
        (role, "s3:PutObject"),
        (role, "s3:ListBucket"),
    }
    assert (role, "s3:PutObject") in allowed(Template(ApiUploads="true")["SourceBucketPolicy"])
    others = [one for one in statements(template["DestinationBucketPolicy"]) if one["Sid"] == "NobodyElseWrites"]
    assert others[0]["Effect"] == "Deny" and others[0]["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": role}}


def actions(template):
    (policy,) = template["Role"]["Policies"]
    return {action for one in statements(policy) for action in listed(one["Action"])}


def test_the_role_may_what_it_must_and_nothing_else():
    template = Template()
    (policy,) = template["Role"]["Policies"]
    assert "ManagedPolicyArns" not in template["Role"]
    actual = {
        (action, resource)
        for one in statements(policy)
        for action in listed(one["Action"])
        for resource in listed(one["Resource"])
    }
    assert all(one["Effect"] == "Allow" for one in statements(policy))
    assert actual == {
        ("s3:GetObject", "arn:aws:s3:::in/*"),
        ("s3:GetObject", "arn:aws:s3:::out/*"),
        ("s3:ListBucket", "arn:aws:s3:::in"),
        ("s3:ListBucket", "arn:aws:s3:::out"),
        ("s3:PutObject", "arn:aws:s3:::out/*"),
        ("logs:CreateLogStream", "<FunctionLogs.Arn>"),
        ("logs:PutLogEvents", "<FunctionLogs.Arn>"),
        ("sqs:SendMessage", "<DeadLetters.Arn>"),
    }
    assert actions(Template(ApiUploads="true")) == actions(template)


def test_an_existing_role_is_taken_instead():
    arn = "arn:aws:iam::123456789012:role/LabRole"
    template = Template(ExistingRoleArn=arn)
    assert template["Function"]["Role"] == arn
    assert template.of_type("AWS::IAM::Role") == {}
    assert arn in json.dumps(template["DestinationBucketPolicy"])


def test_the_function():
    function = Template(Architecture="arm64")["Function"]
    assert (function["Runtime"], function["Handler"]) == ("provided.al2023", "bootstrap")
    assert function["Architectures"] == ["arm64"]
    assert function["RecursiveLoop"] == "Terminate"
    assert function["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": "<FunctionLogs>"}
    variables = function["Environment"]["Variables"]
    assert (variables["SOURCE_BUCKET"], variables["DESTINATION_BUCKET"]) == ("in", "out")
    assert variables["DEAD_LETTER_QUEUE_URL"] == "<DeadLetters>"
    # Parameters without a value are left to the settings, which may have renditions of their own.
    actual = {"Size": "64x64", "Fit": "cover", "Format": "png", "Quality": "70", "Key": "t/{key}"}
    assert {variables[f"THUMBNAIL_{name.upper()}"] for name in actual} == {""}
    given = Template(**{f"Thumbnail{name}": value for name, value in actual.items()})["Function"]["Environment"]["Variables"]
    assert {name: given[f"THUMBNAIL_{name.upper()}"] for name in actual} == actual
    assert "ReservedConcurrentExecutions" not in function
    assert Template(ReservedConcurrency=5)["Function"]["ReservedConcurrentExecutions"] == 5


def test_who_may_call_the_function():
    template = Template()
    s3, api = template["InvokeFromS3"], template["InvokeFromApi"]
    assert (s3["SourceArn"], s3["SourceAccount"]) == ("arn:aws:s3:::in", "123456789012")
    assert api["SourceAccount"] == "123456789012" and api["SourceArn"].endswith(":<Api>/*/*/myimage*")
    assert template.resources["SourceBucket"]["DependsOn"] == "InvokeFromS3"


def test_failed_events_go_to_the_dead_letter_queue():
    invoke = Template()["InvokeConfig"]
    assert (invoke["MaximumRetryAttempts"], invoke["MaximumEventAgeInSeconds"]) == (2, 21600)
    assert invoke["DestinationConfig"] == {"OnFailure": {"Destination": "<DeadLetters.Arn>"}}
    assert Template()["DeadLetters"]["SqsManagedSseEnabled"] is True


def test_provisioned_concurrency_brings_an_alias_that_everything_calls():
    plain, warm = Template(), Template(ProvisionedConcurrency=3)
    assert plain.of_type("AWS::Lambda::Alias") == {} and plain["InvokeConfig"]["Qualifier"] == "$LATEST"
    assert warm["Live"]["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 3}
    assert {one["Function"] for one in notifications(warm, "s3:ObjectCreated:*")} == {"<Live>"}
    assert warm["InvokeFromS3"]["FunctionName"] == warm["InvokeFromApi"]["FunctionName"] == "<Live>"
    assert "<Live>" in warm["ImageGet"]["Integration"]["Uri"] and warm["InvokeConfig"]["Qualifier"] == "<Live>"


def test_log_groups_have_an_end():
    groups = Template().of_type("AWS::Logs::LogGroup")
    assert {one["LogGroupName"] for one in groups.values()} == {"/aws/lambda/Thumbnails", "/aws/apigateway/Thumbnails-api"}
    assert {one["RetentionInDays"] for one in groups.values()} == {14}


def methods(template):
    paths = {"<ImageResource>": "/myimage", "<ImageProxyResource>": "/myimage/{proxy+}"}
    return {
        (paths[one["ResourceId"]], one["HttpMethod"]): one for one in template.of_type("AWS::ApiGateway::Method").values()
    }


def test_the_api():
    template = Template(ApiEndpointType="EDGE")
    found = methods(template)
    verbs = ["GET", "HEAD", "OPTIONS", "POST"]
    assert sorted(found) == sorted((path, verb) for path in ("/myimage", "/myimage/{proxy+}") for verb in verbs)
    assert template["Api"]["BinaryMediaTypes"] == ["*/*"]
    assert template["Api"]["EndpointConfiguration"] == {"Types": ["EDGE"]}
    assert template["ApiStage"]["StageName"] == "dev1"
    for (_, verb), method in found.items():
        if verb == "OPTIONS":
            assert method["Integration"]["Type"] == "MOCK" and method["ApiKeyRequired"] is False
            assert method["Integration"]["ContentHandling"] == "CONVERT_TO_TEXT"
        else:
            assert method["Integration"]["Type"] == "AWS_PROXY" and method["Integration"]["IntegrationHttpMethod"] == "POST"
    waited_for = template.resources["ApiDeployment"]["DependsOn"]
    assert set(template.of_type("AWS::ApiGateway::Method")) <= set(waited_for)
    assert set(template.of_type("AWS::ApiGateway::GatewayResponse")) <= set(waited_for)


def test_cors_also_on_the_gateways_own_responses():
    template = Template(CorsOrigin="https://shop.example")
    answers = template.of_type("AWS::ApiGateway::GatewayResponse")
    assert {one["ResponseType"] for one in answers.values()} == {"DEFAULT_4XX", "DEFAULT_5XX", "REQUEST_TOO_LARGE"}
    for one in answers.values():
        origin = one["ResponseParameters"]["gatewayresponse.header.Access-Control-Allow-Origin"]
        assert origin == "'https://shop.example'"
    preflight = template["ImageOptions"]["Integration"]["IntegrationResponses"][0]["ResponseParameters"]
    declared = template["ImageOptions"]["MethodResponses"][0]["ResponseParameters"]
    assert set(preflight) == set(declared)
    variables = template["Function"]["Environment"]["Variables"]
    assert json.loads(variables["TINTYPE_API__CORS_ORIGINS"]) == ["https://shop.example"]
    assert "uploads" in template["ResponseTooLarge"]["ResponseTemplates"]["application/json"]
    json.loads(template["ResponseTooLarge"]["ResponseTemplates"]["application/json"])
    plain = Template()
    assert "ResponseParameters" not in plain["Response4xx"]
    assert "ResponseParameters" not in plain["ImageOptions"]["Integration"]["IntegrationResponses"][0]


def test_throttling_key_quota_and_cache():
    template = Template(ApiKeyRequired="true", CacheTtlInSeconds=300)
    (every, get) = template["ApiStage"]["MethodSettings"]
    assert (every["ResourcePath"], every["HttpMethod"]) == ("/*", "*")
    assert (every["ThrottlingRateLimit"], every["ThrottlingBurstLimit"]) == (100, 200)
    assert every["CachingEnabled"] is False
    assert (get["HttpMethod"], get["CachingEnabled"], get["CacheTtlInSeconds"]) == ("GET", True, 300)
    assert template["ApiStage"]["CacheClusterEnabled"] is True
    keyed = template["ImageGet"]["Integration"]["CacheKeyParameters"]
    assert set(keyed) == set(template["ImageGet"]["RequestParameters"])
    # Everything that a response depends on.
    fields = re.search(r"const FIELDS: .* = \[(.*)\];", (ROOT / "crates/api/src/query.rs").read_text())[1]
    query = {name.removeprefix("method.request.querystring.") for name in keyed if "querystring" in name}
    assert query == {field.strip(' "') for field in fields.split(",")}
    assert template["UsagePlan"]["Quota"] == {"Limit": 100000, "Period": "DAY"}
    assert all(one["ApiKeyRequired"] is (verb != "OPTIONS") for (_, verb), one in methods(template).items())
    plain = Template()
    assert "UsagePlan" not in plain.resources and len(plain["ApiStage"]["MethodSettings"]) == 1
    assert plain["ApiStage"]["CacheClusterEnabled"] is False


def test_access_logs():
    setting = Template()["ApiStage"]["AccessLogSetting"]
    assert setting["DestinationArn"].endswith(":log-group:<ApiLogs>")
    assert "\n" not in setting["Format"] and set(json.loads(setting["Format"])) >= {"requestId", "status", "path"}
    assert "AccessLogSetting" not in Template(ApiAccessLogs="false")["ApiStage"]
    assert Template(ApiAccountLogRole="true").of_type("AWS::ApiGateway::Account")


def test_the_dashboard_has_the_eight_graphs_and_memory():
    dashboard = Template()["Dashboard"]
    assert dashboard["DashboardName"] == "thumbnail"
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    assert [one["properties"]["title"] for one in widgets[:8]] == EIGHT
    shown = {tuple(metric[:4]) for one in widgets for metric in one["properties"]["metrics"]}
    assert {("AWS/Lambda", name, "FunctionName", "Thumbnails") for name in EIGHT} <= shown
    assert ("Tintype", "MemoryUsed", "FunctionName", "Thumbnails") in shown
    places = [(one["x"], one["y"]) for one in widgets]
    assert len(set(places)) == len(places)


def test_what_the_dashboard_shows_is_measured():
    """Custom metrics have the names of the function's metrics."""
    catalogue = (ROOT / "crates/telemetry/src/metrics/catalogue.rs").read_text()
    for one in json.loads(Template()["Dashboard"]["DashboardBody"])["widgets"]:
        for namespace, name, *_ in one["properties"]["metrics"]:
            assert namespace != "Tintype" or re.search(rf"^    {name}, ", catalogue, re.M), name


def test_alarms():
    alarms = Template(AlarmEmail="a@example.com").of_type("AWS::CloudWatch::Alarm")
    watched = {one["MetricName"] for one in alarms.values()}
    assert watched >= {
        "AsyncEventsDropped",
        "Errors",
        "Throttles",
        "AsyncEventAge",
        "ApproximateNumberOfMessagesVisible",
    }
    actual = {
        one["MetricName"]: (one["Namespace"], one["Statistic"], one["Threshold"], one["EvaluationPeriods"], one["Period"])
        for one in alarms.values()
    }
    assert actual["AsyncEventsDropped"] == ("AWS/Lambda", "Sum", 0, 1, 60)
    assert actual["Errors"] == ("AWS/Lambda", "Sum", 5, 3, 60)
    assert actual["Throttles"] == ("AWS/Lambda", "Sum", 0, 3, 60)
    assert actual["AsyncEventAge"] == ("AWS/Lambda", "Maximum", 300_000, 3, 60)
    assert actual["ApproximateNumberOfMessagesVisible"] == ("AWS/SQS", "Maximum", 0, 1, 60)
    assert {one["ComparisonOperator"] for one in alarms.values()} == {"GreaterThanThreshold"}
    named = {one["MetricName"]: one["Dimensions"] for one in alarms.values()}
    assert named["Errors"] == [{"Name": "FunctionName", "Value": "Thumbnails"}]
    assert named["ApproximateNumberOfMessagesVisible"] == [{"Name": "QueueName", "Value": "<DeadLetters.QueueName>"}]
    assert {one["TreatMissingData"] for one in alarms.values()} == {"notBreaching"}
    assert all(one["AlarmActions"] == ["<AlarmTopic>"] for one in alarms.values())
    assert all(one["AlarmActions"] == [] for one in Template().of_type("AWS::CloudWatch::Alarm").values())


def test_saved_queries_use_existing_fields():
    queries = Template().of_type("AWS::Logs::QueryDefinition")
    assert len(queries) >= 5
    for one in queries.values():
        assert one["LogGroupNames"] == ["<FunctionLogs>"]
        assert 'type = "tintype.record"' in one["QueryString"] or 'type = "platform.report"' in one["QueryString"]
        if "tintype.record" in one["QueryString"]:
            assert fields(one["QueryString"]) <= LOGGED, one["Name"]


# The fields of a record's line; test_lambda_events.py checks lines.
LOGGED = {"type", "bucket", "key", "outcome", "reason", "why", "permanent", "milliseconds", "sinceUploadMs", "requestId", "sourceBytes"} | {
    f"stages.{name}" for name in ("wait", "read", "decode", "resample", "encode", "write")
}


def fields(query):
    """The fields that a query uses, without its own aliases."""
    text = re.sub(r'"[^"]*"', "", query)
    given = set(re.findall(r" as (\w+)", text))
    words = set(re.findall(r"(?<![@\w.])[a-zA-Z][\w.]*", text)) - given
    return words - {"filter", "fields", "stats", "sort", "limit", "and", "by", "as", "desc", "count", "avg", "pct", "max", "bin"}


def test_every_output_refers_to_a_resource():
    outputs = source()["Outputs"]
    assert {"UploadCommand", "ThumbnailCommand", "ApiUrl", "ApiId", "DeadLetterQueueUrl", "DashboardUrl"} <= set(outputs)
    # For every format and key the path matches.
    assert outputs["ThumbnailCommand"]["Value"] == {"Fn::Sub": "aws s3 ls --recursive s3://${DestinationBucketName}"}
