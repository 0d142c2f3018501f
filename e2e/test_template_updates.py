"""What each update of a stack changes, by comparing templates: CloudFormation's change set is the same comparison. Which
properties replace a resource is in CloudFormation's own schemas, which cfn-lint has."""

import copy
import json
import re

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

import recording
import template as templates
from template import Template
from tintype import ROOT

# What a new version of the function changes, and the function itself.
PACKAGE = {"CodeKey": "new.zip"}
WARM = {"ProvisionedConcurrency": "2"}
CANARY = {"Release": "Canary10Percent5Minutes"}
VERSION = {"Function": "modify", "Version": "replace", "Live": "modify"}
OPEN = f"ApiDeployment{templates.api_digest()}Open"
KEYED = f"ApiDeployment{templates.api_digest()}Key"
METHODS = {f"{resource}{verb}": "modify" for resource in ("Image", "ImageProxy") for verb in ("Get", "Head", "Post")}
CORS = {name: "modify" for name in ("ImageOptions", "ImageProxyOptions", "Response4xx", "Response5xx", "ResponseTooLarge")}
ALARMS = {f"{name}Alarm": "modify" for name in ("EventsDropped", "Errors", "DeadLetters")}
API = {
    **{name: "remove" for name in (*METHODS, *CORS, "Api", "ImageResource", "ImageProxyResource", OPEN, "ApiStage", "InvokeFromApi")},
}
NAMED_BY_FUNCTION = {
    "FunctionLogs": "replace",
    "Function": "replace",
    "Live": "replace",
    "InvokeConfig": "replace",
    "DeadLetters": "replace",
}

# An update from one set of parameters to another, and all that it changes.
UPDATES = {
    "nothing": ({}, {}, {}),
    "a new package": ({}, PACKAGE, {"Function": "modify"}),
    "a new package with warm processes": (WARM, PACKAGE, VERSION),
    "a new package with a canary": (CANARY, PACKAGE, VERSION),
    "warm processes on": ({}, WARM, {"Version": "add", "Live": "modify"}),
    "warm processes off": (WARM, {"ProvisionedConcurrency": "0"}, {"Version": "remove", "Live": "modify"}),
    "more warm processes": (WARM, {"ProvisionedConcurrency": "5"}, {"Live": "modify"}),
    "a canary on": (
        {},
        CANARY,
        {"Version": "add", "Live": "modify", "CanaryApplication": "add", "CanaryGroup": "add", "CanaryRole": "add"},
    ),
    "a canary off, warm processes stay": (
        WARM | CANARY,
        {"Release": "AllAtOnce"},
        {"Live": "modify", "CanaryApplication": "remove", "CanaryGroup": "remove", "CanaryRole": "remove"},
    ),
    "memory with warm processes": (WARM, {"MemorySize": "1024"}, VERSION),
    "memory": ({}, {"MemorySize": "1024"}, {"Function": "modify"}),
    "settings as text": ({}, {"Settings": "[api]"}, {"Function": "modify"}),
    "settings from text to a layer": (
        {"Settings": "[api]"},
        {"Settings": "", "SettingsKey": "s.zip"},
        {"Function": "modify", "SettingsLayer": "add"},
    ),
    "other settings in a layer": (
        {"SettingsKey": "s.zip"},
        {"SettingsKey": "t.zip"},
        {"SettingsLayer": "replace", "Function": "modify"},
    ),
    "an alarm's address with warm processes": (WARM, {"AlarmEmail": "a@example.com"}, {"AlarmTopic": "add", **ALARMS}),
    "log retention with warm processes": (WARM, {"LogRetentionInDays": "30"}, {"FunctionLogs": "modify"}),
    "throttles": ({}, {"ThrottleRate": "5"}, {"ApiStage": "modify"}),
    "a key for the API": (
        {},
        {"ApiKeyRequired": "true"},
        METHODS
        | {OPEN: "remove", KEYED: "add", "ApiStage": "modify"}
        | {"ApiKey": "add", "UsagePlan": "add", "UsagePlanKey": "add"},
    ),
    "uploads": (
        {"ApiKeyRequired": "true"},
        {"ApiUploads": "true"},
        {"Function": "modify", "Role": "modify", "SourceBucketPolicy": "modify"},
    ),
    "CORS": ({}, {"CorsOrigin": "*"}, CORS | {"Function": "modify", "SourceBucket": "modify"}),
    "no API": ({}, {"ApiType": "NONE"}, API),
    "a cache": ({}, {"CacheTtlInSeconds": "60"}, {"ApiStage": "modify"}),
    "mirrored deletes": (
        {},
        {"MirrorDeletes": "true"},
        {"Function": "modify", "Role": "modify", "SourceBucket": "modify", "DestinationBucketPolicy": "modify"},
    ),
    "a prefix": ({}, {"Prefix": "raw/"}, {"Function": "modify", "SourceBucket": "modify"}),
    "traces": ({}, {"Tracing": "true"}, {"Function": "modify", "Role": "modify", "ApiStage": "modify"}),
    "a KMS key": (
        {},
        {"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1"},
        {"Role": "modify", "SourceBucket": "modify", "DestinationBucket": "modify"},
    ),
    "keys selected by EventBridge": (
        {},
        {"KeyFilter": "images"},
        {"SourceBucket": "modify", "SourceEvents": "add", "InvokeFromEvents": "add"},
    ),
    "keys of an existing bucket selected": ({"SourceBucketExists": "true"}, {"KeyFilter": "images"}, {"SourceEvents": "modify"}),
    "a private API": ({}, {"ApiEndpointType": "PRIVATE", "ApiVpcEndpointIds": "vpce-1"}, {"Api": "modify"}),
    "access logs of the API": ({}, {"ApiAccessLogs": "true"}, {"ApiLogs": "add", "ApiStage": "modify"}),
    "more alarms and saved queries": ({}, {"WatchingTemplateUrl": "https://code/w.yaml"}, {"Watching": "add"}),
    "CloudFront": ({}, {"DistributionArn": "arn:aws:cloudfront::1:distribution/E"}, {"DestinationBucketPolicy": "modify"}),
}


