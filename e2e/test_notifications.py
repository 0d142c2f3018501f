"""Triggers as notification configurations of S3."""

import pytest

import sample_images
from errors import refused
from tintype import DESTINATION, SOURCE, run

SUFFIXES = [".jpg", ".JPG", ".png"]
LISTED = f"[[trigger]]\nsuffixes = {SUFFIXES}\n".replace("'", '"')


@pytest.fixture
def own(new_server):
    return new_server(settings=LISTED).start()


def configurations(s3, bucket):
    answer = s3.get_bucket_notification_configuration(Bucket=bucket)
    return answer.get("LambdaFunctionConfigurations", [])


def arn(s3):
    return configurations(s3, SOURCE)[0]["LambdaFunctionArn"]


def configuration(s3, id, prefix="", suffix="", events=("s3:ObjectCreated:*",)):
    rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
    return {
        "Id": id,
        "LambdaFunctionArn": arn(s3),
        "Events": list(events),
        "Filter": {"Key": {"FilterRules": [rule for rule in rules if rule["Value"]]}},
    }


def put(s3, bucket, *list_):
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": list(list_)}
    )


def rules(found):
    return {rule["Name"].lower(): rule["Value"] for rule in found["Filter"]["Key"]["FilterRules"]}


def test_the_settings_triggers_are_shown(own):
    found = configurations(own.client(), SOURCE)
    assert [rules(one) for one in found] == [{"suffix": suffix} for suffix in SUFFIXES]
    assert all(one["Events"] == ["s3:ObjectCreated:*"] for one in found)
    assert len({one["Id"] for one in found}) == len(SUFFIXES)
    assert found[0]["LambdaFunctionArn"].endswith(":function:Thumbnails")


