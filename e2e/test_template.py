"""The templates of deploy/aws, by cfn-lint and with conditions resolved. test_deploy.py deploys them on moto, which ignores
most of what is checked here; test_template_updates.py compares what updates change."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from template import FOLDER, PATH, Template, api_digest, source
from tintype import ROOT

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
        [
            str(Path(sys.executable).parent / "cfn-lint"),
            "--non-zero-exit-code",
            "informational",
            *map(str, sorted(FOLDER.glob("*.yaml"))),
        ],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_it_is_plain_cloudformation_small_enough_to_be_sent_as_it_is():
    assert "Transform" not in source()
    # CloudFormation takes 51,200; the rest is room for the next parameters.
    assert PATH.stat().st_size <= 50_800


def notifications(template, event):
    every = template["SourceBucket"]["NotificationConfiguration"]["LambdaConfigurations"]
    return [one for one in every if one["Event"] == event]


def rules(notification):
    return {rule["Name"]: rule["Value"] for rule in notification["Filter"]["S3Key"]["Rules"]}


def test_the_function_gets_every_key_below_the_prefix():
    """S3's filters know no suffix in any case, and the settings may name others: the function ignores the rest."""
    (every,) = notifications(Template(), "s3:ObjectCreated:*")
    assert every["Function"] == "<Live>" and "Filter" not in every
    (below,) = notifications(Template(Prefix="raw/"), "s3:ObjectCreated:*")
    assert rules(below) == {"prefix": "raw/"}
    assert "EventBridgeConfiguration" not in Template()["SourceBucket"]["NotificationConfiguration"]
    assert "SourceEvents" not in Template().resources
    # What is ignored is counted.
    outcomes = next(one for one in json.loads(Template()["Dashboard"]["DashboardBody"])["widgets"] if one["properties"]["title"] == "Outcomes")
    assert "'ignored'" in outcomes["properties"]["query"]


