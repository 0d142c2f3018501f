"""AWS for deploy/aws/deploy: buckets of several accounts and stacks in any state. S3 and STS are moto's."""

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import requests

from template import PATH

ACCOUNT = "123456789012"


@dataclass
class Stack:
    """Resources are (logical id, status, physical id or None); all are buckets."""

    status: str = "CREATE_COMPLETE"
    resources: list = field(default_factory=list)
    parameters: dict = field(default_factory=dict)
    template: str = PATH.read_text()
    protected: bool = False
    # Its status after a deletion; None: it can be found no longer.
    end: str | None = "DELETE_COMPLETE"
    # (action, logical id, type, replacement) of each change of the next change set, and its status once that is executed.
    changes: list = field(default_factory=list)
    after: str = "UPDATE_COMPLETE"
    # Of the last change set.
    proposed: dict = field(default_factory=dict)


class FakeAws:
    """Records every request; serves CloudFormation from `stacks`, if there are any, and forwards the rest to moto."""

    def __init__(self, moto):
        self.moto = moto
        self.stacks = {}
        # Buckets of other accounts, public to all.
        self.owners = {}
        # The stacks that created buckets, by bucket: CloudFormation tags what it creates, moto does not.
        self.creators = {}
        # Called with the event of each synchronous invocation, instead of moto's functions.
        self.function = None
        # Keys that S3 does not delete.
        self.locked = set()
        # (method, path with query, expected owner) of each request to S3; actions of CloudFormation.
        self.s3 = []
        self.cloudformation = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_request(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, answer = fake.answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(answer))
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = handle_request

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def written(self):
        """The requests to S3 that change something."""
        return [(method, path) for method, path, _ in self.s3 if method not in ("GET", "HEAD")]

    def created(self, stack, *buckets):
        """Sets the stack that created the buckets; None: no stack."""
        for bucket in buckets:
            self.creators.pop(bucket, None)
            if stack:
                self.creators[bucket] = stack

    def keys(self, bucket):
        return [one["Key"] for one in self.moto.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]

    def answer(self, method, path, headers, body):
        service = re.search(r"/([a-z0-9]+)/aws4_request", headers.get("Authorization", ""))
        service = service[1] if service else ""
        if service == "cloudformation" and self.stacks:
            form = {name: value[0] for name, value in parse_qs(body.decode()).items()}
            return self._cloudformation(form)
        if service == "s3":
            bucket = unquote(urlsplit(path).path).split("/")[1]
            expected = headers.get("x-amz-expected-bucket-owner")
            self.s3.append((method, path, expected))
            if expected and expected != self.owners.get(bucket, ACCOUNT):
                return self._error(403, "AccessDenied", "Access Denied")
            if method == "GET" and path.endswith("?tagging") and bucket in self.creators:
                creator = self.creators[bucket]
                tags = {"team": "web", "aws:cloudformation:stack-id": creator, "aws:cloudformation:stack-name": creator.split("/")[1]}
                tag_set = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in tags.items())
                return self._xml(f"<Tagging><TagSet>{tag_set}</TagSet></Tagging>")
            if method == "POST" and path.endswith("?delete") and any(f"<Key>{key}</Key>" in body.decode() for key in self.locked):
                errors = "".join(f"<Error><Key>{key}</Key><Code>AccessDenied</Code></Error>" for key in self.locked)
                return self._xml(f"<DeleteResult>{errors}</DeleteResult>")
        if service == "lambda" and path.endswith("/invocations") and self.function:
            return 200, {"Content-Type": "application/json"}, json.dumps(self.function(json.loads(body))).encode()
        passed = {name: value for name, value in headers.items() if name.lower() not in ("expect", "connection")}
        answer = requests.request(method, self.moto.url + path, data=body, headers=passed, timeout=60)
        return answer.status_code, answer.headers, answer.content

    def _cloudformation(self, form):
        action, name = form["Action"], form.get("StackName", "")
        self.cloudformation.append(action)
        # A change set's ARN has its stack's name here.
        name = name or form["ChangeSetName"].split("/")[1]
        name = name.split("/")[1] if name.startswith("arn:") else name
        if name not in self.stacks:
            return self._error(400, "ValidationError", f"Stack with id {name} does not exist", "<ErrorResponse>{}</ErrorResponse>")
        stack = self.stacks[name]
        if action == "DescribeStacks":
            parameters = "".join(
                f"<member><ParameterKey>{key}</ParameterKey><ParameterValue>{value}</ParameterValue></member>"
                for key, value in stack.parameters.items()
            )
            result = (
                f"<Stacks><member><StackName>{name}</StackName><StackId>{stack_id(name)}</StackId>"
                f"<StackStatus>{stack.status}</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>"
                f"<EnableTerminationProtection>{str(stack.protected).lower()}</EnableTerminationProtection>"
                f"<Parameters>{parameters}</Parameters></member></Stacks>"
            )
        elif action == "ListStackResources":
            # One resource a page: AWS may end pages anywhere.
            at = int(form.get("NextToken", 0))
            result = "<StackResourceSummaries>"
            for logical, status, physical in stack.resources[at : at + 1]:
                result += (
                    f"<member><LogicalResourceId>{logical}</LogicalResourceId><ResourceType>AWS::S3::Bucket</ResourceType>"
                    f"<ResourceStatus>{status}</ResourceStatus><LastUpdatedTimestamp>2026-01-01T00:00:00Z</LastUpdatedTimestamp>"
                    + (f"<PhysicalResourceId>{physical}</PhysicalResourceId>" if physical is not None else "")
                    + "</member>"
                )
            result += "</StackResourceSummaries>"
            if at + 1 < len(stack.resources):
                result += f"<NextToken>{at + 1}</NextToken>"
        elif action == "GetTemplateSummary":
            keys = "".join(f"<member><ParameterKey>{key}</ParameterKey></member>" for key in stack.parameters)
            result = f"<Parameters>{keys}</Parameters>"
        elif action == "CreateChangeSet":
            assert form["ChangeSetType"] == "UPDATE", form
            stack.proposed = form
            result = f"<Id>arn:aws:cloudformation:us-east-1:{ACCOUNT}:changeSet/{name}/1</Id><StackId>{stack_id(name)}</StackId>"
        elif action == "DescribeChangeSet":
            changes = "".join(
                f"<member><Type>Resource</Type><ResourceChange><Action>{what}</Action><LogicalResourceId>{logical}</LogicalResourceId>"
                f"<ResourceType>{kind}</ResourceType><Replacement>{replacement}</Replacement></ResourceChange></member>"
                for what, logical, kind, replacement in stack.changes
            )
            # CloudFormation's own words, which the CLI looks for.
            reason = "The submitted information didn't contain changes. Submit different information to create a change set."
            result = f"<ChangeSetName>1</ChangeSetName><StackName>{name}</StackName><Changes>{changes}</Changes>" + (
                "<Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus>"
                if stack.changes
                else f"<Status>FAILED</Status><StatusReason>{escape(reason)}</StatusReason>"
            )
        elif action == "ExecuteChangeSet":
            stack.status, result = stack.after, ""
        elif action == "GetTemplate":
            result = f"<TemplateBody>{escape(stack.template)}</TemplateBody>"
        else:
            assert action == "DeleteStack", action
            stack.status, result = stack.end, ""
            if stack.end is None:
                # It is gone; moto creates the next one.
                del self.stacks[name]
        return self._xml(f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")

    @staticmethod
    def _xml(text, status=200):
        return status, {"Content-Type": "text/xml"}, text.encode()

    def _error(self, status, code, message, around="{}"):
        return self._xml(around.format(f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"), status)


def stack_id(name, number=1):
    """The ARN of the first stack of that name, or of an earlier or later one by `number`."""
    return f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{name}/{number}"
