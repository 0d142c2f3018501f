"""Traces, read by OpenTelemetry's own types."""

import base64
import http.server
import json
import threading

import requests
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import sample_images
from tintype import SOURCE
from waiting import until


class Collector(http.server.ThreadingHTTPServer):
    """Receives traces and stores their spans."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces"
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        for resource in body["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    # OTLP's JSON has ids in hexadecimal, protobuf's has bytes in base64.
                    for name in ("traceId", "spanId", "parentSpanId"):
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
        parsed = json_format.ParseDict(body, ExportTraceServiceRequest())
        for resource in parsed.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def test_one_trace_from_upload_to_thumbnail(new_server):
    collector = Collector()
    own = new_server(settings=f'[logs]\notlp = "{collector.url}"\n').start()
    put = own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    own.client().put_object(Bucket=SOURCE, Key="broken.jpg", Body=sample_images.corrupt_jpeg())
    until(lambda: len({span.trace_id for span in collector.spans}) == 2, "both traces are there")
    trace = put["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"].replace("-", "")
    spans = {span.name: span for span in collector.spans if span.trace_id.hex() == trace}
    root, attempt = spans["upload to thumbnail"], spans["attempt 1"]
    assert root.parent_span_id == b"" and attempt.parent_span_id == root.span_id
    assert {"read", "decode", "resample", "encode", "write"} <= spans.keys()
    for name in ("decode", "write"):
        assert spans[name].parent_span_id == attempt.span_id
        assert attempt.start_time_unix_nano <= spans[name].start_time_unix_nano <= spans[name].end_time_unix_nano
    failed = next(span for span in collector.spans if span.status.code == 2 and not span.parent_span_id)
    assert failed.status.message.startswith("malformed")
    # One request about two objects is one trace with two of everything.
    for key in ("b.jpg", "c.jpg"):
        own.client().put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg())
    own.wait_until_idle()
    s3_records = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": SOURCE}, "object": {"key": key}}} for key in ("b.jpg", "c.jpg")
    ]
    answer = requests.post(own.api_url, json={"Records": s3_records}, headers={"Prefer": "respond-async"}, timeout=30)
    trace = answer.headers["x-amzn-requestid"].replace("-", "")

    def roots():
        return [span for span in collector.spans if span.trace_id.hex() == trace and not span.parent_span_id]

    until(lambda: len(roots()) == 2, "both are there")
    ids = [span.span_id for span in collector.spans if span.trace_id.hex() == trace]
    assert len(set(ids)) == len(ids)
    collector.shutdown()


def test_an_unavailable_collector_delays_nothing(new_server):
    own = new_server(settings='[logs]\notlp = "http://127.0.0.1:9"\n').start()
    own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    own.thumbnail("thumb_a.jpg")
    until(lambda: "the collector accepts no traces" in own.log_text(), "it is logged once")
    assert own.stop() == 0
