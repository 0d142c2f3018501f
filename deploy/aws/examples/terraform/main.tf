# Tintype as a part of a Terraform configuration.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "package" {
  description = "The package of the function, as deploy/aws/deploy build writes it or as it is released."
  type        = string
}

variable "bucket" {
  description = "A bucket of yours for the package."
  type        = string
}

resource "aws_s3_object" "package" {
  bucket = var.bucket
  # Another package is another key, by which CloudFormation sees it.
  key    = "tintype/${filesha256(var.package)}.zip"
  source = var.package
}

resource "aws_cloudformation_stack" "tintype" {
  name          = "tintype"
  template_body = file("${path.module}/../../template.yaml")
  capabilities  = ["CAPABILITY_IAM"]

  parameters = {
    CodeBucket    = var.bucket
    CodeKey       = aws_s3_object.package.key
    ThumbnailSize = "256x256"
    AlarmEmail    = "ops@shop.example"
  }
}

output "upload" {
  value = aws_cloudformation_stack.tintype.outputs["UploadCommand"]
}

output "api" {
  value = aws_cloudformation_stack.tintype.outputs["ApiUrl"]
}
