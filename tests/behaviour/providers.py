"""Stand-ins for providers' token APIs, as their documentation has them, for tests of rotation."""

import base64
import json
import secrets
import threading
import time

from lab import Answer

BUILDKITE = "api.buildkite.com"


class Buildkite:
    """https://buildkite.com/docs/apis/rest-api/access-token: a token tells of itself, and revokes itself.

    `mishap` is what the next DELETE does besides: "500" (nothing), "lost" (revokes, no answer), "hangs" (revokes, and
    answers only when nobody listens any more), "twice" (revokes, and answers two times), "again" (somebody between sends it
    again, and the second answer comes), "lies" (says that it has), "late" (answers 504, and revokes when it was asked five times
    more whether the token works: after a rotation's own four questions, and the first of who comes next). `used` is (token,
    status) of every other call. `hold`: (n, event): all but the first n questions whether a token works wait for the event.
    """

    host, provider = BUILDKITE, "buildkite"

    def __init__(self, lab, *tokens, email="ci@example.com", scopes=("read_builds",)):
        self.tokens, self.used, self.revoked, self.mishap = {}, [], [], None
        self.hold, self.asked, self.dying = None, 0, {}
        for token in tokens:
            self.add(token, email, scopes)
        self.upstream = lab.upstream(self.host, self.answer)

    def restart(self, *tokens):
        """As it was, with these tokens."""
        for kept in (self.tokens, self.used, self.revoked, self.dying):
            kept.clear()
        self.hold, self.asked, self.mishap = None, 0, None
        for token in tokens:
            self.add(token)

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
                told = Answer(200, json.dumps(self.tokens[token]).encode())
                self.dying = {other: left - (other == token) for other, left in self.dying.items()}
                if self.dying.get(token) == 0:
                    del self.tokens[token]
                return told
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
        if mishap == "late":
            self.dying[token] = 5
            return Answer(504, b"upstream request timeout")
        del self.tokens[token]
        if mishap == "hangs":
            time.sleep(11)  # longer than purser waits for an answer
        refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"
        return {"lost": Answer(raw=b""), "hangs": Answer(raw=b""), "again": Answer(raw=refused),
                "twice": Answer(raw=b"HTTP/1.1 204 No Content\r\n\r\n" + refused)}.get(mishap, Answer(204))


class Gitlab(Buildkite):
    """https://docs.gitlab.com/api/personal_access_tokens/: `self` tells of the token, DELETE of it revokes it, and `self/rotate`
    makes its successor and revokes it at once. Asked with a token that was replaced already, `self/rotate` answers 401 and
    revokes the newest token of its family ("automatic reuse detection").

    `renewal` is what the next `self/rotate` does besides: "lost" (done, no answer), "500" (nothing), "500-done", "late" (answers
    504, and does it a moment later), "twice" (somebody between sends it again, and the first answer comes), "garbled" (done,
    an answer without a token), "refused" (403). `questions` is each call of it.
    """

    host, provider = "gitlab.com", "gitlab"
    rotate_path = "/api/v4/personal_access_tokens/self/rotate"

    def __init__(self, lab, *tokens, scopes=("read_builds",), **more):
        self.renewal, self.questions, self.made, self.family, self.lock = None, [], [], {}, threading.Lock()
        super().__init__(lab, *tokens, scopes=scopes, **more)

    def add(self, token, email="ci@example.com", scopes=("read_builds",), family=None, expires="2027-10-28"):
        super().add(token, email, scopes)
        self.tokens[token]["expires_at"] = expires
        self.family[token] = family or token

    def describe(self, of, **more):
        of = self.tokens[of]
        return json.dumps({"id": 4, "name": "ci", "revoked": False, "scopes": of["scopes"], "active": True,
                           "user_id": of["user"]["email"], "expires_at": of["expires_at"], **more}).encode()

    def answer(self, request):
        token = (request.header("Authorization") or "").removeprefix("Bearer ")
        alive = token in self.tokens
        if request.target == self.rotate_path and request.method == "POST":
            return self.renew(token, json.loads(request.body or b"{}"))
        if request.target != "/api/v4/personal_access_tokens/self":
            self.used.append((token, 200 if alive else 401))
            return Answer(200, b"[]") if alive else Answer(401, b'{"message": "401 Unauthorized"}')
        if not alive:
            return Answer(401, b'{"message": "401 Unauthorized"}')
        return self.revoke(token) if request.method == "DELETE" else Answer(200, self.describe(token))

    def replace(self, token, expires):
        """The call itself: the successor, or None."""
        with self.lock:
            of = self.tokens.pop(token, None)
            if of is None:  # reuse: the newest of the family goes
                for other in [other for other in self.tokens if self.family[other] == self.family.get(token, "")]:
                    del self.tokens[other]
                return None
            made = "glpat-" + base64.b32encode(secrets.token_bytes(30)).decode()
            self.add(made, of["user"]["email"], of["scopes"], self.family[token], expires)
            self.made.append(made)
            return made

    def renew(self, token, said):
        expires = said.get("expires_at", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 7 * 86400)))
        renewal, self.renewal = self.renewal, None
        self.questions.append((token, said))
        if token in self.tokens and not set(self.tokens[token]["scopes"]) & {"api", "self_rotate"} or renewal == "refused":
            return Answer(403, b'{"error": "insufficient_scope", "error_description": "needs self_rotate"}')
        if renewal == "500":
            return Answer(500, b'{"message": "500 Internal Server Error"}')
        if renewal == "late":
            threading.Timer(1, self.replace, (token, expires)).start()
            return Answer(504, b"upstream request timeout")
        made = self.replace(token, expires)
        if made is None:
            return Answer(401, b'{"message": "401 Unauthorized"}')
        answer = Answer(200, self.describe(made, token=made))
        if renewal == "twice":
            self.replace(token, expires)
        return {"lost": Answer(raw=b""), "500-done": Answer(500, b'{"message": "try again"}'),
                "garbled": Answer(200, b'{"id": 4}')}.get(renewal, answer)


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