def changes(before, after):
    """Every resource that differs: to add, remove, modify or replace. What refers to a replaced resource differs, too."""
    anew = set()
    while True:
        found = {}
        for name in before.resources.keys() | after.resources.keys():
            old, new = before.resources.get(name), referring(after.resources.get(name), anew)
            if old is None or new is None:
                found[name] = "add" if old is None else "remove"
            elif old != new:
                found[name] = "replace" if replaced(old, new) else "modify"
        replacements = {name for name, what in found.items() if what == "replace"}
        if replacements == anew:
            return found
        anew = replacements


def referring(resource, anew):
    """The resource with other references to those of `anew`."""
    text = json.dumps(resource)
    for name in anew:
        text = re.sub(rf"<{name}(?=[.>])", f"<new {name}", text)
    return json.loads(text)


def replaced(old, new):
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", new["Type"]).schema
    only_at_creation = {path.split("/")[2] for path in schema.get("createOnlyProperties", [])}
    return any(old["Properties"].get(name) != new["Properties"].get(name) for name in only_at_creation)


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_changes_what_it_must_and_nothing_else(name):
    before, change, expected = UPDATES[name]
    after = before | change
    assert Template(**before).broken_rules() == Template(**after).broken_rules() == []
    assert changes(Template(**before), Template(**after)) == expected
    # Back again, as CloudFormation does if the update fails.
    back = {"add": "remove", "remove": "add"}
    assert changes(Template(**after), Template(**before)) == {one: back.get(what, what) for one, what in expected.items()}


def test_the_table_of_the_docs_is_that_of_the_tests():
    """docs/operate/aws-updates.md; RECORD=1 writes it."""
    assert len(UPDATES) >= 20
    words = {"add": "added", "modify": "changed", "replace": "replaced", "remove": "removed"}
    rows = ["| Update | Parameters | CloudFormation |", "|---|---|---|"]
    for name, (before, change, expected) in UPDATES.items():
        given = " ".join(f"`{key}={value}`" for key, value in change.items())
        given += f" (before: {' '.join(f'`{key}={value}`' for key, value in before.items())})" if before else ""
        done = [
            f"{word}: {', '.join(f'`{one}`' for one in sorted(shown(expected, what)))}"
            for what, word in words.items()
            if what in expected.values()
        ]
        rows.append(f"| {name} | {given or '–'} | {'; '.join(done) or 'nothing'} |")
    page = ROOT / "docs/operate/aws-updates.md"
    start, end = "<!-- produced -->\n\n", "\n\n<!-- end -->"
    head, rest = page.read_text().split(start)
    text = head + start + "\n".join(rows) + end + rest.split(end)[1]
    if recording.RECORDS:
        page.write_text(text)
    recording.same(str(page.relative_to(ROOT)), page.read_text(), text)


def shown(expected, what):
    """The resources that an update treats so; the digest in a name is left out, as every change of the API changes it."""
    return {re.sub(r"(?<=ApiDeployment)[0-9a-f]{8}", "…", name) for name, one in expected.items() if one == what}


def test_no_update_touches_the_callers_of_the_alias():
    """So that neither events nor requests fail meanwhile: notifications, permissions and integrations stay."""
    callers = ("InvokeFromS3", "InvokeFromApi", "InvokeConfig", *METHODS)
    for name in ("warm processes on", "warm processes off", "a canary on", "a new package with a canary", "memory with warm processes"):
        _, _, expected = UPDATES[name]
        assert not set(expected) & {*callers, "SourceBucket", "Api", "ApiStage"}, name


def test_images_are_never_replaced():
    for before, change, expected in UPDATES.values():
        assert expected.get("SourceBucket", "modify") == expected.get("DestinationBucket", "modify") == "modify"
    for bucket in ("SourceBucket", "DestinationBucket"):
        # Another name is another bucket; the images in the old one stay.
        assert Template().resources[bucket]["UpdateReplacePolicy"] == "Retain"


def test_another_name_of_the_function_replaces_it_and_its_callers():
    found = changes(Template(), Template(FunctionName="Other"))
    assert {name: found[name] for name in NAMED_BY_FUNCTION if name in found} == {
        name: what for name, what in NAMED_BY_FUNCTION.items() if name in found
    }
    assert found["Function"] == found["FunctionLogs"] == found["DeadLetters"] == "replace"
    assert found.get("SourceBucket", "modify") == "modify" and "DestinationBucket" not in found


def test_a_change_of_the_api_is_a_new_deployment():
    changed = copy.deepcopy(Template())
    changed.resources["ApiDeployment00000000Open"] = changed.resources.pop(OPEN)
    changed["ApiStage"]["DeploymentId"] = "<ApiDeployment00000000Open>"
    found = changes(Template(), changed)
    assert found == {OPEN: "remove", "ApiDeployment00000000Open": "add", "ApiStage": "modify"}
