"""One real Kubernetes for all tests of a session, whichever of its processes runs them: with purser's image, the images of
tests/cluster/images, and stand-ins for api.github.com, api.buildkite.com and pypi.org, at addresses that look public."""
import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml
from helm import CHART, TOP
from kube import BINARIES
from upstream import sign_from_tomorrow

FOLDER = "PURSER_TEST_CLUSTER"  # the variable that names the cluster's folder to every process of a session
# The stand-ins are no pods: they have addresses of the node, as NetworkPolicies see what is outside of a cluster.
GATEWAY, APIS, METADATA = "10.88.0.1", "140.82.121.5", "169.254.169.254"
STAND_INS = ("api.github.com", "api.buildkite.com", "pypi.org")
LATE = "late.example"  # its certificate is only valid from tomorrow
CACHE = BINARIES.parent / "images"
# Pulled by nobody: the images have the names that the charts' values say.
NAMES = {"python": ["python:3.8-slim", "python:3.13-slim"], "postgres": ["postgres:17"]}


def choose_folder(config):
    """Once, by the process that starts the others. A cluster that the environment names already is kept for the next session."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = f"/tmp/purser-cluster-{os.getpid()}"
        config.add_cleanup(end)


def cluster(*words, check=True, **more):
    folder = os.environ[FOLDER]
    env = {**os.environ, "CLUSTER_DIR": f"{folder}/node", "CLUSTER_NETNS": Path(folder).name}
    return subprocess.run([str(word) for word in (TOP / "tests/cluster/cluster", *words)], check=check, env=env,
                          stdin=more.pop("stdin", subprocess.DEVNULL if "input" not in more else None), **more)


def end():
    """By the same process, when all tests are done: `end()` by hand for a cluster that was kept."""
    folder = Path(os.environ[FOLDER])
    Path(f"{folder}.lock").unlink(missing_ok=True)
    if folder.exists():
        cluster("down", check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


class Failed(Exception):
    pass


class World:
    """What every test of a session shares."""

    def __init__(self, folder):
        self.folder = folder
        self.stand_in = folder / "stand-in"
        self.tokens = {name: (folder / f"{name}.token") for name in ("github", "buildkite")}

    # How it comes up

    def start(self, prefix, level="3"):
        self.folder.mkdir()
        self.folder.chmod(0o755)
        image = subprocess.Popen([TOP / "chart/image/build", "--tree", prefix, "--into", self.folder / "image", "--level", level,
                                  "--name", "docker.io/library/purser:0.1.0"], stdout=subprocess.DEVNULL)
        self.make_stand_in()
        with open(self.folder / "up.log", "w") as log:
            if cluster("up", check=False, stdout=log, stderr=log).returncode:
                raise Failed((self.folder / "up.log").read_text())
        for name in ("python", "collectors", "postgres", "nginx"):
            cluster("import", CACHE / f"{name}.tar")
            for other in NAMES.get(name, []):
                cluster("tag", f"localhost/tests/{name}:1", f"docker.io/library/{other}")
        self.start_stand_in()
        assert image.wait() == 0
        cluster("import", self.folder / "image.tar")

    def make_stand_in(self):
        for name, path in self.tokens.items():
            path.write_text({"github": "ghp_", "buildkite": "bkua_"}[name] + secrets.token_hex(18))
        subprocess.run([TOP / "examples/quickstart/stand-in", self.stand_in, "--port", "443", "--github-token",
                        self.tokens["github"], "--buildkite-token", self.tokens["buildkite"]], check=True)
        self.make_index()
        self.certify("server", *STAND_INS)
        self.certify("late", LATE, tomorrow=True)
        conf = self.stand_in / "nginx.conf"
        text = conf.read_text().replace("listen 127.0.0.1:443", f"listen {APIS}:443")
        more = (f"    server {{ listen {APIS}:443 ssl; server_name pypi.org; root index; default_type text/html;\n"
                "        location /simple/ { index index.html; } }\n"
                f"    server {{ listen {APIS}:443 ssl; server_name {LATE}; ssl_certificate late.pem; ssl_certificate_key late.key; }}\n"
                f"    server {{ listen {APIS}:8443; listen {METADATA}:80; listen {METADATA}:443; return 200 elsewhere; }}\n}}\n")
        conf.write_text(text.rstrip().removesuffix("}") + more)

    def certify(self, name, *hosts, folder=None, tomorrow=False):
        """A certificate by the stand-ins' CA."""
        folder = folder or self.stand_in
        ca = self.stand_in / "ca.pem"
        (folder / "names").write_text(f"subjectAltName={','.join(f'DNS:{host}' for host in hosts)}\n")
        run = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)  # noqa: E731
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={hosts[0]}", "-keyout",
            folder / f"{name}.key", "-out", folder / "request")
        if tomorrow:
            sign_from_tomorrow(ca, ca.with_name("ca.key"), folder / "request", folder / "names", folder / f"{name}.pem")
            return
        run("x509", "-req", "-in", folder / "request", "-CA", ca, "-CAkey", ca.with_name("ca.key"), "-CAcreateserial", "-days",
            "2", "-extfile", folder / "names", "-out", folder / f"{name}.pem")

    def make_index(self):
        """PEP 503 over the wheels that tests/cluster/images has fetched."""
        projects = {}
        for wheel in (CACHE / "wheels").iterdir():
            projects.setdefault(wheel.name.split("-")[0].replace("_", "-").replace(".", "-").lower(), []).append(wheel)
        for project, wheels in projects.items():
            folder = self.stand_in / "index/simple" / project
            folder.mkdir(parents=True)
            for wheel in wheels:
                shutil.copy(wheel, folder)
            (folder / "index.html").write_text("".join(f'<a href="{wheel.name}">{wheel.name}</a>\n' for wheel in wheels))

    def start_stand_in(self):
        for address in APIS, METADATA:
            cluster("run", "ip", "address", "add", f"{address}/32", "dev", "lo")
        self.apply(
            {"kind": "Namespace", "metadata": {"name": "stand-ins"}},
            {"kind": "Pod", "metadata": {"name": "apis", "namespace": "stand-ins", "labels": {"app": "apis"}}, "spec": {
                "terminationGracePeriodSeconds": 0, "hostNetwork": True,
                "containers": [{"name": "nginx", "image": "localhost/tests/nginx:1", "command": [
                    "/usr/sbin/nginx", "-p", f"{self.stand_in}/", "-c", "nginx.conf"],
                    "readinessProbe": {"tcpSocket": {"host": APIS, "port": 443}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "folder", "mountPath": str(self.stand_in)}]}],
                "volumes": [{"name": "folder", "hostPath": {"path": str(self.stand_in)}}]}})
        with open(self.folder / "node/hosts", "w") as hosts:
            hosts.writelines(f"{APIS} {name}\n" for name in (*STAND_INS, LATE))
        self.kubectl("wait", "--for=condition=Ready", "pod/apis", "-n", "stand-ins", "--timeout=90s")

    # Tools

    def kubectl(self, *words, check=True, input=None, timeout=300):  # noqa: A002
        done = cluster("run", "kubectl", *words, check=False, capture_output=True, text=True, timeout=timeout,
                       **({"input": input} if input is not None else {}))
        if check and done.returncode:
            raise Failed(f"kubectl {' '.join(map(str, words))}: {done.stderr}")
        return done.stdout if check else done

    def image(self, name):
        return CACHE / f"{name}.tar"

    def words(self, *words):
        """What runs this inside, from anywhere."""
        folder = os.environ[FOLDER]
        return ["env", f"CLUSTER_DIR={folder}/node", f"CLUSTER_NETNS={Path(folder).name}", str(TOP / "tests/cluster/cluster"), "run", *words]

    def kill(self, container):
        """As the kernel does when memory runs out."""
        cluster("kill", container)

    def get(self, what, space=None, *words):
        return json.loads(self.kubectl("get", what, *(["-n", space] if space else []), "-o", "json", *words))

    def apply(self, *objects):
        api = {"StatefulSet": "apps/v1", "Deployment": "apps/v1", "Job": "batch/v1", "Role": "rbac.authorization.k8s.io/v1",
               "RoleBinding": "rbac.authorization.k8s.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
               "NetworkPolicy": "networking.k8s.io/v1"}
        listed = [{"apiVersion": api.get(each["kind"], "v1"), **each} for each in objects]
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(listed))

    def settle(self):
        """Until what NetworkPolicies say now is enforced."""
        cluster("settle")

    def kept_from(self):
        """What NetworkPolicies have kept pods from: {(direction, from, to, protocol, port)}."""
        found = set()
        for direction in "egress", "ingress":
            said = json.loads(cluster("run", "nft", "-j", "list", "set", "inet", "network-policies", f"{direction}-refused",
                                      capture_output=True).stdout)
            listed = next(each["set"] for each in said["nftables"] if "set" in each)
            found |= {(direction, *each["elem"]["val"]["concat"]) for each in listed.get("elem", [])}
        return found

    def reached(self, address, port):
        """Whether the node gets a connection, which no NetworkPolicy keeps it from."""
        return cluster("run", "timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}", check=False,
                       stderr=subprocess.DEVNULL).returncode == 0

    def until(self, what, found, seconds=150, every=0.3):
        """What found() says, as soon as it says something."""
        end_at = time.monotonic() + seconds
        while True:
            if answer := found():
                return answer
            assert time.monotonic() < end_at, f"{what}: not within {seconds} s"
            time.sleep(every)

    @contextlib.contextmanager
    def space(self, name, **more):
        """A namespace that enforces Pod Security "restricted"."""
        self.apply({"kind": "Namespace", "metadata": {"name": name, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}})
        space = Space(self, name)
        self.apply({"kind": "ConfigMap", "metadata": {"name": "stand-in-ca", "namespace": name},
                    "data": {"ca.crt": (self.stand_in / "ca.pem").read_text()}})
        try:
            yield space
        except BaseException:
            print(space.story(), file=sys.stderr)
            raise
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false", check=False)


