"""The published reference design, element by element, in its own order: docs/reference-system.md in one run.

What only AWS has (its role, its stage in API Gateway, CloudWatch) is looked up in the template; test_deploy.py and test_template.py
look closer.
"""

import concurrent.futures
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import yaml

import sample_images
from template import Template, source
from tintype import DESTINATION, ROOT, SOURCE, Server, run

EIGHT = [
    "Invocations", "Errors", "Duration", "Throttles", "ConcurrentExecutions", "AsyncEventsReceived", "AsyncEventsDropped", "AsyncEventAge",
]  # fmt: skip
SHOP = "https://shop.example"
PAGE = (ROOT / "docs/reference-system.md").read_text()


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    settings = f'[api]\ncors_origins = ["{SHOP}"]\n'
    server = Server(tmp_path_factory.mktemp("reference"), settings, {"THUMBNAIL_SIZE": "128x128"})
    try:
        yield server.start()
    finally:
        server.kill()
        Server.shown.remove(server)


def images(count, kind):
    """Different images, as files of a folder are."""
    for number in range(count):
        if kind == "jpg":
            yield f"{number:02}.jpg", sample_images.distinct_jpeg(f"reference {number}", 640, 480)
        else:
            yield f"{number:02}.png", sample_images.png(320 + number, 240)


def test_the_two_buckets_are_there_by_their_names(system):
    names = {bucket["Name"] for bucket in system.client().list_buckets()["Buckets"]}
    assert {"input-product-images", "output-product-thumbnail"} == {SOURCE, DESTINATION} <= names
    template = source()["Resources"]
    assert {"SourceBucket", "DestinationBucket"} <= set(template)


def test_only_the_function_and_the_owner_get_at_them(system):
    for bucket in (SOURCE, DESTINATION):
        assert requests.get(f"{system.s3_url}/{bucket}", timeout=30).status_code == 403
        assert requests.put(f"{system.s3_url}/{bucket}/x.jpg", data=b"x", timeout=30).status_code == 403
        block = system.client().get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert all(block.values())
    statements = Template()["Role"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert "*" not in [action for one in statements for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])]


def test_the_trigger_is_object_created_with_suffixes(system):
    [function] = system.client().get_bucket_notification_configuration(Bucket=SOURCE)["LambdaFunctionConfigurations"][:1]
    assert function["Events"] == ["s3:ObjectCreated:*"]
    assert function["LambdaFunctionArn"].endswith(":function:Thumbnails")
    # Every format in any case, which S3's filters cannot say; a list of suffixes is one, each in a configuration of its own.
    assert "images" in function["Id"] and "Filter" not in function


def test_suffixes_filter_as_in_the_console(new_server):
    server = new_server(settings=f'[[trigger]]\nbucket = "{SOURCE}"\nsuffixes = [".jpg", ".png"]\ndestination = "{DESTINATION}"\n').start()
    found = server.client().get_bucket_notification_configuration(Bucket=SOURCE)["LambdaFunctionConfigurations"]
    rules = [{rule["Name"].lower(): rule["Value"] for rule in one["Filter"]["Key"]["FilterRules"]} for one in found]
    assert [rule["suffix"] for rule in rules] == [".jpg", ".png"]


def test_a_prefix_filters_as_in_the_console(new_server):
    server = new_server(settings=f'[[trigger]]\nbucket = "{SOURCE}"\nprefix = "raw/"\ndestination = "{DESTINATION}"\n').start()
    client = server.client()
    client.put_object(Bucket=SOURCE, Key="other/photo.jpg", Body=sample_images.jpeg())
    etag = client.put_object(Bucket=SOURCE, Key="raw/photo.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_raw/photo.jpg", etag)
    server.wait_until_idle()
    assert [one["Key"] for one in client.list_objects_v2(Bucket=DESTINATION)["Contents"]] == ["thumb_raw/photo.jpg"]


