"""deploy/aws/examples, each checked as far as it goes without an account: SAM by cfn-lint and SAM's own translator, CDK by
writing its template, Terraform by its formatter and a parser. Where a tool is not installed, its test says so."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from template import FOLDER, PATH, source
from tintype import ROOT

EXAMPLES = FOLDER / "examples"
GIVEN = {"ThumbnailSize": "256x256", "AlarmEmail": "ops@shop.example"}
# Tools whose dependencies contradict those of the other tests; "scripts/test aws-tools" installs them.
TOOLS = ROOT / "target/aws-tools/bin"


def passes(parameters):
    """Every parameter that must be given, and only such as there are."""
    known = source()["Parameters"]
    assert {name for name, one in known.items() if "Default" not in one} <= set(parameters) <= set(known)
    assert {name: parameters[name] for name in GIVEN} == GIVEN


def tool(module, package):
    """A Python that has a module."""
    python = str(TOOLS / "python")
    if not Path(python).exists() or subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode:
        pytest.skip(f'{package} is not installed: "scripts/test aws-tools" installs it')
    return python


def test_every_example_is_in_the_list():
    listed = (EXAMPLES / "README.md").read_text()
    for folder in EXAMPLES.iterdir():
        if folder.is_dir():
            assert f"({folder.name}/" in listed, folder.name


def test_sam_by_cfn_lint():
    found = subprocess.run(
        [str(Path(sys.executable).parent / "cfn-lint"), "--non-zero-exit-code", "informational", str(EXAMPLES / "sam/template.yaml")],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr


TRANSLATE = """
import json, sys
from samtranslator.translator.transform import transform

class Policies:
    def load(self):
        return {}

print(json.dumps(transform(json.load(sys.stdin), {"CodeBucket": "code", "CodeKey": "k.zip"}, Policies())))
"""


def test_sam_passes_what_the_template_has():
    example = source(EXAMPLES / "sam/template.yaml")
    nested = example["Resources"]["Thumbnails"]["Properties"]
    assert (EXAMPLES / "sam" / nested["Location"]).resolve() == PATH
    passes(nested["Parameters"])
    outputs = [one["Value"]["Fn::GetAtt"] for one in example["Outputs"].values()]
    assert {name for _, name in outputs} <= {f"Outputs.{name}" for name in source()["Outputs"]}


def test_sam_is_translated():
    python = tool("samtranslator", "aws-sam-translator")
    example = json.loads(json.dumps(source(EXAMPLES / "sam/template.yaml")))
    # As "sam package" writes it: with the nested template in a bucket.
    example["Resources"]["Thumbnails"]["Properties"]["Location"] = "https://s3.amazonaws.com/code/template.yaml"
    run = subprocess.run(
        [python, "-c", TRANSLATE],
        input=json.dumps(example),
        capture_output=True,
        text=True,
        env=os.environ | {"AWS_DEFAULT_REGION": "us-east-1"},
    )
    assert run.returncode == 0, run.stderr
    translated = json.loads(run.stdout)
    stack = translated["Resources"]["Thumbnails"]
    assert stack["Type"] == "AWS::CloudFormation::Stack" and "Transform" not in translated
    assert stack["Properties"]["TemplateURL"].endswith("/template.yaml")
    passes(stack["Properties"]["Parameters"])


def test_terraform_by_its_formatter():
    terraform = shutil.which("terraform")
    if not terraform:
        pytest.skip("terraform is not installed")
    found = subprocess.run([terraform, "fmt", "-check", "-diff", str(EXAMPLES / "terraform")], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


PARSE = "import hcl2, json, sys; print(json.dumps(hcl2.load(sys.stdin)))"


def test_terraform_passes_what_the_template_has():
    """Without Terraform's registry there is no provider to validate with."""
    python = tool("hcl2", "a parser of Terraform's language")
    text = (EXAMPLES / "terraform/main.tf").read_text()
    run = subprocess.run([python, "-c", PARSE], input=text, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    parsed = json.loads(run.stdout)
    (stack,) = [one["aws_cloudformation_stack"]["tintype"] for one in parsed["resource"] if "aws_cloudformation_stack" in one]
    # The parser has every value in a list.
    (parameters,) = stack["parameters"]
    passes(parameters)
    assert "CAPABILITY_IAM" in str(stack["capabilities"])
    assert "${path.module}/../../template.yaml" in text and (EXAMPLES / "terraform/../../template.yaml").resolve() == PATH
    # The provider sends the template in the call.
    assert PATH.stat().st_size <= 51_200
    for output in parsed["output"]:
        (one,) = output.values()
        assert any(f'outputs["{name}"]' in str(one["value"]) for name in source()["Outputs"]), one


def test_cdk_nests_the_template_as_it_is(tmp_path):
    python = tool("aws_cdk", "aws-cdk-lib")
    if not shutil.which("node"):
        pytest.skip("Node.js, which CDK runs on, is not installed")
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
        package.writestr("bootstrap", "#!/bin/sh\n")
    written = subprocess.run(
        [python, "app.py"],
        cwd=EXAMPLES / "cdk",
        env=os.environ | {"PACKAGE": str(tmp_path / "package.zip"), "CDK_OUTDIR": str(tmp_path / "out"), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert written.returncode == 0, written.stdout + written.stderr
    example = json.loads((tmp_path / "out/shop.template.json").read_text())
    (stack,) = [one["Properties"] for one in example["Resources"].values() if one["Type"] == "AWS::CloudFormation::Stack"]
    passes(stack["Parameters"])
    assets = json.loads((tmp_path / "out/shop.assets.json").read_text())["files"]
    files = {name: (tmp_path / "out" / one["source"]["path"]).read_bytes() for name, one in assets.items()}
    # The template as it is, under the address that the stack names; CloudFormation would take no other.
    (template,) = [name for name, content in files.items() if content == PATH.read_bytes()]
    assert template in json.dumps(stack["TemplateURL"])
    (package,) = [name for name, content in files.items() if content == (tmp_path / "package.zip").read_bytes()]
    assert stack["Parameters"]["CodeKey"] == f"{package}.zip" and len(stack["Parameters"]["CodeKey"]) <= source()["Parameters"]["CodeKey"]["MaxLength"]
    outputs = {one["Value"]["Fn::GetAtt"][1] for name, one in example["Outputs"].items()}
    assert outputs == {"Outputs.UploadCommand", "Outputs.ApiUrl"}