# What every release of these tests says beside its own values.
USUAL = {"site": {"ca": {"configMap": "stand-in-ca"}}, "database": {"bundled": {"persistence": {"enabled": False}}},
         "kubernetes": {"spread": "0s"}, "vault": {"spread": "0s"}, "schedule": "never", "grafana": {"dashboards": {"enabled": False}}, "terminationGracePeriodSeconds": 20}


def merged(base, more):
    if not isinstance(base, dict) or not isinstance(more, dict):
        return more
    return {**base, **{key: merged(base.get(key), value) for key, value in more.items()}}


class Space:
    """A namespace, and the release in it."""

    def __init__(self, world, name):
        self.world, self.name = world, name

    def kubectl(self, *words, **more):
        return self.world.kubectl("-n", self.name, *words, **more)

    def get(self, what, *words):
        return self.world.get(what, self.name, *words)

    def secret(self, name, **data):
        self.world.apply({"kind": "Secret", "metadata": {"name": name, "namespace": self.name},
                          "data": {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in data.items()}})

    def helm(self, *words, check=True, values=None):
        done = cluster("run", "helm", "-n", self.name, *words, *(["--values", "-"] if values is not None else []), check=False,
                       capture_output=True, text=True, **({"input": yaml.safe_dump(values)} if values is not None else {}))
        if check and done.returncode:
            raise Failed(f"helm {words}: {done.stderr}{done.stdout}")
        assert "would violate PodSecurity" not in done.stderr, done.stderr
        return done.stdout if check else done

    def install(self, values, *words, wait=True, command="install"):
        """`values`: beside USUAL."""
        said = self.helm(command, "ci", CHART, *words, values=merged(USUAL, values))
        if wait and values.get("database", {}).get("kind", "bundled") == "bundled":
            self.kubectl("rollout", "status", "statefulset/ci-purser-postgresql", "--timeout=240s")
            # By its Service: kube-proxy is a moment later than the pod's readiness.
            service = self.get("service/ci-purser-postgresql")["spec"]["clusterIP"]
            self.world.until("the database's Service leads to it", lambda: self.world.reached(service, 5432))
        self.world.settle()
        return said

    def job(self, name, cronjob="ci-purser"):
        self.kubectl("create", "job", f"--from=cronjob/{cronjob}", name)
        return name

    def finished(self, job, seconds=240):
        """Its condition: Complete or Failed."""
        def found():
            status = self.get(f"job/{job}").get("status", {})
            return next((each["type"] for each in status.get("conditions", []) if each["type"] in ("Complete", "Failed")
                         and each["status"] == "True"), None)
        return self.world.until(f"the end of job {job}", found, seconds)

    def run(self, job, **more):
        return self.finished(self.job(job), **more)

    def pod(self, job):
        """The newest pod of a Job, as it is now; None when there is none yet."""
        found = self.get("pods", "-l", f"batch.kubernetes.io/job-name={job}")["items"]
        return found[-1] if found else None

    def states(self, job):
        """{container: {running|waiting|terminated: {...}}}, and how far its pod is."""
        pod = self.pod(job)
        status = pod["status"] if pod else {}
        return {each["name"]: each["state"] for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]}, \
            status.get("phase")

    def state(self, job, container):
        return self.states(job)[0].get(container)

    def ended(self, job, container, seconds=240):
        """How a container has ended: {exitCode, reason, message, ...}"""
        def found():
            states, phase = self.states(job)
            state = states.get(container, {})
            assert phase != "Failed" or "waiting" not in state, f"{container} of {job} was never started: {states}"
            return state.get("terminated")
        return self.world.until(f"the end of {container}", found, seconds)

    def kept_from(self):
        """What NetworkPolicies have kept the pods from that are there, or others from them."""
        addresses = {each["status"].get("podIP") for each in self.get("pods")["items"]}
        return {each for each in self.world.kept_from() if addresses & set(each[1:3])}

    def logs(self, job, container):
        return self.kubectl("logs", f"job/{job}", "-c", container)

    def rows(self, sql, pod="ci-purser-postgresql-0", container="postgresql"):
        said = self.kubectl("exec", pod, "-c", container, "--", "psql", "-XAt", "-F", "|", "-d", "ci", "-c", sql)
        return [tuple(line.split("|")) for line in said.splitlines()]

    def reader_sees(self, sql, more=""):
        """What Grafana's role is told, with the data source's own password, over TLS, in the pod "reader", which the test lets to the
        database: (standard output, error). `more`: of the DSN."""
        secret = self.get("secret/ci-purser-grafana-datasource")["data"]["ci-purser-datasource.yaml"]
        source = yaml.safe_load(base64.b64decode(secret))["datasources"][0]
        done = self.kubectl(
            "exec", "-i", "reader", "--", "sh", "-c", "cat >/tmp/ca; IFS= read -r PGPASSWORD </tmp/ca; export PGPASSWORD;"
            "sed -i 1d /tmp/ca; psql -XAt \"$1\" -c \"$2\"", "sh",
            f"host={source['url'].split(':')[0]} user={source['user']} dbname={source['jsonData']['database']} sslmode=verify-full "
            f"sslrootcert=/tmp/ca {more}", sql, check=False,
            input=f"{source['secureJsonData']['password']}\n{source['secureJsonData'].get('tlsCACert', '')}")
        return done.stdout.strip(), done.stderr.strip()

    def ends(self):
        """A line for each container of each Job's pod: how it ended, and the message that it left."""
        for pod in self.get("pods", "-l", "batch.kubernetes.io/job-name")["items"]:
            status = pod["status"]
            for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
                end = each["state"].get("terminated") or each.get("lastState", {}).get("terminated") or {}
                yield (f"{pod['metadata']['name']} {each['name']}: {', '.join(each['state'])}, {each['restartCount']} restarts, "
                       f"{end.get('reason')} {end.get('exitCode')} {end.get('message', '').strip()}")

    def story(self):
        """For the log of a test that failed; the ends last, since they are what a short report shows."""
        told = [self.kubectl(*words, check=False).stdout for words in (
            ["get", "all"], ["describe", "pods", "-l", "app.kubernetes.io/component=retrievers"],
            ["get", "events", "--sort-by=.lastTimestamp"])]
        for pod in self.get("pods")["items"]:
            for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
                said = self.kubectl("logs", pod["metadata"]["name"], "-c", container["name"], "--tail=60", check=False)
                told.append(f"--- {pod['metadata']['name']} {container['name']}\n{said.stdout}{said.stderr}")
        told.append(f"NetworkPolicies kept out: {sorted(self.kept_from())}")
        return "\n".join([*told, *self.ends()])


def shared(prefix):
    """The session's cluster; started by whichever process asks first."""
    folder = Path(os.environ[FOLDER])
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world = World(folder)
        if not (folder / "ready").exists():
            world.start(prefix)
            (folder / "ready").touch()
    return world