def test_memory_time_out_and_environment_are_settings_of_the_function(new_server):
    environment = {"THUMBNAIL_SIZE": "64x64", "TINTYPE_FUNCTION__TIMEOUT_S": "20", "TINTYPE_FUNCTION__MEMORY_MB": "256"}
    server = new_server(env=environment).start()
    etag = server.client().put_object(Bucket=SOURCE, Key="photo.jpg", Body=sample_images.jpeg(640, 480))["ETag"]
    assert sample_images.opened(server.thumbnail("thumb_photo.jpg", etag)["Bytes"]).size == (64, 48)
    function = Template(MemorySize="256", Timeout="20")["Function"]
    assert (int(function["MemorySize"]), int(function["Timeout"])) == (256, 20)
    assert "Layers" not in function and function["Runtime"] == "provided.al2023"


def test_an_existing_role_is_enough():
    arn = "arn:aws:iam::123456789012:role/LabRole"
    template = Template(ExistingRoleArn=arn, ApiAccessLogs="false")
    assert template["Function"]["Role"] == arn
    assert [name for name, one in template.resources.items() if one["Type"].startswith("AWS::IAM::")] == []


def test_one_image_jpg_and_png(system):
    for key, body, kind in [("one.jpg", sample_images.jpeg(640, 480), "JPEG"), ("one.png", sample_images.png(640, 480), "PNG")]:
        etag = system.client().put_object(Bucket=SOURCE, Key=key, Body=body)["ETag"]
        thumbnail = sample_images.opened(system.thumbnail(f"thumb_{key}", etag)["Bytes"])
        assert (thumbnail.format, thumbnail.size) == (kind, (128, 96))


@pytest.mark.parametrize(("folder", "count", "kind"), [("small-load/", 10, "jpg"), ("Medium-input(30)/", 30, "png"), ("Medium-input(30)/", 30, "jpg")])
def test_a_folder_of_images_at_once(system, folder, count, kind):
    client = system.client()

    def put(image):
        name, body = image
        return f"{folder}{name}", client.put_object(Bucket=SOURCE, Key=f"{folder}{name}", Body=body)["ETag"]

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        uploaded = list(pool.map(put, images(count, kind)))
    assert len(uploaded) == count
    for key, etag in uploaded:
        assert max(sample_images.opened(system.thumbnail(f"thumb_{key}", etag)["Bytes"]).size) == 128


def test_the_test_event_of_the_console(system, tmp_path):
    system.client().put_object(Bucket=SOURCE, Key="event.jpg", Body=sample_images.jpeg())
    event = tmp_path / "event.json"
    record = {
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2026-11-30T00:00:00.000Z",
        "s3": {"bucket": {"name": SOURCE}, "object": {"key": "event.jpg"}},
    }  # fmt: skip
    for body in ({"Records": [record]}, {"key": "event.jpg"}):
        event.write_text(json.dumps(body))
        ended = run("invoke", "--event", event, "--config", system.config, "--data", system.data, "--http", system.http_url.removeprefix("http://"))
        assert ended.returncode == 0, ended.stderr
    system.thumbnail("thumb_event.jpg")