def test_a_filter_of_keys_takes_every_spelling_of_what_the_settings_name():
    template = Template(KeyFilter="images", MirrorDeletes="true")
    assert template["SourceBucket"]["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    pattern = template["SourceEvents"]["EventPattern"]
    assert pattern["detail-type"] == ["Object Created", "Object Deleted"]
    assert pattern["detail"]["bucket"] == {"name": ["in"]}
    assert template["InvokeFromEvents"]["SourceArn"] == "<SourceEvents.Arn>"
    # `suffixes = "images"`, in any case. The reference is produced from the program.
    table = (ROOT / "docs/reference/formats.md").read_text().split("<!-- produced -->")[1].split("<!-- end -->")[0]
    extensions = [one for row in table.strip().splitlines()[2:] for one in re.findall(r"`(\.\w+)`", row.split("|")[2])]
    assert len(extensions) >= 16
    selected = [one["suffix"]["equals-ignore-case"] for one in pattern["detail"]["object"]["key"]]
    assert sorted(selected) == sorted(extensions)
    # EventBridge takes patterns of at most 2048 characters.
    assert len(json.dumps(pattern, separators=(",", ":"))) <= 2_048
    assert json.dumps(pattern).isascii()


def test_the_function_has_the_prefix_of_the_notifications():
    variables = Template(Prefix="raw/")["Function"]["Environment"]["Variables"]
    assert variables["TINTYPE_TRIGGER__PREFIX"] == '"raw/"'
    assert "TINTYPE_TRIGGER__PREFIX" not in Template()["Function"]["Environment"]["Variables"]


def test_deletes_are_mirrored_only_by_parameter():
    plain, mirrored = Template(), Template(MirrorDeletes="true", Prefix="raw/")
    for event in ("s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"):
        assert notifications(plain, event) == []
        # The function's own filter has the suffixes.
        (found,) = notifications(mirrored, event)
        assert rules(found) == {"prefix": "raw/"}
        (found,) = notifications(Template(MirrorDeletes="true"), event)
        assert "Filter" not in found
    assert mirrored["Function"]["Environment"]["Variables"]["TINTYPE_TRIGGER__MIRROR_DELETES"] == "true"
    assert actions(plain) & {"s3:DeleteObject"} == set()
    assert "s3:DeleteObject" in actions(mirrored)


def test_names_follow_from_the_stack_unless_given():
    unnamed = {"SourceBucketName": "", "DestinationBucketName": ""}
    first, second = Template(**unnamed), Template(stack="Shop-2", **unnamed)
    assert (first["Function"]["FunctionName"], first["Dashboard"]["DashboardName"]) == ("Thumbnails", "thumbnail")
    assert second["Function"]["FunctionName"] == "Shop-2-Thumbnails"
    assert second["Dashboard"]["DashboardName"] == "Shop-2-thumbnail-us-east-1"
    for template in (first, second):
        for bucket, base in (("SourceBucket", "input-product-images"), ("DestinationBucket", "output-product-thumbnail")):
            name = template[bucket]["BucketName"]
            # The stack's identifier is unique and in lower case, which its name need not be.
            assert name == f"{base}-51af3dc0-da77-11e4-872e-1234567890ab" and len(name) <= 63
        assert template["Function"]["Environment"]["Variables"]["SOURCE_BUCKET"] == template["SourceBucket"]["BucketName"]
        assert template["InvokeFromS3"]["SourceArn"] == f"arn:aws:s3:::{template['SourceBucket']['BucketName']}"

    def names(template):
        """Every name that a resource is given, by its type: two stacks share none."""
        named = {}
        for one in template.resources.values():
            for property_, value in one["Properties"].items():
                if re.fullmatch(r"(Bucket|Function|LogGroup|Queue|Dashboard|Alarm|Layer|UsagePlan)Name", property_) or property_ == "Name":
                    if "Qualifier" not in one["Properties"] and not re.fullmatch("AWS::Lambda::(Alias|Version|Permission)", one["Type"]):
                        named[(one["Type"], str(value))] = one["Type"]
        return set(named)

    everything = {"ApiKeyRequired": "true", "ApiAccessLogs": "true", "SettingsKey": "s.zip", "AlarmEmail": "a@example.com"}
    shared = names(Template(**unnamed | everything)) & names(Template(stack="Shop-2", **unnamed | everything))
    # Buckets have the same identifier only here.
    assert {type_ for type_, _ in shared} <= {"AWS::S3::Bucket"}


def test_rules_refuse_what_cannot_work():
    assert Template().broken_rules() == []
    for parameters, part in [
        ({"DestinationBucketName": "in"}, "without end"),
        ({"SourceBucketExists": "true", "SourceBucketName": ""}, "SourceBucketName"),
        ({"DestinationBucketExists": "true", "DestinationBucketName": ""}, "DestinationBucketName"),
        ({"KeyFilter": "images", "Prefix": "raw/"}, "KeyFilter=none"),
        ({"ApiUploads": "true"}, "ApiKeyRequired=true"),
        ({"ApiUploads": "true", "ApiKeyRequired": "true", "ApiType": "NONE"}, "ApiType=REST"),
        ({"ApiEndpointType": "PRIVATE"}, "ApiVpcEndpointIds"),
        ({"Settings": "x", "SettingsKey": "s.zip"}, "not both"),
    ]:
        (broken,) = Template(**parameters).broken_rules()
        assert part in broken
    for parameters in (
        {"ApiUploads": "true", "ApiKeyRequired": "true"},
        {"SourceBucketName": "", "DestinationBucketName": ""},
        {"ApiEndpointType": "PRIVATE", "ApiVpcEndpointIds": "vpce-1"},
    ):
        assert Template(**parameters).broken_rules() == []


def test_existing_buckets_stay_as_they_are():
    template = Template(SourceBucketExists="true", DestinationBucketExists="true", Prefix="raw/", MirrorDeletes="true")
    assert template.of_type("AWS::S3::Bucket") == template.of_type("AWS::S3::BucketPolicy") == {}
    pattern = template["SourceEvents"]["EventPattern"]
    assert (pattern["source"], pattern["detail-type"]) == (["aws.s3"], ["Object Created", "Object Deleted"])
    assert pattern["detail"]["bucket"] == {"name": ["in"]}
    assert pattern["detail"]["object"] == {"key": [{"prefix": "raw/"}]}
    assert "object" not in Template(SourceBucketExists="true")["SourceEvents"]["EventPattern"]["detail"]
    filtered = Template(SourceBucketExists="true", KeyFilter="images")["SourceEvents"]["EventPattern"]["detail"]["object"]["key"]
    assert {"suffix": {"equals-ignore-case": ".jpg"}} in filtered
    assert template["SourceEvents"]["Targets"] == [{"Id": "function", "Arn": "<Live>"}]
    invoke = template["InvokeFromEvents"]
    assert (invoke["Principal"], invoke["SourceArn"]) == ("events.amazonaws.com", "<SourceEvents.Arn>")
    assert "InvokeFromS3" not in template.resources
    plain = Template()
    assert "SourceEvents" not in plain.resources
    assert rights(template) == rights(plain) | {("s3:DeleteObject", "arn:aws:s3:::out/*")}
    assert template.outputs["UploadCommand"] == "aws s3 cp photo.jpg s3://in/raw/photo.jpg"


def test_a_kms_key():
    key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd"
    template = Template(KmsKeyArn=key)
    for bucket in ("SourceBucket", "DestinationBucket"):
        (rule,) = template[bucket]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        # Else every object costs a request to KMS.
        assert rule["BucketKeyEnabled"] is True
    assert rights(template) - rights(Template()) == {("kms:Decrypt", key), ("kms:GenerateDataKey", key)}


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


def rights(template):
    (policy,) = template["Role"]["Policies"]
    return {
        (action, resource)
        for one in statements(policy)
        for action in listed(one["Action"])
        for resource in listed(one["Resource"])
    }


def test_the_role_may_what_it_must_and_nothing_else():
    template = Template()
    (policy,) = template["Role"]["Policies"]
    assert "ManagedPolicyArns" not in template["Role"]
    assert all(one["Effect"] == "Allow" for one in statements(policy))
    assert rights(template) == {
        ("s3:GetObject", "arn:aws:s3:::in/*"),
        ("s3:GetObject", "arn:aws:s3:::out/*"),
        ("s3:ListBucket", "arn:aws:s3:::in"),
        ("s3:ListBucket", "arn:aws:s3:::out"),
        ("s3:PutObject", "arn:aws:s3:::out/*"),
        ("logs:CreateLogStream", "<FunctionLogs.Arn>"),
        ("logs:PutLogEvents", "<FunctionLogs.Arn>"),
        ("sqs:SendMessage", "<DeadLetters.Arn>"),
    }
    assert rights(Template(ApiUploads="true")) - rights(template) == {("s3:PutObject", "arn:aws:s3:::in/*")}
    traced = rights(Template(Tracing="true")) - rights(template)
    assert traced == {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}


def test_an_existing_role_is_taken_instead():
    arn = "arn:aws:iam::123456789012:role/LabRole"
    template = Template(ExistingRoleArn=arn)
    assert template["Function"]["Role"] == arn
    assert template.of_type("AWS::IAM::Role") == {}
    everything = Template(ExistingRoleArn=arn, Release="Canary10Percent5Minutes", ApiAccessLogs="true", Tracing="true")
    assert everything.of_type("AWS::IAM::Role") == {} and everything["CanaryGroup"]["ServiceRoleArn"] == arn
    assert arn in json.dumps(template["DestinationBucketPolicy"])


def test_the_function():
    function = Template(Architecture="arm64")["Function"]
    assert (function["Runtime"], function["Handler"]) == ("provided.al2023", "bootstrap")
    assert function["Architectures"] == ["arm64"]
    assert function["RecursiveLoop"] == "Terminate"
    assert function["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": "/aws/lambda/Thumbnails",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "WARN",
    }
    assert function["TracingConfig"] == {"Mode": "PassThrough"} and "Layers" not in function
    layered = Template(SettingsKey="s.zip")
    assert layered["Function"]["Layers"] == ["<SettingsLayer>"]
    assert layered["SettingsLayer"]["Content"] == {"S3Bucket": "code", "S3Key": "s.zip"}
    variables = function["Environment"]["Variables"]
    assert (variables["SOURCE_BUCKET"], variables["DESTINATION_BUCKET"]) == ("in", "out")
    assert variables["API_UPLOADS"] == variables["CUSTOM_METRICS"] == "false"
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


def test_everything_calls_an_alias():
    plain, warm = Template(), Template(ProvisionedConcurrency=3)
    for template in (plain, warm):
        assert {one["Function"] for one in notifications(template, "s3:ObjectCreated:*")} == {"<Live>"}
        assert template["InvokeFromS3"]["FunctionName"] == template["InvokeFromApi"]["FunctionName"] == "<Live>"
        assert "<Live>" in template["ImageGet"]["Integration"]["Uri"]
        assert template["InvokeConfig"]["Qualifier"] == template["Live"]["Name"] == "live"
    # Without a version every parameter takes effect at once, also where nothing sets SettingsVersion.
    assert plain["Live"]["FunctionVersion"] == "$LATEST" and "ProvisionedConcurrencyConfig" not in plain["Live"]
    assert warm["Live"]["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 3}
    assert warm["Live"]["FunctionVersion"] == "<Version.Version>"


def test_a_version_only_of_a_changed_function():
    """Lambda publishes no version of an unchanged function: CloudFormation's update would fail."""
    long = "x" * 120
    template = Template(ProvisionedConcurrency=1, CodeKey=long, SettingsVersion="y" * 64)
    described, function = template["Version"]["Description"], template["Function"]
    assert len(described) <= 256
    parts = template.raw["Resources"]["Version"]["Properties"]["Description"]["Fn::Sub"]
    for parameter in re.findall(r"\$\{(\w+)\}", parts):
        changed = Template(ProvisionedConcurrency=1, **{"CodeKey": long, "SettingsVersion": "y" * 64} | {parameter: "other"})
        assert changed["Version"] != template["Version"] and changed["Function"] != function, parameter
    assert template.resources["Version"]["UpdateReplacePolicy"] == "Retain"


def test_a_canary_is_rolled_back_on_alarms():
    plain, canary = Template(), Template(Release="Canary10Percent5Minutes")
    assert plain.of_type("AWS::CodeDeploy::Application") == {} and "UpdatePolicy" not in plain.resources["Live"]
    update = canary.resources["Live"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert update == {"ApplicationName": "<CanaryApplication>", "DeploymentGroupName": "<CanaryGroup>"}
    group = canary["CanaryGroup"]
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert group["AutoRollbackConfiguration"]["Enabled"] is True and "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert {one["Name"] for one in group["AlarmConfiguration"]["Alarms"]} == {"<ErrorsAlarm>", "<EventsDroppedAlarm>"}
    assert canary["Live"]["FunctionVersion"] == "<Version.Version>"


def test_log_groups_have_an_end():
    groups = Template(ApiAccessLogs="true").of_type("AWS::Logs::LogGroup")
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
    ((_, deployment),) = deployments(template)
    waited_for = {*deployment["DependsOn"], *template.resources["ResponseTooLarge"]["DependsOn"]}
    assert set(template.of_type("AWS::ApiGateway::Method")) <= waited_for
    assert set(template.of_type("AWS::ApiGateway::GatewayResponse")) <= waited_for
    # The stage serves nothing that may not call the function yet.
    assert "InvokeFromApi" in waited_for
    without = Template(ApiType="NONE", ApiKeyRequired="true", ApiAccessLogs="true")
    assert not [one for one in without.resources.values() if "ApiGateway" in one["Type"]]
    assert "ApiUrl" not in without.outputs and "InvokeFromApi" not in without.resources


def deployments(template):
    return [(name, one) for name, one in template.resources.items() if one["Type"] == "AWS::ApiGateway::Deployment"]


def test_a_changed_api_is_deployed_again():
    """A deployment is a snapshot: another one has another name."""
    names = re.findall(r"ApiDeployment([0-9a-f]{8})\w+", PATH.read_text())
    assert len(names) == 4 and set(names) == {api_digest()}, f"in template.yaml, the API is ApiDeployment{api_digest()}"
    ((open_, _),), ((keyed, _),) = deployments(Template()), deployments(Template(ApiKeyRequired="true"))
    assert open_ != keyed and Template()["ApiStage"]["DeploymentId"] == f"<{open_}>"
    assert Template(ApiKeyRequired="true")["ApiStage"]["DeploymentId"] == f"<{keyed}>"


def test_a_private_api():
    private = Template(ApiEndpointType="PRIVATE", ApiVpcEndpointIds="vpce-1a,vpce-2b")["Api"]
    assert private["EndpointConfiguration"] == {"Types": ["PRIVATE"], "VpcEndpointIds": ["vpce-1a", "vpce-2b"]}
    (statement,) = private["Policy"]["Statement"]
    assert statement["Condition"] == {"StringEquals": {"aws:SourceVpce": ["vpce-1a", "vpce-2b"]}}
    assert "Policy" not in Template()["Api"]


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
    fields = re.search(r"const FIELDS: [^=]*=\s*\[(.*?)\];", (ROOT / "crates/api/src/query.rs").read_text(), re.DOTALL)[1]
    query = {name.removeprefix("method.request.querystring.") for name in keyed if "querystring" in name}
    assert query == set(re.findall(r'"([a-z]+)"', fields))
    assert template["UsagePlan"]["Quota"] == {"Limit": 100000, "Period": "DAY"}
    assert all(one["ApiKeyRequired"] is (verb != "OPTIONS") for (_, verb), one in methods(template).items())
    public = Template(ApiKeyRequired="true", PublicImages="presets")
    needs_key = {(path, verb): one["ApiKeyRequired"] for (path, verb), one in methods(public).items()}
    assert needs_key == {(path, verb): verb == "POST" for path, verb in needs_key}
    assert public["Function"]["Environment"]["Variables"]["TINTYPE_API__PUBLIC"] == "presets"
    assert "TINTYPE_API__PUBLIC" not in template["Function"]["Environment"]["Variables"]
    # API Gateway's cache would answer anybody with what a key holder got.
    for value in ("presets", "signed", "all"):
        stage = Template(ApiKeyRequired="true", CacheTtlInSeconds=300, PublicImages=value)["ApiStage"]
        assert stage["CacheClusterEnabled"] is False and not any(one["CachingEnabled"] for one in stage["MethodSettings"]), value
    plain = Template()
    assert "UsagePlan" not in plain.resources and len(plain["ApiStage"]["MethodSettings"]) == 1
    assert plain["ApiStage"]["CacheClusterEnabled"] is False


def test_access_logs():
    setting = Template(ApiAccessLogs="true")["ApiStage"]["AccessLogSetting"]
    assert setting["DestinationArn"].endswith(":log-group:<ApiLogs>")
    assert "\n" not in setting["Format"] and set(json.loads(setting["Format"])) >= {"requestId", "status", "path"}
    # Without API Gateway's role for logs a stage with access logs cannot be created.
    assert "AccessLogSetting" not in Template()["ApiStage"]
    role = source(FOLDER / "api-logs.yaml")["Resources"]
    assert {one["DeletionPolicy"] for one in role.values()} == {"Retain"}


def test_metrics_of_routes_and_traces_are_switched_on():
    plain, watched = Template()["ApiStage"], Template(ApiDetailedMetrics="true", Tracing="true", CacheTtlInSeconds=9)["ApiStage"]
    assert plain["TracingEnabled"] is False and {one["MetricsEnabled"] for one in plain["MethodSettings"]} == {False}
    assert watched["TracingEnabled"] is True and {one["MetricsEnabled"] for one in watched["MethodSettings"]} == {True}
    assert Template(Tracing="true")["Function"]["TracingConfig"] == {"Mode": "Active"}


def test_the_dashboard_has_the_eight_graphs_and_memory():
    dashboard = Template()["Dashboard"]
    assert dashboard["DashboardName"] == "thumbnail"
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    assert [one["properties"]["title"] for one in widgets[:8]] == EIGHT
    shown = {tuple(map(str, metric[:4])) for one in widgets for metric in one["properties"].get("metrics", [])}
    assert {("AWS/Lambda", name, "FunctionName", "Thumbnails") for name in EIGHT} <= shown
    memory = next(one for one in widgets if one["properties"]["title"] == "Memory used")
    assert "max(memoryBytes)" in memory["properties"]["query"]
    places = [(one["x"], one["y"]) for one in widgets]
    assert len(set(places)) == len(places)


def test_what_the_dashboard_shows_is_logged():
    """Queries of the log cost nothing until someone looks; metrics of one's own cost by the month."""
    queries = [
        one["properties"]["query"]
        for one in json.loads(Template()["Dashboard"]["DashboardBody"])["widgets"]
        if one["type"] == "log"
    ]
    assert len(queries) == 3
    for query in queries:
        origin, rest = query.split(" | ", 1)
        assert origin == "SOURCE '/aws/lambda/Thumbnails'" and "filter type = 'tintype.record'" in rest
        assert fields(rest) <= LOGGED, query


def watching(**parameters):
    return Template(FOLDER / "watching.yaml", **parameters)


def test_alarms():
    main = Template(AlarmEmail="a@example.com")
    nested = watching(ApiName="Thumbnails-api", AlarmTopicArn="<AlarmTopic>")
    alarms = main.of_type("AWS::CloudWatch::Alarm") | nested.of_type("AWS::CloudWatch::Alarm")
    actual = {
        one["MetricName"]: (one["Namespace"], one["Statistic"], one["Threshold"], one["EvaluationPeriods"], one["Period"])
        for one in alarms.values()
    }
    assert actual == {
        "AsyncEventsDropped": ("AWS/Lambda", "Sum", 0, 1, 60),
        "Errors": ("AWS/Lambda", "Sum", 5, 3, 60),
        "Throttles": ("AWS/Lambda", "Sum", 0, 3, 60),
        "AsyncEventAge": ("AWS/Lambda", "Maximum", 300_000, 3, 60),
        "DestinationDeliveryFailures": ("AWS/Lambda", "Sum", 0, 1, 60),
        # Each recovers by itself: new dead letters, not those that wait.
        "NumberOfMessagesSent": ("AWS/SQS", "Sum", 0, 1, 300),
        "ApproximateAgeOfOldestMessage": ("AWS/SQS", "Maximum", 864_000, 1, 300),
        "5XXError": ("AWS/ApiGateway", "Sum", 5, 3, 60),
    }
    assert {one["ComparisonOperator"] for one in alarms.values()} == {"GreaterThanThreshold"}
    named = {one["MetricName"]: one["Dimensions"] for one in alarms.values()}
    assert named["Errors"] == [{"Name": "FunctionName", "Value": "Thumbnails"}]
    assert named["NumberOfMessagesSent"] == [{"Name": "QueueName", "Value": "<DeadLetters.QueueName>"}]
    assert {one["TreatMissingData"] for one in alarms.values()} == {"notBreaching"}
    assert all(one["AlarmActions"] == one["OKActions"] == ["<AlarmTopic>"] for one in alarms.values())
    silent = Template().of_type("AWS::CloudWatch::Alarm") | watching().of_type("AWS::CloudWatch::Alarm")
    assert all(one["AlarmActions"] == one["OKActions"] == [] for one in silent.values()) and "ApiFaultsAlarm" not in silent


def test_the_nested_template_gets_its_parameters():
    nested = Template(WatchingTemplateUrl="https://code/w.yaml", AlarmEmail="a@example.com")["Watching"]
    assert nested["TemplateURL"] == "https://code/w.yaml"
    assert set(nested["Parameters"]) == set(source(FOLDER / "watching.yaml")["Parameters"])
    assert nested["Parameters"]["AlarmTopicArn"] == "<AlarmTopic>" and nested["Parameters"]["ApiName"] == "Thumbnails-api"
    assert "Watching" not in Template().resources
    # An update creates its alarms before it deletes those of earlier templates, so that the names must differ.
    names = {one["AlarmName"] for one in watching().of_type("AWS::CloudWatch::Alarm").values()}
    assert names and not names & {f"Thumbnails-{one}" for one in ("Throttles", "EventAge", "ApiFaults", "DeadLetters")}


def test_saved_queries_use_existing_fields():
    queries = watching().of_type("AWS::Logs::QueryDefinition")
    assert len(queries) >= 5
    for one in queries.values():
        assert one["LogGroupNames"] == ["/aws/lambda/Thumbnails"]
        assert 'type = "tintype.record"' in one["QueryString"]
        assert fields(one["QueryString"]) <= LOGGED, one["Name"]


# The fields of a record's line; test_lambda_events.py checks lines.
LOGGED = {
    "type",
    "bucket",
    "key",
    "outcome",
    "reason",
    "why",
    "permanent",
    "milliseconds",
    "sinceUploadMs",
    "requestId",
    "sourceBytes",
    "thumbnailBytes",
    "memoryBytes",
    "coldStart",
} | {f"stages.{name}" for name in ("wait", "read", "decode", "resample", "encode", "write")}


def fields(query):
    """The fields that a query uses, without its own aliases."""
    text = re.sub(r"\"[^\"]*\"|'[^']*'", "", query)
    given = set(re.findall(r" as (\w+)", text))
    words = set(re.findall(r"(?<![@\w.])[a-zA-Z][\w.]*", text)) - given
    keywords = {"filter", "fields", "stats", "sort", "limit", "and", "by", "as", "desc"}
    return words - keywords - {"count", "avg", "pct", "max", "sum", "bin", "strcontains"}


def test_the_http_api():
    cors = {"FunctionAlias": "arn:aws:lambda:us-east-1:1:function:F:live", "CorsOrigin": "https://shop.example"}
    template = Template(FOLDER / "http-api.yaml", **cors)
    # Uploads need a key, which an HTTP API does not have.
    routes = {one["RouteKey"] for one in template.of_type("AWS::ApiGatewayV2::Route").values()}
    assert routes == {f"{verb} /myimage{rest}" for verb in ("GET", "HEAD") for rest in ("", "/{proxy+}")}
    assert (template["Stage"]["StageName"], template["Stage"]["AutoDeploy"]) == ("dev1", True)
    assert template["Stage"]["DefaultRouteSettings"]["ThrottlingRateLimit"] == 100
    assert template["Api"]["CorsConfiguration"]["AllowOrigins"] == ["https://shop.example"]
    assert template["Invoke"]["SourceArn"].endswith(":<Api>/*/*/myimage*")


def test_a_queue_for_backfills():
    alias, role = "arn:aws:lambda:us-east-1:1:function:F:live", "arn:aws:iam::1:role/tintype-Role-X1"
    template = Template(FOLDER / "backfill.yaml", FunctionAlias=alias, RoleArn=role)
    mapping = template["Mapping"]
    assert (mapping["EventSourceArn"], mapping["FunctionName"], mapping["BatchSize"]) == ("<Queue.Arn>", alias, 10)
    # Else one image that fails has the whole batch delivered again.
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 10}
    assert template["Rights"]["RoleName"] == "tintype-Role-X1"
    (statement,) = statements(template["Rights"])
    assert set(statement["Action"]) == {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    assert statement["Resource"] == "<Queue.Arn>"
    # The rights come first.
    assert "<Rights" in json.dumps(mapping["Tags"])
    # A message is not delivered to two calls at once.
    assert template["Queue"]["VisibilityTimeout"] >= 6 * source()["Parameters"]["Timeout"]["Default"]
    assert template["Queue"]["RedrivePolicy"] == {"deadLetterTargetArn": "<DeadLetters.Arn>", "maxReceiveCount": 5}
    lab = Template(FOLDER / "backfill.yaml", FunctionAlias=alias, RoleArn=role, GrantRights="false")
    assert lab.of_type("AWS::IAM::RolePolicy") == {} and "Rights" not in json.dumps(lab["Mapping"])


def test_domain_and_firewall():
    domain = Template(FOLDER / "api-extras.yaml", ApiId="a1", DomainName="i.shop.example", CertificateArn="c", WebAclArn="w")
    assert domain["Mapping"] == {"DomainName": "<Domain>", "ApiId": "a1", "Stage": "dev1"}
    assert domain["WebAcl"]["ResourceArn"] == "arn:aws:apigateway:us-east-1::/restapis/a1/stages/dev1"
    assert domain.broken_rules() == []
    assert len(Template(FOLDER / "api-extras.yaml", ApiId="a1").broken_rules()) == 1
    assert len(Template(FOLDER / "api-extras.yaml", ApiId="a1", DomainName="i.shop.example").broken_rules()) == 1


def test_delivery_through_cloudfront():
    template = Template(FOLDER / "delivery.yaml", DestinationBucketName="out", ApiId="a1", PublicKey="PEM")
    config = template["Distribution"]["DistributionConfig"]
    bucket, api = config["Origins"]
    assert bucket["DomainName"] == "out.s3.us-east-1.amazonaws.com" and bucket["OriginAccessControlId"] == "<AccessControl>"
    assert config["DefaultCacheBehavior"]["TrustedKeyGroups"] == ["<SigningKeys>"]
    assert api["DomainName"] == "a1.execute-api.us-east-1.amazonaws.com"
    (behaviour,) = config["CacheBehaviors"]
    assert (behaviour["PathPattern"], behaviour["AllowedMethods"]) == ("/dev1/myimage*", ["GET", "HEAD"])
    keyed = template["ApiCache"]["CachePolicyConfig"]["ParametersInCacheKeyAndForwardedToOrigin"]
    # What is cached for a client with a key is not served to one without.
    assert "X-Api-Key" in keyed["HeadersConfig"]["Headers"] and keyed["QueryStringsConfig"] == {"QueryStringBehavior": "all"}
    plain = Template(FOLDER / "delivery.yaml", DestinationBucketName="out")["Distribution"]["DistributionConfig"]
    assert "CacheBehaviors" not in plain and "TrustedKeyGroups" not in plain["DefaultCacheBehavior"]
    arn = "arn:aws:cloudfront::123456789012:distribution/E1"
    allowed = statements(Template(DistributionArn=arn)["DestinationBucketPolicy"])[-1]
    assert allowed["Principal"] == {"Service": "cloudfront.amazonaws.com"} and allowed["Action"] == "s3:GetObject"
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceArn": arn}}


def test_every_output_refers_to_a_resource():
    outputs = Template().outputs
    assert {"UploadCommand", "ThumbnailCommand", "ApiUrl", "ApiId", "DeadLetterQueueUrl", "DashboardUrl"} <= set(outputs)
    # For every format and key the path matches.
    assert outputs["ThumbnailCommand"] == "aws s3 ls --recursive s3://out"


def test_the_right_to_ask_a_model_is_for_one_model():
    template = Template(FOLDER / "alt-text.yaml", RoleName="image-server", AltTextModel="amazon.nova-lite-v1:0")
    policy = template["AltText"]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert policy["RoleName"] == "image-server" and statement["Action"] == "bedrock:InvokeModel"
    assert [resource.split("/", 1)[1] for resource in statement["Resource"]] == ["amazon.nova-lite-v1:0", "*.amazon.nova-lite-v1:0"]
    guarded = Template(FOLDER / "alt-text.yaml", RoleName="image-server", GuardrailId="gr1")["AltText"]
    assert [one["Action"] for one in guarded["PolicyDocument"]["Statement"]] == ["bedrock:InvokeModel", "bedrock:ApplyGuardrail"]