def test_the_settings_triggers_are_read_only(own):
    s3 = own.client()
    before = configurations(s3, SOURCE)
    for changed in ([], before[1:], [configuration(s3, "mine", suffix=".bmp")]):
        with refused("InvalidArgument", 400, "read-only"):
            put(s3, SOURCE, *changed)
    assert configurations(s3, SOURCE) == before
    own.thumbnail("thumb_a.jpg", s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"])


def test_another_trigger_beside_the_settings(own):
    s3 = own.client()
    before = configurations(s3, SOURCE)
    put(s3, SOURCE, *before, configuration(s3, "mine", suffix=".photo"))
    assert len(configurations(s3, SOURCE)) == len(before) + 1
    own.thumbnail("thumb_a.photo", s3.put_object(Bucket=SOURCE, Key="a.photo", Body=sample_images.jpeg())["ETag"])
    put(s3, SOURCE, *before)
    assert configurations(s3, SOURCE) == before


def test_a_second_bucket(own):
    s3 = own.client()
    s3.create_bucket(Bucket="second")
    assert configurations(s3, "second") == []
    put(s3, "second", configuration(s3, "mine", prefix="raw/", suffix=".jpg"))

    def works(s3, name, colour):
        s3.put_object(Bucket="second", Key=f"not-raw/{name}.jpg", Body=sample_images.jpeg())
        etag = s3.put_object(Bucket="second", Key=f"raw/{name}.jpg", Body=sample_images.jpeg(colour=colour))["ETag"]
        own.thumbnail(f"thumb_raw/{name}.jpg", etag)
        own.wait_until_idle()
        found = [found["Key"] for found in s3.list_objects_v2(Bucket=DESTINATION)["Contents"]]
        assert not [key for key in found if "not-raw" in key]

    works(s3, "one", sample_images.GREEN)
    own.stop()
    s3 = own.start().client()
    (found,) = configurations(s3, "second")
    assert (found["Id"], rules(found)) == ("mine", {"prefix": "raw/", "suffix": ".jpg"})
    works(s3, "two", sample_images.BLUE)
    put(s3, "second")
    assert configurations(s3, "second") == []


def test_a_deleted_bucket_takes_its_triggers_along(own):
    s3 = own.client()
    s3.create_bucket(Bucket="second")
    put(s3, "second", configuration(s3, "mine", suffix=".jpg"))
    s3.delete_bucket(Bucket="second")
    s3.create_bucket(Bucket="second")
    assert configurations(s3, "second") == []


def test_overlaps_are_refused(own):
    s3 = own.client()
    with refused("InvalidArgument", 400, "Configurations overlap"):
        put(s3, SOURCE, *configurations(s3, SOURCE), configuration(s3, "mine", suffix="photo.jpg"))
    s3.create_bucket(Bucket="second")
    one, two = configuration(s3, "one", prefix="raw/"), configuration(s3, "two", prefix="raw/new/", suffix=".jpg")
    with refused("InvalidArgument", 400, "Configurations overlap"):
        put(s3, "second", one, two)
    assert configurations(s3, "second") == []


def test_loops_are_refused(own):
    s3 = own.client()
    for how in ({}, {"suffix": ".jpg"}, {"prefix": "thumb_"}):
        with refused("InvalidArgument", 400, "loop"):
            put(s3, DESTINATION, configuration(s3, "mine", **how))
    assert configurations(s3, DESTINATION) == []


def test_loops_in_the_settings_are_refused(tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text('[[trigger]]\nbucket = "same"\ndestination = "same"\n')
    ended = run("serve", "--config", settings, "--data", tmp_path / "data")
    assert ended.returncode == 2
    assert b"loop" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_unsupported_configurations(own):
    s3 = own.client()
    s3.create_bucket(Bucket="second")
    with refused("InvalidArgument", 400, "function"):
        put(s3, "second", configuration(s3, "mine") | {"LambdaFunctionArn": arn(s3) + "Other"})
    for unknown in ("s3:ObjectRestore:Nothing", "ObjectCreated:*", "s3:ObjectCreated:Mend"):
        with refused("InvalidArgument", 400, unknown):
            put(s3, "second", configuration(s3, "mine", events=[unknown]))
    queue = {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "Events": ["s3:ObjectCreated:*"]}
    with refused("NotImplemented", 501):
        s3.put_bucket_notification_configuration(
            Bucket="second", NotificationConfiguration={"QueueConfigurations": [queue]}
        )
    with refused("NoSuchBucket", 404):
        put(s3, "no-such-bucket", configuration(s3, "mine", suffix=".jpg"))
    assert configurations(s3, "second") == []


def test_images_are_a_trigger_without_a_suffix(new_server):
    server = new_server().start()
    s3 = server.client()
    before = configurations(s3, SOURCE)
    assert [(one["Id"], "Filter" in one) for one in before] == [("settings-1-images", False)]
    put(s3, SOURCE, *before)
    assert configurations(s3, SOURCE) == before
    with refused("InvalidArgument", 400, "Configurations overlap"):
        put(s3, SOURCE, *before, configuration(s3, "mine", suffix=".Jpg"))
    put(s3, SOURCE, *before, configuration(s3, "mine", suffix=".photo"))
    for key in ("a.JpG", "b.jfif", "c.jpeg"):
        server.thumbnail(f"thumb_{key}", s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())["ETag"])
    s3.put_object(Bucket=SOURCE, Key="d.txt", Body=sample_images.jpeg())
    server.wait_until_idle()
    assert "thumb_d.txt" not in [found["Key"] for found in s3.list_objects_v2(Bucket=DESTINATION)["Contents"]]


@pytest.mark.parametrize("named", ["Put", "Copy", "CompleteMultipartUpload"])
def test_narrower_event_types(own, named):
    s3 = own.client()
    s3.create_bucket(Bucket="second")
    put(s3, "second", configuration(s3, "mine", suffix=".jpg", events=[f"s3:ObjectCreated:{named}"]))
    picture = sample_images.jpeg(640, 480)
    s3.put_object(Bucket="second", Key="Put.jpg", Body=picture)
    s3.copy_object(Bucket="second", Key="Copy.jpg", CopySource="second/Put.jpg")
    upload = s3.create_multipart_upload(Bucket="second", Key="CompleteMultipartUpload.jpg")["UploadId"]
    place = {"Bucket": "second", "Key": "CompleteMultipartUpload.jpg", "UploadId": upload}
    etag = s3.upload_part(**place, PartNumber=1, Body=picture)["ETag"]
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    own.wait_until_idle()
    found = [one["Key"] for one in s3.list_objects_v2(Bucket=DESTINATION).get("Contents", [])]
    assert found == [f"thumb_{named}.jpg"]


def test_two_narrow_types_do_not_overlap(own):
    s3 = own.client()
    s3.create_bucket(Bucket="second")
    one = configuration(s3, "one", suffix=".jpg", events=["s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"])
    two = configuration(s3, "two", suffix=".jpg", events=["s3:ObjectCreated:Copy"])
    put(s3, "second", one, two)
    assert [one["Events"] for one in configurations(s3, "second")] == [one["Events"], two["Events"]]
    with refused("InvalidArgument", 400, "Configurations overlap"):
        put(s3, "second", one, two | {"Events": ["s3:ObjectCreated:*"]})


def test_other_event_types_are_ignored_and_counted(own):
    s3 = own.client()
    s3.create_bucket(Bucket="second")
    others = ["s3:ObjectTagging:*", "s3:ObjectRestore:Completed", "s3:LifecycleExpiration:*"]
    wanted = configuration(s3, "mine", suffix=".jpg", events=["s3:ObjectCreated:*", *others])
    only = configuration(s3, "only", suffix=".png", events=["s3:ReducedRedundancyLostObject"])
    answer = s3.put_bucket_notification_configuration(
        Bucket="second", NotificationConfiguration={"LambdaFunctionConfigurations": [wanted, only]}
    )
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-tintype-ignored-event-types"] == "4"
    answer = s3.get_bucket_notification_configuration(Bucket="second")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-tintype-ignored-event-types"] == "4"
    assert answer["LambdaFunctionConfigurations"][0]["Events"] == wanted["Events"]
    s3.put_object(Bucket="second", Key="a.png", Body=sample_images.png())
    own.thumbnail("thumb_a.jpg", s3.put_object(Bucket="second", Key="a.jpg", Body=sample_images.jpeg())["ETag"])
    own.wait_until_idle()
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=DESTINATION)["Contents"]] == ["thumb_a.jpg"]
