"""Drives the real purser-exec: the part of the run's gate is played with the real records."""

import array
import os
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import ipc
from ipc import Type

PYTHON = "/usr/bin/python3"
OWN_USER = 1900001234
MiB = 1 << 20


class Run:
    """One run of purser-exec; the gate's part is played by take() and finish()."""

    def __init__(self, program, own):
        self.program, self.own = program, own
        self.user = OWN_USER if os.geteuid() == 0 else os.geteuid()
        self.folder = Path(tempfile.mkdtemp(prefix="purser-runner-"))
        self.folder.chmod(0o755)
        for name in ("work", "out", "env"):
            (self.folder / name).mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(self.folder / name, self.user, self.user)
        (self.folder / "script").mkdir(mode=0o755)
        (self.folder / "secret").write_text("of purser's own")
        self.log = self.folder / "log"
        self.printed = open(self.folder / "printed", "wb")
        self.process = self.gate = None
        self.outputs, self.refused, self.end, self.text = {}, {}, None, ""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.folder / "run"))
        (self.folder / "run").chmod(0o777)
        self.listener.listen()
        self.listener.settimeout(20)

    def launch(self, *args, env=None, directory="work"):
        output = os.open(self.folder / "out", os.O_RDONLY | os.O_DIRECTORY)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        flags = ["--name", "hunter", "--log-fd", str(log)] + (["--own-uid"] if self.own else [])
        if "--prepare" not in args:
            flags += ["--socket", str(self.folder / "run"), "--output-fd", str(output)]
        other = {"user": self.user, "group": self.user, "extra_groups": []} if os.geteuid() == 0 else {}
        self.process = subprocess.Popen([self.program, *flags, *args], stdin=subprocess.DEVNULL, stdout=self.printed,
                                        stderr=subprocess.STDOUT, pass_fds=(output, log), start_new_session=True,
                                        cwd=self.folder / directory, env=env or {}, **other)
        os.close(output)
        os.close(log)

    def start(self, script, *flags, env=None, command=None, **limits):
        """Starts a Python script and says all that a gate says before it."""
        path = self.folder / "script/collect.py"
        path.write_text(script)
        path.chmod(0o755)
        self.launch("--scratch", str(self.folder / "work"), "--output-dir", str(self.folder / "out"),
                    "--read", str(self.folder / "script"), *flags, "--", *(command or [PYTHON, str(path)]),
                    env={"AWS_SECRET_ACCESS_KEY": "of the machine", "PATH": os.environ["PATH"]})
        self.greet(env, **limits)

    def greet(self, env=None, time_limit=60, grace=1, output_bytes=MiB, output_files=100, port=9):
        self.gate, _ = self.listener.accept()
        self.gate.settimeout(30)
        assert ipc.receive(self.gate) == (Type.HELLO, b"")
        for name, value in (env or {}).items():
            ipc.send(self.gate, Type.ENV, ipc.pack(("text", name), ("text", value), ("i32", -1)))
        ipc.send(self.gate, Type.CA, b"-----BEGIN CERTIFICATE-----\nof the run\n-----END CERTIFICATE-----\n")
        roots = os.open("/etc/ssl/certs/ca-certificates.crt", os.O_RDONLY)
        ipc.send(self.gate, Type.ROOTS, b"", [roots])
        os.close(roots)
        ipc.send(self.gate, Type.RUN_START,
                 ipc.pack(("u64", int(time_limit * 1e6)), ("u64", int(grace * 1e6)), ("u64", output_bytes),
                          ("u32", output_files), ("u16", port), ("u8", 0)))

    def receive(self):
        data, control, _, _ = self.gate.recvmsg(65536, socket.CMSG_SPACE(8 * 4))
        if not data:
            return None
        fds = array.array("i", b"".join(part for _, _, part in control))
        return Type(struct.unpack_from("=HHI", data)[1]), data[8:], list(fds)

    def take(self):
        """All outputs, up to RUN_END."""
        self.outputs, self.refused = {}, {}
        while True:
            record = self.receive()
            assert record, "the runner has hung up; it said: " + self.rest()
            kind, payload, fds = record
            if kind == Type.OUTPUT:
                path, size = ipc.unpack(payload, "text", "u64")
                with open(fds[0], "rb") as file:
                    assert stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                    self.outputs[path] = file.read()
                    assert len(self.outputs[path]) == size
            elif kind == Type.OUTPUT_REFUSED:
                path, reason = ipc.unpack(payload, "text", "text")
                self.refused[path] = reason
            else:
                assert kind == Type.RUN_END
                names = ("exit_status", "signal", "timed_out", "collected_only", "outputs")
                self.end = dict(zip(names, ipc.unpack(payload, "i32", "i32", "u8", "u8", "u32")))
                assert self.end["outputs"] == len(self.outputs)
                return

    def loaded(self, result=0, sentence=""):
        ipc.send(self.gate, Type.LOADED, ipc.pack(("u8", result), ("u64", 1), ("u64", 2), ("u64", 3), ("u32", 4),
                                                  ("text", sentence)))

    def rest(self):
        self.process.wait(timeout=30)
        self.text = (self.folder / "printed").read_text()
        return self.text

    def wait_for(self, text):
        end = time.monotonic() + 20
        while text not in (self.folder / "printed").read_text():
            assert time.monotonic() < end and self.process.poll() is None, f"{text!r} was not printed"
            time.sleep(0.02)

    def status(self):
        self.rest()
        return self.process.returncode

    def finish(self):
        self.take()
        self.loaded()
        return self.status()

    def lines(self):
        return [line.removeprefix("hunter | ") for line in self.text.splitlines()]

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.printed.close()
        if self.gate:
            self.gate.close()
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def processes_with(marker):
    """Living processes that have the marker on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass
    return found
