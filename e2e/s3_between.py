"""A proxy between a function and S3: records every call, and can fail some."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


class Between:
    """Forwards calls to `url`, except those whose path contains `refused`: they fail with 503."""

    def __init__(self, url, refused=None):
        self.seen = []
        between = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def pass_on(self):
                between.seen.append((self.command, self.path, self.headers.get("X-Amzn-Trace-Id")))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if refused and refused in self.path:
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                answer = requests.request(
                    self.command, url + self.path, data=body, headers=dict(self.headers), timeout=30, stream=True
                )
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in ("connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.raw.read())

            do_GET = do_HEAD = do_PUT = pass_on

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
