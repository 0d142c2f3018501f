"""The function that Tintype's is measured against: a typical one with Pillow and boto3, with its stages timed. It decodes
keys and retains formats, and does no more."""

import io
import json
import os
import time
from urllib.parse import unquote_plus

import boto3
from PIL import Image

s3 = boto3.client("s3")


def handler(event, _context):
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = unquote_plus(record["s3"]["object"]["key"])
        started = time.perf_counter()
        source = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        read = time.perf_counter()
        image = Image.open(io.BytesIO(source))
        kind = image.format
        image.thumbnail((128, 128))
        out = io.BytesIO()
        image.save(out, kind)
        rendered = time.perf_counter()
        s3.put_object(
            Bucket=os.environ["DESTINATION_BUCKET"], Key=f"thumb_{key}", Body=out.getvalue(), ContentType=Image.MIME[kind]
        )
        written = time.perf_counter()
        stages = {"read": read - started, "render": rendered - read, "write": written - rendered}
        print(json.dumps({"type": "pillow.record"} | {name: seconds * 1e3 for name, seconds in stages.items()}), flush=True)
    return {"statusCode": 200}
