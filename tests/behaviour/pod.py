"""A pod without a cluster: its containers are real processes behind in-a-pod.c's walls (a root file system of their own,
read-only, no capabilities, process 1 of their own), with the volumes that the chart gives them."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from lab import PATIENCE, Lab

IN_A_POD = Path(os.environ.get("PURSER_BUILD", "")) / "plain/tests/behaviour/in-a-pod"
AGENT = 65532
FIRST_RETRIEVER = 65600


class Container:
    """One that runs; `.out` and `.err` grow while it does."""

    def __init__(self, pod, name, process, termination):
        self.pod, self.name, self.process, self.termination = pod, name, process, termination
        self.out = self.err = ""
        self.ended = None
        self.readers = [threading.Thread(target=self.read, args=(stream, kind), daemon=True)
                        for stream, kind in ((process.stdout, "out"), (process.stderr, "err"))]
        for reader in self.readers:
            reader.start()

    def read(self, stream, kind):
        for line in stream:
            setattr(self, kind, getattr(self, kind) + line.decode(errors="replace"))

    def wait(self, timeout=PATIENCE):
        self.process.wait(timeout)
        self.ended = self.ended or time.monotonic()
        for reader in self.readers:
            reader.join(10)
        return self

    @property
    def status(self):
        return self.process.poll()

    @property
    def text(self):
        return self.out + self.err

    @property
    def message(self):
        return self.termination.read_text()

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As a node out of memory does: its process 1 dies, and with it all others, before this returns."""
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        return self.wait()

    def audit(self, event=None):
        events = [json.loads(line) for line in self.out.splitlines() if line.startswith('{"n":')]
        return [entry for entry in events if event in (None, entry["event"])]


class Pod(Lab):
    """init(), agent() and retriever containers; the tree is what the image has in /."""

    def __init__(self, prefix, database):
        super().__init__(prefix)
        self.volumes, self.containers, self.n = self.folder / "volumes", [], 0
        self.database, self.name, self.n_pod = database, "pod-1", 1
        self.token_files = self.folder / "tokens"
        self.token_files.mkdir()
        self.volume("state", AGENT)
        self.volume("bin", AGENT)
        shutil.copytree(prefix, self.folder / "tree", symlinks=True)
        key = self.folder / "audit.key"  # as a Secret's file is that is mounted into init and agent alone: root's
        key.write_bytes(os.urandom(32))
        key.chmod(0o444)
        self.more = (f"sink: {{postgres: {{dsn: {json.dumps(database.setup['dsn'])}}}}}\n"
                     "audit: {keyFile: /etc/purser-audit/key}\n")

    def __exit__(self, *what):
        for container in self.containers:
            if container.process.poll() is None:
                container.process.kill()
                container.process.wait()
        super().__exit__(*what)

    def volume(self, name, owner=None):
        path = self.volumes / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        if owner is not None:
            os.chown(path, owner, owner)
        return path

    def next_pod(self):
        """The Job's next attempt, or its next run: nothing is left of this one's volumes but what init puts there."""
        for path in self.volumes.iterdir():
            if path.name != "bin":
                shutil.rmtree(path)
        self.volume("state", AGENT)
        self.n_pod += 1
        self.name = f"pod-{self.n_pod}"

    def source(self, name, host, token="real-token-of-the-pod-0123456789", **keys):
        """Tokens are files here, as a Secret that is mounted into init and agent alone."""
        path = self.token_files / name
        if token is not None:
            path.write_text(token)
            path.chmod(0o444)
        super().source(name, host, token=None, **keys)
        self.sources[name]["token"] = {"file": f"/tokens/{name}"}
        self.write()

    def write(self):
        super().write()
        text = (self.folder / "purser.yaml").read_text().splitlines()
        text = [line for line in text if not line.startswith("state:")]
        (self.folder / "purser.yaml").write_text("\n".join(text) + "\n")
        config = self.folder / "config"
        shutil.rmtree(config, ignore_errors=True)
        config.mkdir()
        shutil.copy(self.folder / "purser.yaml", config)
        shutil.copytree(self.folder / "policy", config / "policy")

    def start_container(self, name, command, mounts=(), user=AGENT, env=None, bare=False):
        self.n += 1
        root, termination = self.folder / f"root-{self.n}", self.folder / f"termination-{self.n}"
        root.mkdir()
        termination.write_text("")
        termination.chmod(0o666)
        words = [IN_A_POD, "--container", root, *(["--bare"] if bare else []), "--user", user,
                 "--mount", f"{termination}:/dev/termination-log"]
        for mount in mounts:
            words += ["--mount", mount]
        for key, value in {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", **(env or {})}.items():
            words += ["--env", f"{key}={value}"]
        process = subprocess.Popen([str(word) for word in [*words, *command]], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.containers.append(Container(self, name, process, termination))
        return self.containers[-1]

    def mounts_of_agent(self):
        mounts = [f"{self.folder / 'tree'}:/purser-image:ro", f"{self.folder / 'config'}:/etc/purser:ro",
                  f"{self.volumes / 'state'}:/var/lib/purser", f"{self.token_files}:/tokens:ro",
                  f"{self.folder / 'ca.pem'}:{self.folder / 'ca.pem'}:ro",
                  f"{self.folder / 'audit.key'}:/etc/purser-audit/key:ro",
                  f"{self.database.cluster.folder}:{self.database.cluster.folder}"]
        return mounts + [f"{self.volume('run-' + entry['name'])}:/run/purser/{entry['name']}"
                         for entry in self.retrievers]

    def purser_container(self, *words, env=None):
        bin_mount = f"{self.volumes / 'bin'}:/purser/bin"
        return self.start_container(words[0], ["/purser-image/bin/purser", *words],
                                    [*self.mounts_of_agent(), bin_mount], env={"POD_NAME": self.name, **(env or {})})

    def init(self, *words, **options):
        return self.purser_container("init", *words, **options).wait()

    def agent(self, *words, ready=True, **options):
        agent = self.purser_container("agent", *words, **options)
        end = time.monotonic() + PATIENCE
        while ready and not self.serves():
            assert agent.status is None and time.monotonic() < end, agent.wait(1).text
            time.sleep(0.01)
        return agent

    def serves(self):
        """What `purser ready` asks."""
        with socket.socket(socket.AF_UNIX) as asking:
            return asking.connect_ex(str(self.volumes / "state/ready")) == 0

    def collect(self, name, *words, flags=(), user=None, env=None, bare=False, mounts=()):
        """The container of a retriever: its own script, unless other words are given."""
        at = [entry["name"] for entry in self.retrievers].index(name)
        files = self.folder / "files" / name
        files.mkdir(parents=True, exist_ok=True)
        user = user or FIRST_RETRIEVER + at
        volumes = [f"{self.volumes / 'bin'}:/purser/bin:ro", f"{self.volumes / ('run-' + name)}:/run/purser",
                   f"{self.volume('output-' + name)}:/output", f"{self.volume('scratch-' + name)}:/tmp",
                   f"{files}:/files:ro", *mounts]
        return self.start_container(name, ["/purser/bin/purser-exec", *flags, "--",
                                           *(words or ["python3", "/files/script.py"])],
                                    volumes, user, {"OUTPUTDIR": "/output", "PURSER_RETRIEVER": name, **(env or {})}, bare)
