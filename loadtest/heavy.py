"""A heavier profile without pauses: as many requests as the server answers, for example:

    locust -f heavy.py --host http://127.0.0.1:8080/dev1/myimage --headless -u 64 -r 16 -t 60s

A 429 with Retry-After is counted separately: it is the correct response of an overloaded server.
"""

from locust import constant

from test import ImageProcessingTestUser as PausingUser

PausingUser.abstract = True


class ImpatientUser(PausingUser):
    """The same requests without pauses."""

    wait_time = constant(0)

    def check(self, answer):
        if answer.status_code == 429 and "Retry-After" in answer.headers:
            answer.request_meta["name"] = "refused with 429"
            answer.success()
            return False
        return super().check(answer)
