"""The templates of deploy/aws with conditions and parameters resolved."""

import functools
import hashlib
import re

import yaml

from tintype import ROOT

FOLDER = ROOT / "deploy/aws"
PATH = FOLDER / "template.yaml"
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/tintype/51af3dc0-da77-11e4-872e-1234567890ab"
PSEUDO = {
    "AWS::StackName": "tintype",
    "AWS::StackId": STACK_ID,
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()
# A reference to one of these is its name. In order: a name may follow from one before.
NAMED = {
    "FunctionLogs": "LogGroupName",
    "Function": "FunctionName",
    "SourceBucket": "BucketName",
    "DestinationBucket": "BucketName",
    "Dashboard": "DashboardName",
}


class _Loader(yaml.SafeLoader):
    pass


def _tag(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


@functools.cache
def source(path=PATH):
    return yaml.load(path.read_text(), _Loader)


def api_digest():
    """Of what a deployment of the API is a snapshot of."""
    section = PATH.read_text().split("\n  Api:\n")[1].split("\n  # A deployment")[0]
    lines = [line for line in section.splitlines() if not re.match(" *#", line)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


class Template:
    """`parameters` over the defaults; of another file, with its pseudo parameters."""

    def __init__(self, path=PATH, stack="tintype", **parameters):
        self.raw = source(path)
        given = {"SourceBucketName": "in", "DestinationBucketName": "out", "CodeBucket": "code", "CodeKey": "k.zip"}
        if path != PATH:
            given = {}
        defaults = {name: one["Default"] for name, one in self.raw["Parameters"].items() if "Default" in one}
        pseudo = PSEUDO | {"AWS::StackName": stack, "AWS::StackId": STACK_ID.replace("/tintype/", f"/{stack}/")}
        self.values = pseudo | defaults | given | parameters
        self.conditions = {}
        for name in self.raw.get("Conditions", {}):
            self._condition(name)
        for name, property_ in NAMED.items():
            if name in self.raw["Resources"]:
                self.values[name] = self._value(self.raw["Resources"][name]["Properties"][property_])
                if property_ == "BucketName":
                    self.values[f"{name}.Arn"] = f"arn:aws:s3:::{self.values[name]}"
        self.resources = {
            name: self._value(one)
            for name, one in self.raw["Resources"].items()
            if self.conditions.get(one.get("Condition"), True)
        }
        self.outputs = {
            name: self._value(one["Value"])
            for name, one in self.raw.get("Outputs", {}).items()
            if self.conditions.get(one.get("Condition"), True)
        }

    def __getitem__(self, name):
        return self.resources[name]["Properties"]

    def of_type(self, type_):
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == type_}

    def broken_rules(self):
        """The descriptions of assertions that do not hold."""
        return [
            assertion["AssertDescription"]
            for rule in self.raw.get("Rules", {}).values()
            if "RuleCondition" not in rule or self._holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]

    def _condition(self, name):
        if name not in self.conditions:
            self.conditions[name] = self._holds(self.raw["Conditions"][name])
        return self.conditions[name]

    def _holds(self, condition):
        (name, value), *_ = condition.items()
        if name == "Condition":
            return self._condition(value)
        if name == "Fn::Not":
            return not self._holds(value[0])
        if name == "Fn::And":
            return all([self._holds(one) for one in value])
        if name == "Fn::Or":
            return any([self._holds(one) for one in value])
        assert name == "Fn::Equals", name
        one, two = (str(self._value(side)) for side in value)
        return one == two

    def _value(self, value):
        if isinstance(value, list):
            return [one for one in map(self._value, value) if one is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, inner), *_ = value.items()
            if name == "Ref":
                return NOTHING if inner == "AWS::NoValue" else self.values.get(inner, f"<{inner}>")
            if name == "Fn::If":
                return self._value(inner[1] if self.conditions[inner[0]] else inner[2])
            if name == "Fn::GetAtt":
                return self.values.get(".".join(inner), f"<{'.'.join(inner)}>")
            if name == "Fn::Sub":
                text, own = (inner, {}) if isinstance(inner, str) else inner
                known = self.values | {name: self._value(one) for name, one in own.items()}
                return re.sub(r"\$\{([^}!]+)\}", lambda found: str(known.get(found[1], f"<{found[1]}>")), text)
            if name == "Fn::Split":
                return self._value(inner[1]).split(inner[0])
            if name == "Fn::Select":
                return self._value(inner[1])[inner[0]]
        filled = {name: self._value(one) for name, one in value.items()}
        return {name: one for name, one in filled.items() if one is not NOTHING}
