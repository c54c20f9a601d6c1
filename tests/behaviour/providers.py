"""Stand-ins for providers' token APIs, as their documentation has them, for tests of rotation."""

import json

from lab import Answer

BUILDKITE = "api.buildkite.com"


class Buildkite:
    """https://buildkite.com/docs/apis/rest-api/access-token: a token tells of itself, and revokes itself.

    `mishap` is what the next DELETE does besides: "500" (nothing), "lost" (revokes, no answer), "lies" (says that it has),
    "slow" (revokes only when asked again). `used` is (token, status) of every other call. `hold`: (n, event): all but the
    first n questions whether a token works wait for the event.
    """

    host, provider = BUILDKITE, "buildkite"

    def __init__(self, lab, *tokens, email="ci@example.com", scopes=("read_builds",)):
        self.tokens, self.used, self.revoked, self.mishap = {}, [], [], None
        self.hold, self.asked = None, 0
        for token in tokens:
            self.add(token, email, scopes)
        self.upstream = lab.upstream(self.host, self.answer)

    def add(self, token, email="ci@example.com", scopes=("read_builds",)):
        self.tokens[token] = {"uuid": f"uuid-{len(self.tokens)}", "scopes": list(scopes), "description": "CI",
                              "user": {"email": email, "name": "CI"}}

    def answer(self, request):
        token = (request.header("Authorization") or "").removeprefix("Bearer ")
        alive = token in self.tokens
        if request.target == "/v2/access-token":
            self.wait(request)
            if not alive:
                return Answer(401, b'{"message": "Authentication required. Please supply a valid API Access Token."}')
            if request.method == "GET":
                return Answer(200, json.dumps(self.tokens[token]).encode())
            return self.revoke(token)
        self.used.append((token, 200 if alive else 401))
        return Answer(200, b"[]") if alive else Answer(401, b'{"message": "Authentication required"}')

    def wait(self, request):
        self.asked += request.method == "GET"
        if (hold := self.hold) and request.method == "GET" and self.asked > hold[0]:
            hold[1].wait(30)

    def revoke(self, token):
        mishap, self.mishap = self.mishap, None
        self.revoked.append(token)
        if mishap == "500":
            return Answer(500, b'{"message": "try again"}')
        if mishap == "lies":
            return Answer(204)
        del self.tokens[token]
        return Answer(raw=b"") if mishap == "lost" else Answer(204)


class Gitlab(Buildkite):
    """https://docs.gitlab.com/api/personal_access_tokens/: `self` tells of the token, and DELETE of it revokes it."""

    host, provider = "gitlab.com", "gitlab"

    def answer(self, request):
        token = (request.header("Authorization") or "").removeprefix("Bearer ")
        alive = token in self.tokens
        if request.target != "/api/v4/personal_access_tokens/self":
            self.used.append((token, 200 if alive else 401))
            return Answer(200, b"[]") if alive else Answer(401, b'{"message": "401 Unauthorized"}')
        if not alive:
            return Answer(401, b'{"message": "401 Unauthorized"}')
        if request.method == "DELETE":
            return self.revoke(token)
        of = self.tokens[token]
        return Answer(200, json.dumps({"id": 4, "name": "ci", "revoked": False, "scopes": of["scopes"], "active": True,
                                       "user_id": of["user"]["email"], "expires_at": "2027-10-28"}).encode())


class Circleci(Buildkite):
    """Tells whose the token is, and has no call that revokes one: that is done in the settings."""

    host, provider = "circleci.com", "circleci"

    def answer(self, request):
        token = request.header("Circle-Token") or ""
        alive = token in self.tokens
        if request.target != "/api/v2/me":
            self.used.append((token, 200 if alive else 401))
        if request.method == "DELETE":
            return Answer(404, b'{"message": "Not found"}')
        if not alive:
            return Answer(401, b'{"message": "Invalid token provided."}')
        return Answer(200, json.dumps({"id": self.tokens[token]["user"]["email"], "login": "ci"}).encode())
