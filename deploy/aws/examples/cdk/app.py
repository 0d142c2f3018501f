"""Tintype as a part of a CDK application."""

import os
from pathlib import Path

import aws_cdk
from aws_cdk import aws_s3, aws_s3_assets, cloudformation_include

HERE = Path(__file__).resolve().parent
PACKAGE = os.environ.get("PACKAGE", str(HERE.parents[3] / "target/aws/bootstrap-x86_64.zip"))


class Shop(aws_cdk.Stack):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        # Its key follows from its content, by which CloudFormation sees another package.
        package = aws_s3_assets.Asset(self, "Package", path=PACKAGE)
        tintype = cloudformation_include.CfnInclude(
            self,
            "Tintype",
            template_file=str(HERE.parents[1] / "template.yaml"),
            parameters={
                "CodeBucket": package.s3_bucket_name,
                "CodeKey": package.s3_object_key,
                "ThumbnailSize": "256x256",
                "AlarmEmail": "ops@shop.example",
            },
        )
        # Resources of the template can be used like others.
        thumbnails = tintype.get_resource("DestinationBucket")
        self.thumbnails = aws_s3.Bucket.from_bucket_name(self, "Thumbnails", thumbnails.ref)


app = aws_cdk.App()
Shop(app, "shop")
app.synth()
