"""A real Kubernetes API server on loopback, with etcd behind it: RBAC, service accounts, TokenRequest, TokenReview. It needs
the binaries that tests/cluster/build makes. No kubelet: what needs a node is in tests/cluster/cluster."""

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from bao import Refused
from ports import free_port
from upstream import Authority

BINARIES = Path(os.environ.get("PURSER_TESTS_CACHE", Path.home() / ".cache/purser-tests")) / "bin"
ISSUER = "https://kubernetes.default.svc"


class Kube:
    def __init__(self, host="localhost"):
        self.folder = Path(tempfile.mkdtemp(prefix="purser-kube-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.authority = Authority(self.folder / "pki")
        self.ca, self.host, self.port = self.authority.bundle, host, free_port()
        self.server, self.address = self.authority.leaf(host), f"https://{host}:{self.port}"
        self.admin = self.client("admin", "/O=system:masters/CN=admin")
        self.signer = self.folder / "pki/service-account.key"
        subprocess.run(["openssl", "genrsa", "-out", self.signer, "2048"], check=True, capture_output=True)
        self.processes = []
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def client(self, name, subject):
        """(certificate, key) that the API server takes for this user"""
        stem = self.folder / "pki" / name
        key, request, made = (stem.with_suffix(end) for end in (".key", ".csr", ".pem"))
        run = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)  # noqa: E731
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", key, "-out",
            request)
        run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca.with_name("ca.key"), "-CAcreateserial", "-days",
            "2", "-out", made)
        return made, key

    def launch(self, name, *words):
        log = open(self.folder / f"{name}.log", "ab")
        self.processes.append(subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log,
                                               stderr=log, cwd=self.folder))

    def start(self):
        if not hasattr(self, "etcd"):
            self.etcd, peers = free_port(), free_port()
            self.launch("etcd", "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--listen-peer-urls",
                        f"http://127.0.0.1:{peers}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}",
                        "--initial-cluster", f"default=http://127.0.0.1:{peers}", "--listen-client-urls",
                        f"http://127.0.0.1:{self.etcd}", "--advertise-client-urls", f"http://127.0.0.1:{self.etcd}")
        self.launch("apiserver", BINARIES / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd}",
                    "--bind-address=127.0.0.1", f"--secure-port={self.port}", "--endpoint-reconciler-type=none",
                    "--service-cluster-ip-range=10.96.0.0/16", f"--tls-cert-file={self.server[0]}",
                    f"--tls-private-key-file={self.server[1]}", f"--client-ca-file={self.ca}", "--authorization-mode=RBAC",
                    f"--service-account-key-file={self.signer}", f"--service-account-signing-key-file={self.signer}",
                    f"--service-account-issuer={ISSUER}", "--profiling=false", "--disable-admission-plugins=ServiceAccount")
        end = time.monotonic() + 60
        while True:
            try:
                self.call("GET", "/api/v1/namespaces/default")
                return
            except (OSError, Refused):
                assert time.monotonic() < end and self.processes[-1].poll() is None, \
                    (self.folder / "apiserver.log").read_text()[-3000:]
                time.sleep(0.1)

    def stop(self):
        process = self.processes.pop()
        process.kill()  # an orderly end takes 20 seconds
        process.wait()

    def freeze(self):
        self.processes[-1].send_signal(signal.SIGSTOP)

    def thaw(self):
        self.processes[-1].send_signal(signal.SIGCONT)

    def call(self, method, path, body=None, token=None):
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        context = ssl.create_default_context(cafile=self.ca)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        else:
            context.load_cert_chain(*self.admin)
        request = urllib.request.Request(f"{self.address}{path}", method=method, headers=headers,
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(
                    context=context)).open(request, timeout=20) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode()) from None

    # What platform teams set up

    def make(self, path, kind, name, **more):
        """Makes an object, or makes it anew."""
        group = path.split("/")[2] if path.startswith("/apis") else ""
        api = "v1" if not group else f"{group}/v1"
        for _ in range(2):
            try:
                return self.call("POST", path, {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **more})
            except Refused as refused:
                if refused.status != 409:
                    raise
                if kind == "Namespace":
                    return None
                self.call("DELETE", f"{path}/{name}")
        raise AssertionError(f"{kind} {name} cannot be made")

    def secret(self, space, name, **data):
        return self.make(f"/api/v1/namespaces/{space}/secrets", "Secret", name,
                         data={key: base64.b64encode(value.encode()).decode() for key, value in data.items()})

    def account(self, space, name, secrets=(), tokens=()):
        """A service account that may get exactly these Secrets, and ask for tokens of these accounts."""
        self.make("/api/v1/namespaces", "Namespace", space)
        self.make(f"/api/v1/namespaces/{space}/serviceaccounts", "ServiceAccount", name)
        rules = []
        if secrets:
            rules.append({"apiGroups": [""], "resources": ["secrets"], "resourceNames": list(secrets), "verbs": ["get"]})
        if tokens:
            rules.append({"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": list(tokens),
                          "verbs": ["create"]})
        self.make(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/roles", "Role", name, rules=rules)
        self.make(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/rolebindings", "RoleBinding", name,
                  roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                  subjects=[{"kind": "ServiceAccount", "name": name, "namespace": space}])

    def token(self, space, name, audiences=(), seconds=3600):
        spec = {"expirationSeconds": seconds, **({"audiences": list(audiences)} if audiences else {})}
        return self.call("POST", f"/api/v1/namespaces/{space}/serviceaccounts/{name}/token",
                         {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})["status"]["token"]

    def close(self):
        for process in reversed(self.processes):
            process.kill()  # an orderly end takes the API server 20 seconds
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