def test_the_rest_api_in_its_stage(system):
    assert system.api_url.endswith("/dev1/myimage")
    body = sample_images.jpeg(640, 480)
    answer = requests.post(system.api_url, data=body, headers={"Content-Type": "image/jpeg"}, timeout=30)
    assert (answer.status_code, sample_images.opened(answer.content).size) == (200, (128, 96))
    system.client().put_object(Bucket=SOURCE, Key="api.jpg", Body=body)
    answer = requests.get(f"{system.api_url}?key=api.jpg", timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    answer = requests.options(system.api_url, headers={"Origin": SHOP, "Access-Control-Request-Method": "GET"}, timeout=30)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (204, SHOP)
    template = source()["Resources"]
    [stage] = [one["Properties"]["StageName"] for one in template.values() if one["Type"] == "AWS::ApiGateway::Stage"]
    assert stage == "dev1"
    methods = {one["Properties"]["HttpMethod"] for one in template.values() if one["Type"] == "AWS::ApiGateway::Method"}
    assert {"GET", "POST", "OPTIONS"} <= methods


def test_kinds_of_concurrency_and_of_endpoints():
    parameters = source()["Parameters"]
    assert {"ReservedConcurrency", "ProvisionedConcurrency"} <= set(parameters)
    assert {"EDGE", "REGIONAL"} <= set(parameters["ApiEndpointType"]["AllowedValues"])


def test_the_dashboard_thumbnail_with_its_eight_metrics(system):
    system.wait_until_idle()
    metrics = requests.get(f"{system.http_url}/metrics", timeout=30).text
    assert [name for name in EIGHT if not re.search(rf"^{name}[{{_ ]", metrics, re.MULTILINE)] == []
    for metric in EIGHT:
        answer = requests.get(f"{system.http_url}/metrics/query?metric={metric}&statistic=Maximum&period=3600", timeout=30)
        assert answer.status_code == 200, answer.text
    page = requests.get(f"{system.http_url}/metrics/dashboard", timeout=30).text
    assert [name for name in EIGHT if name not in page] == []
    template = Template()
    [dashboard] = [one["Properties"] for one in template.resources.values() if one["Type"] == "AWS::CloudWatch::Dashboard"]
    assert dashboard["DashboardName"] == "thumbnail"
    text = json.dumps(dashboard["DashboardBody"])
    assert [name for name in EIGHT if name not in text] == []
    assert "thumbnail" in json.loads((ROOT / "deploy/grafana/thumbnail.json").read_text())["title"].lower()


def test_logs_show_each_invocation(system):
    ended = run("logs", "--last", "1000", "--config", system.config, "--data", system.data, "--server", system.http_url)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0 and len(lines) > 60


def test_the_load_test_of_the_reference(system):
    """Its command, for twice as long, as its images are generated first; figures are in docs/benchmarks."""
    locust = subprocess.run([sys.executable, "-c", "import locust"], capture_output=True)
    if locust.returncode:
        pytest.skip("locust is not there: pip install -r loadtest/requirements.txt")
    command = ["-m", "locust", "-f", ROOT / "loadtest/test.py", "--host", system.api_url, "--headless", "-u", "10", "-r", "2", "-t", "20s", "--json"]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    requested = json.loads(ended.stdout[ended.stdout.index("[\n") if "[\n" in ended.stdout else ended.stdout.index("[") :])
    assert sum(one["num_requests"] for one in requested) > 0
    assert sum(one["num_failures"] for one in requested) == 0


def test_the_load_test_on_an_instance_runs_the_same_command():
    path = ROOT / "deploy/aws/loadtest.yaml"

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: getattr(node, "value", None))
    template = yaml.load(path.read_text(), Loader)
    script = template["Resources"]["Template"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    values = {name: str(one.get("Default", "x")) for name, one in template["Parameters"].items()} | {"Host": "http://127.0.0.1:1/dev1/myimage"}
    script = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], script)
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    [command] = [line for line in script.splitlines() if "venv/bin/locust" in line]
    assert "locust -f test.py --host 'http://127.0.0.1:1/dev1/myimage' --headless -u 10 -r 2 -t 10s" in command
    # The same packages as on this machine.
    for requirement in re.findall(r"^\w+==\S+$", (ROOT / "loadtest/requirements.txt").read_text(), re.MULTILINE):
        assert requirement in script
    lint = Path(sys.executable).parent / "cfn-lint"
    linted = subprocess.run([lint, "--non-zero-exit-code", "informational", path], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


def test_results_come_live(system):
    with requests.get(f"{system.http_url}/events", stream=True, timeout=30) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        system.client().put_object(Bucket=SOURCE, Key="live.jpg", Body=sample_images.jpeg())
        assert any("live.jpg" in line.decode() for line in stream.iter_lines())


def test_each_row_of_the_page_names_tests_that_exist():
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and "---" not in row][1:]
    assert len(rows) >= 18
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        named = re.findall(r"`(e2e/\w+\.py)`", cells[-1])
        assert all((ROOT / name).is_file() for name in named), row
        assert named or "not here" in row or "](" in cells[-1], row
