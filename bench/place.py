"""The folder that a benchmark works in: certificates, the upstream, nginx as a peer, purser's configuration."""
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from measure import BenchError, Child, PurserSide, listens, wait_until

TOP = Path(__file__).resolve().parent.parent
HOST = "bench.test"
ADDRESS = "127.0.0.77"  # on 443, because a CONNECT says :443 and squid dials what it says
ANSWER_BYTES = 2048

COMMON = """
user root;
daemon off;
worker_processes 1;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    default_type application/json;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
"""

UPSTREAM = COMMON + """
    map $http_authorization $known {{ default 0; "~^Bearer {token}$" 1; }}
    ssl_session_cache shared:s:1m;
    server {{
        listen {address}:443 ssl backlog=1024;
        server_name {host};
        ssl_certificate {place}/server.pem;
        ssl_certificate_key {place}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            if ($known = 0) {{ return 401; }}
            root {place}/answers;
            open_file_cache max=10;
        }}
    }}
}}
"""

PEER = COMMON + """
    upstream api {{ server {address}:443; keepalive 64; keepalive_requests 100000000; keepalive_timeout 1h; }}
    server {{
        listen unix:{folder}/socket backlog=1024;
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass https://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host {host};
            proxy_set_header Authorization "Bearer {token}";
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_server_name on;
            proxy_ssl_name {host};
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {place}/ca.pem;
        }}
    }}
}}
"""

POLICY = """policy: bench
lease: {requests: 100000000, requestBytes: 100GiB, responseBytes: 1000GiB, rate: 100000/s}
allow:
- {method: GET, path: /**}
tests:
- {request: GET /data.json, expect: allow}
"""

CONFIG = """state: %(state)s
sources:
- name: bench
  apiUrl: https://%(host)s
  auth: bearer
  token: {keyring: bench}
  tokenEnv: [BENCH_TOKEN]
  connectTo: %(address)s:443
  allowPrivateAddresses: [127.0.0.0/8]
  caFile: %(place)s/ca.pem
  policy: bench
retrievers:
- name: bench
  command: [%(command)s]
  sources: [bench]
  policy: bench
  env:
%(env)s
%(more)s"""


def passable(folder):
    """Whether a retriever's own user can pass through it and everything above it."""
    return all(part.stat().st_mode & 1 for part in (folder, *folder.parents))


class Place:
    def __init__(self):
        build = TOP / "build"
        build.mkdir(exist_ok=True)
        self.folder = (build if passable(build) else Path("/var/tmp")) / "purser-bench"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        self.token = "bench_" + secrets.token_hex(20)
        self.purser = TOP / "build/stage/usr/local/bin/purser"
        self.load = self.folder / "load"
        self.compile()
        self.certificates()
        (self.folder / "answers").mkdir()
        (self.folder / "answers/data.json").write_text('{"data":"' + "x" * (ANSWER_BYTES - 11) + '"}')

    def run(self, words, **options):
        done = subprocess.run([str(word) for word in words], capture_output=True, **options)
        if done.returncode:
            raise BenchError(f"{words[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-800:]}")
        return done.stdout.decode()

    def compile(self):
        self.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", self.load, TOP / "bench/load.c", "-lssl", "-lcrypto", "-pthread"])

    def certificates(self):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        here = {"cwd": self.folder}
        self.run(["openssl", "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3",
                  "-subj", "/CN=bench CA", "-addext", "basicConstraints=critical,CA:TRUE",
                  "-addext", "keyUsage=critical,keyCertSign"], **here)
        self.run(["openssl", "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=bench"], **here)
        (self.folder / "server.ext").write_text(f"subjectAltName=DNS:{HOST}\nextendedKeyUsage=serverAuth\n")
        self.run(["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "3",
                  "-extfile", "server.ext", "-out", "server.pem"], **here)

    def nginx(self, name, template, **values):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        conf = folder / "nginx.conf"
        conf.write_text(template.format(folder=folder, place=self.folder, host=HOST, address=ADDRESS, token=self.token,
                                        **values))
        conf.chmod(0o600)
        return Child(["/usr/sbin/nginx", "-c", conf, "-e", folder / "error.log"], folder / "out.log")

    def upstream(self):
        child = self.nginx("upstream", UPSTREAM)
        wait_until("the upstream", lambda: child.process.poll() is not None or listens(ADDRESS, 443))
        if child.process.poll() is not None:
            raise BenchError(f"the upstream on {ADDRESS}:443 does not start; see {child.log}")
        return child

    def peer(self, port):
        return self.nginx("peer", PEER, port=port)

    def configure(self, name, specs, env=None, more=""):
        """A folder with a purser.yaml whose one retriever is the load generator, and the token in its keyring."""
        folder = self.folder / name
        (folder / "policy").mkdir(parents=True, exist_ok=True)
        (folder / "policy/bench.yaml").write_text(POLICY)
        settings = {"LOAD_PATH": "/data.json", "LOAD_BASE": "/bench", "LOAD_HOST": HOST, **(env or {})}
        config = folder / "purser.yaml"
        config.write_text(CONFIG % {
            "state": folder / "state", "host": HOST, "address": ADDRESS, "place": self.folder, "more": more,
            "command": ", ".join(f'"{word}"' for word in (self.load, *specs)),
            "env": "\n".join(f'  - {{name: {key}, value: "{value}"}}' for key, value in settings.items()),
        })
        self.run([self.purser, "token", "set", "bench", "--file", config, "--host", HOST], input=self.token.encode())
        return config

    def purser_side(self, name, specs):
        config = self.configure(name, specs, {"LOAD_WAIT": "1"})
        child = Child([self.purser, "run", "--file", config], self.folder / f"{name}.log", stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT)  # a script's lines are on standard error
        return PurserSide(child)

    def peer_load(self, name, specs, **env):
        settings = {"LOAD_PATH": "/data.json", "LOAD_HOST": HOST, "LOAD_WAIT": "1", "BENCH_TOKEN": "x" * 78,
                    "SSL_CERT_FILE": str(self.folder / "ca.pem"), **{key: str(value) for key, value in env.items()}}
        return Child([self.load, *specs], self.folder / f"{name}.log", settings, stdout=subprocess.PIPE)

    def remove(self):
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
