"""Tintype as a part of a CDK application: a stack inside its stack."""

import os
from pathlib import Path

import aws_cdk
from aws_cdk import aws_s3, aws_s3_assets

HERE = Path(__file__).resolve().parent
PACKAGE = os.environ.get("PACKAGE", str(HERE.parents[3] / "target/aws/bootstrap-x86_64.zip"))


class Shop(aws_cdk.Stack):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        # Their keys follow from their contents, by which CloudFormation sees another package or template.
        package = aws_s3_assets.Asset(self, "Package", path=PACKAGE)
        template = aws_s3_assets.Asset(self, "Template", path=str(HERE.parents[1] / "template.yaml"))
        # Not CfnInclude, which loses conditions inside of properties.
        tintype = aws_cdk.CfnStack(
            self,
            "Tintype",
            template_url=template.http_url,
            parameters={
                "CodeBucket": package.s3_bucket_name,
                "CodeKey": package.s3_object_key,
                "ThumbnailSize": "256x256",
                "AlarmEmail": "ops@shop.example",
            },
        )
        # Its outputs can be used like attributes of others.
        thumbnails = tintype.get_att("Outputs.DestinationBucketName").to_string()
        self.thumbnails = aws_s3.Bucket.from_bucket_name(self, "Thumbnails", thumbnails)
        aws_cdk.CfnOutput(self, "Upload", value=tintype.get_att("Outputs.UploadCommand").to_string())
        aws_cdk.CfnOutput(self, "ApiUrl", value=tintype.get_att("Outputs.ApiUrl").to_string())


app = aws_cdk.App()
Shop(app, "shop")
app.synth()
