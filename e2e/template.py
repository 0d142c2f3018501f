"""deploy/aws/template.yaml with conditions and parameters resolved."""

import re

import yaml

from tintype import ROOT

PATH = ROOT / "deploy/aws/template.yaml"
PSEUDO = {
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()


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


def source():
    return yaml.load(PATH.read_text(), _Loader)


class Template:
    """`parameters` over the defaults."""

    def __init__(self, **parameters):
        self.raw = source()
        given = {"SourceBucketName": "in", "DestinationBucketName": "out", "CodeBucket": "code", "CodeKey": "k.zip"}
        defaults = {name: one["Default"] for name, one in self.raw["Parameters"].items() if "Default" in one}
        self.values = PSEUDO | defaults | given | parameters
        self.conditions = {}
        for name, condition in self.raw["Conditions"].items():
            self.conditions[name] = self._holds(condition)
        self.resources = {
            name: self._value(one)
            for name, one in self.raw["Resources"].items()
            if self.conditions.get(one.get("Condition"), True)
        }

    def __getitem__(self, name):
        return self.resources[name]["Properties"]

    def of_type(self, type_):
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == type_}

    def _holds(self, condition):
        (name, value), *_ = condition.items()
        if name == "Fn::Not":
            return not self._holds(value[0])
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
                return f"<{'.'.join(inner)}>"
            if name == "Fn::Sub":
                text, own = (inner, {}) if isinstance(inner, str) else inner
                known = self.values | {name: self._value(one) for name, one in own.items()}
                return re.sub(r"\$\{([^}!]+)\}", lambda found: str(known.get(found[1], f"<{found[1]}>")), text)
            if name == "Fn::Split":
                return self._value(inner[1]).split(inner[0])
            if name == "Fn::Select":
                # A placeholder, such as of an ARN, has no parts.
                parts = self._value(inner[1])
                return parts[inner[0]] if inner[0] < len(parts) else parts[0]
        filled = {name: self._value(one) for name, one in value.items()}
        return {name: one for name, one in filled.items() if one is not NOTHING}
