"""A heavier profile: nobody pauses. As many requests as the server answers, for example:

    locust -f heavy.py --host http://127.0.0.1:8080/dev1/myimage --headless -u 64 -r 16 -t 60s

An answer of 429 with Retry-After is counted by itself: it is what an overloaded server is to say.
"""

from locust import constant

from test import ImageProcessingTestUser as Calm

Calm.abstract = True


class ImpatientUser(Calm):
    """The same requests, one right after the other."""

    wait_time = constant(0)

    def check(self, answer):
        if answer.status_code == 429 and "Retry-After" in answer.headers:
            answer.request_meta["name"] = "refused with 429"
            answer.success()
            return False
        return super().check(answer)
