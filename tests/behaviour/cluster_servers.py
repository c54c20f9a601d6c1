"""Servers that tests put into the cluster: each a pod and a Service, with a certificate of its name by the stand-ins' CA."""
import os
import subprocess

from cluster_world import cluster
from helm import TOP


def serve(world, space, image, port, folder, user=0, args=(), env=(), ready=None):
    """Reached as NAME.NAMESPACE.svc; NAME is the folder's, and the folder is /served in the pod."""
    name = folder.name
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


class Vault:
    """OpenBao at vault.vault.svc; it may ask the API server about tokens (TokenReview)."""

    CONFIG = ('listener "tcp" { address = "0.0.0.0:8200"\n tls_cert_file = "/served/tls.pem"\n tls_key_file = "/served/tls.key" }\n')

    def __init__(self, world):
        self.world, self.folder = world, world.folder / "vault"
        self.folder.mkdir()
        (self.folder / "bao.hcl").write_text(self.CONFIG)
        cluster("import", world.image("openbao"))
        serve(world, "vault", "localhost/tests/openbao:1", 8200, self.folder, args=[
            "bao", "server", "-dev", "-dev-root-token-id=root", "-config=/served/bao.hcl", "-dev-no-store-token",
            "-dev-listen-address=127.0.0.1:8300"])
        world.apply({"kind": "ClusterRoleBinding", "metadata": {"name": "vault"}, "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", "name": "vault", "namespace": "vault"}]})
        self.words = ["exec", "-i", "vault", "-n", "vault", "--", "env", "BAO_ADDR=https://vault.vault.svc:8200", "BAO_TOKEN=root",
                      "BAO_CACERT=/served/ca.pem", "bao"]

    def bao(self, *words, input=""):  # noqa: A002
        return self.world.kubectl(*self.words, *words, input=input)

    def set_up(self, space, account, token):
        """By the example's own script, which runs where a person has `bao`: here that is in OpenBao's pod."""
        program = self.folder / "bao"
        program.write_text(f"#!/bin/sh\nexec {' '.join(self.world.words('kubectl', *self.words))} \"$@\"\n")
        program.chmod(0o755)
        done = subprocess.run([TOP / "examples/chart-vault/setup", space.name, account], input=token.encode(),
                              env={**os.environ, "BAO": str(program)}, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        self.world.apply({"kind": "ConfigMap", "metadata": {"name": "vault-ca", "namespace": space.name},
                          "data": {"ca.crt": (self.folder / "ca.pem").read_text()}})
