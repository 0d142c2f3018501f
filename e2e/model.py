"""A provider of models for tests: chat completions and Bedrock's Converse, by a script of answers."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920}


def chat(text):
    """The body of a chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "eye",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": USAGE,
    }


def described(**texts):
    return chat(json.dumps(texts, ensure_ascii=False))


class Model:
    """Answers each request as `answer` decides: given the request's number and body, a body, or (status, headers, body),
    where a body is JSON or bytes. Remembers what it was asked."""

    def __init__(self, port=0):
        self.requests, self.answer, self.delay = [], lambda number, body: described(en="A red picture."), 0
        self.lock = threading.Lock()
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(raw)
                with model.lock:
                    number = len(model.requests)
                    model.requests.append((self.path, dict(self.headers.items()), body, raw))
                time.sleep(model.delay)
                answer = model.answer(number, body)
                status, headers, content = answer if isinstance(answer, tuple) else (200, {}, answer)
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    for name, value in ({"Content-Type": "application/json"} | headers).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # Nobody waits any more.

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def bodies(self):
        return [body for _, _, body, _ in list(self.requests)]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
