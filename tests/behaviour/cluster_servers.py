"""Servers that tests put into the cluster: each a pod and a Service, with a certificate of its name by the stand-ins' CA."""
import json
import os
import shutil
import subprocess

from cluster_world import cluster
from helm import TOP
from kube import BINARIES


def await_service(world, space, name, port):
    """A ready pod behind it is not all: until kube-proxy has heard of that, too, a connection is refused."""
    address = world.get(f"service/{name}", space)["spec"]["clusterIP"]
    world.until(f"the Service {name} leads somewhere", lambda: cluster(
        "run", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}", check=False, capture_output=True).returncode == 0)


def serve(world, space, image, port, folder, user=0, args=(), env=(), ready=None):
    """Reached as NAME.NAMESPACE.svc; NAME is the folder's, and the folder is /served in the pod."""
    name = folder.name
    world.kubectl("delete", "pod", name, "-n", space, "--ignore-not-found", "--now")  # of a session whose cluster was kept
    world.certify("tls", f"{name}.{space}.svc", folder=folder)
    (folder / "ca.pem").write_bytes((world.stand_in / "ca.pem").read_bytes())
    folder.chmod(0o755)
    for path in folder.iterdir():
        os.chown(path, user, user)
    (folder / "tls.key").chmod(0o600)
    labelled = {"name": name, "namespace": space}
    world.apply(
        {"kind": "Namespace", "metadata": {"name": space}}, {"kind": "ServiceAccount", "metadata": labelled},
        {"kind": "Pod", "metadata": {**labelled, "labels": {"app": name}}, "spec": {
            "serviceAccountName": name, "terminationGracePeriodSeconds": 0, "containers": [{
                "name": name, "image": image, "args": list(args), "env": [{"name": key, "value": value} for key, value in env],
                "securityContext": {"runAsUser": user}, "readinessProbe": ready or {"tcpSocket": {"port": port}},
                "volumeMounts": [{"name": "folder", "mountPath": "/served"}]}],
            "volumes": [{"name": "folder", "hostPath": {"path": str(folder)}}]}},
        {"kind": "Service", "metadata": labelled, "spec": {"selector": {"app": name}, "ports": [{"port": port}]}})
    world.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", space, "--timeout=90s")
    await_service(world, space, name, port)


class Vault:
    """OpenBao at vault.SPACE.svc; it may ask the API server about tokens (TokenReview). Its own audit has all in the clear, so that a
    test knows what to look for."""

    CONFIG = ('listener "tcp" { address = "0.0.0.0:8200"\n tls_cert_file = "/served/tls.pem"\n tls_key_file = "/served/tls.key" }\n'
              'audit "file" "all" { options { file_path = "/tmp/audit.log"\n log_raw = "true" } }\n')

    def __init__(self, world, space="vault"):
        self.world, self.space, self.folder = world, space, world.folder / space / "vault"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "bao.hcl").write_text(self.CONFIG)
        cluster("import", world.image("openbao"))
        serve(world, space, "localhost/tests/openbao:1", 8200, self.folder, args=[
            "bao", "server", "-dev", "-dev-root-token-id=root", "-config=/served/bao.hcl", "-dev-no-store-token",
            "-dev-listen-address=127.0.0.1:8300"])
        world.apply({"kind": "ClusterRoleBinding", "metadata": {"name": space}, "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", "name": "vault", "namespace": space}]})
        (self.folder / "bin").mkdir(exist_ok=True)
        program = self.folder / "bin/bao"
        program.write_text(f"#!/bin/sh\nexec {' '.join(world.words('kubectl', *self.words('root')))} \"$@\"\n")
        program.chmod(0o755)

    def words(self, token):
        return ["exec", "-i", "vault", "-n", self.space, "--", "env", f"BAO_ADDR=https://vault.{self.space}.svc:8200",
                f"BAO_TOKEN={token}", "BAO_CACERT=/served/ca.pem", "bao"]

    def bao(self, *words, input="", token="root"):  # noqa: A002
        return self.world.kubectl(*self.words(token), *words, input=input)

    def listed(self, path):
        """The keys there; none where there is nothing."""
        done = self.world.kubectl(*self.words("root"), "list", "-format=json", path, check=False)
        assert done.returncode == 0 or done.stdout.strip() in ("", "{}"), done.stderr
        return json.loads(done.stdout) if done.returncode == 0 else []

    def audit(self):
        """What it was asked and what it answered, in the clear."""
        said = self.world.kubectl("exec", "vault", "-n", self.space, "--", "cat", "/tmp/audit.log")
        return [json.loads(line) for line in said.splitlines()]

    def as_person(self, *words, input="", **env):  # noqa: A002
        """A script that runs where a person has `bao`: here that is in OpenBao's pod."""
        done = subprocess.run(list(words), input=input.encode(), capture_output=True, env={
            **os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", **env})
        assert done.returncode == 0, done.stderr.decode()

    def set_up(self, space, account, secret, example="chart-vault", **env):
        """By the example's own script."""
        self.as_person(TOP / "examples" / example / "setup", space.name, account, input=secret, **env)
        self.certify(space)

    def certify(self, space):
        """Where the chart's values look for its CA."""
        self.world.apply({"kind": "ConfigMap", "metadata": {"name": "vault-ca", "namespace": space.name},
                          "data": {"ca.crt": (self.folder / "ca.pem").read_text()}})


class Database:
    """A PostgreSQL that is there already, at db.SPACE.svc."""

    def __init__(self, world, space="databases"):
        self.world, self.space = world, space
        folder = world.folder / space / "db"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "password").write_text("of-the-superuser")
        serve(world, space, "localhost/tests/postgres:1", 5432, folder, user=999,
              args=["postgres", "-c", "ssl=on", "-c", "ssl_cert_file=/served/tls.pem", "-c", "ssl_key_file=/served/tls.key"],
              env={"PGDATA": "/tmp/data", "LANG": "C.UTF-8", "POSTGRES_PASSWORD_FILE": "/served/password"}.items(),
              ready={"exec": {"command": ["pg_isready", "-q", "-h", "localhost"]}})

    def psql(self, sql, database="postgres"):
        return self.world.kubectl("exec", "-i", "db", "-n", self.space, "--", "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres",
                                  "-d", database, input=sql).strip()

    def set_up(self, space, example):
        """As the example's README has the DBA do it; every password is "of-the-example"."""
        readme = (TOP / "examples" / example / "README.md").read_text()
        self.psql(readme.split("```sql\n")[1].split("```")[0].replace("'...'", "'of-the-example'"))
        self.world.apply({"kind": "ConfigMap", "metadata": {"name": "db-ca", "namespace": space.name},
                          "data": {"ca.crt": (self.world.stand_in / "ca.pem").read_text()}})


class CloudNativePG:
    """The operator, by its own manifests (tests/cluster/build), and volumes for what it runs: the cluster provisions none."""

    CONFIG = BINARIES.parent / "src/cnpg/config"
    PATCH = [{"op": "replace", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "Never"},
             # A tenth of a processor, as its manifests have it, makes each step wait.
             {"op": "remove", "path": "/spec/template/spec/containers/0/resources/limits/cpu"}]

    def __init__(self, world):
        self.world, self.folder = world, world.folder / "cnpg"
        for name in "cnpg", "cnpg-postgres":
            cluster("import", world.image(name))
        shutil.copytree(self.CONFIG, self.folder / "config")
        with open(self.folder / "config/manager/kustomization.yaml", "a") as more:
            more.write("images: [{name: controller, newName: localhost/tests/cnpg, newTag: '1'}]\n")
        (self.folder / "kustomization.yaml").write_text(json.dumps({"resources": ["config/default"], "patches": [
            {"target": {"kind": "Deployment"}, "patch": json.dumps(self.PATCH)}]}))
        made = world.kubectl("kustomize", self.folder)
        # Server-side: the schemas are too long for the annotation that a client would keep.
        world.kubectl("apply", "--server-side", "-f", "-", input=made)
        world.kubectl("rollout", "status", "deployment/cnpg-controller-manager", "-n", "cnpg-system", "--timeout=240s")
        await_service(world, "cnpg-system", "cnpg-webhook-service", 443)

    def volume(self, name):
        """An empty volume of the class "tests", for the user that the operand's image has."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        os.chown(folder, 26, 26)
        self.world.apply({"kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
            "storageClassName": "tests", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": str(folder)}}})

    def log(self):
        return self.world.kubectl("logs", "deployment/cnpg-controller-manager", "-n", "cnpg-system", "--tail=200", check=False).stdout
