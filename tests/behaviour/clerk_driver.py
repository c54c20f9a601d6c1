"""Drives the real purser-clerk over its control socket, in the supervisor's, the gate's and the keeper's place."""

import os
import resource
import subprocess
import time
from pathlib import Path

from ipc import CONTROL_FD, Reader, Type, pack, pair, receive, send, unpack

OK, OUTAGE, SCHEMA, DATA, FULL, REFUSED = range(6)
SQLITE, POSTGRES = 0, 1
SECOND = 1_000_000
UNTIL = 1_600_000_000 * SECOND
# What must not steer libpq; and of a sanitized build, that leaks cannot be looked for behind the walls.
ENVIRONMENT = {"PGPASSWORD": "from-the-environment", "PGHOST": "203.0.113.1", "ASAN_OPTIONS": "detect_leaks=0",
               "UBSAN_OPTIONS": "print_stacktrace=1"}


def program(postgres=False):
    prefix = os.environ.get("PURSER_PREFIX")
    assert prefix, "PURSER_PREFIX must name the installed tree"
    return Path(prefix) / ("libexec/purser/purser-clerk-pg" if postgres else "libexec/purser/purser-clerk")


class Done:
    def __init__(self):
        self.result, self.sentence, self.text = None, "", ""
        self.rows, self.loaded, self.stream, self.seals = {}, None, None, []

    def __repr__(self):
        return repr(self.__dict__)


class Clerk:
    """One clerk process. Use as a context manager; it is stopped at the end.
    credential: what the keeper sends, its sentence, or a function that plays the keeper."""

    def __init__(self, path="", dsn="", migrate=True, credential=None, owner="", reader="", limit=None, sandbox_optional=False):
        self.control, child = pair()
        keeper = keeper_child = None
        if credential is not None:
            keeper, keeper_child = pair()

        def prepare():
            os.dup2(child.fileno(), CONTROL_FD)
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        assert child.fileno() != CONTROL_FD
        self.process = subprocess.Popen([program(bool(dsn))], preexec_fn=prepare, pass_fds=[CONTROL_FD], stderr=subprocess.PIPE,
                                        env=ENVIRONMENT)
        child.close()
        send(self.control, Type.CLERK_SETUP,
             pack(("u8", POSTGRES if dsn else SQLITE), ("u8", migrate), ("u8", credential is not None),
                  ("u8", sandbox_optional), ("text", str(path)), ("text", dsn), ("text", owner), ("text", reader)),
             [keeper_child.fileno()] if keeper_child else [])
        if keeper:
            keeper_child.close()
            self.keeper = keeper
            if callable(credential):
                credential(keeper)
                return
            type_ = Type.CREDENTIAL if isinstance(credential, bytes) else Type.CREDENTIAL_FAULT
            send(keeper, type_, credential if isinstance(credential, bytes) else credential.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.control.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors = self.process.stderr.read().decode()
        self.process.stderr.close()
        assert "Sanitizer" not in self.errors and "runtime error" not in self.errors, self.errors

    def ask(self, type_, payload=b"", fds=()):
        send(self.control, type_, payload, fds)
        return self.answer()

    def answer(self):
        done = Done()
        while True:
            record = receive(self.control)
            if record is None:
                return done  # it died: result stays None
            type_, payload = record
            if type_ == Type.CLERK_DONE:
                done.result, done.sentence = unpack(payload, "u8", "text")
                return done
            if type_ == Type.CLERK_ROWS:
                table, rows = unpack(payload, "text", "u64")
                done.rows[table] = rows
            elif type_ == Type.CLERK_TEXT:
                done.text += payload.decode()
            elif type_ == Type.LOADED:
                done.loaded = loaded(payload)
            elif type_ == Type.CLERK_SEAL_IS:
                done.seals.append(seal(payload))
            elif type_ == Type.CLERK_STREAM_IS:
                (done.stream,) = unpack(payload, "i64")

    def count(self):
        return self.ask(Type.CLERK_COUNT).rows

    def ingest(self, path, run="run-1", name=None, **more):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return self.ask(Type.CLERK_INGEST, load(run=run, file=name or Path(path).name, **more), [fd])
        finally:
            os.close(fd)

    def ingest_bytes(self, data, name="job.ndjson", **more):
        """Loads bytes as if they were a file of that name."""
        fd = memfile(data)
        try:
            return self.ask(Type.CLERK_INGEST, load(file=name, **more), [fd])
        finally:
            os.close(fd)

    def start_run(self, **more):
        """LOAD; returns the gate's end of the results channel."""
        gate, child = pair()
        send(self.control, Type.CLERK_LOAD, load(**more), [child.fileno()])
        child.close()
        return gate


def memfile(data):
    fd = os.memfd_create("output")
    os.write(fd, data if isinstance(data, bytes) else data.encode())
    return fd


def output(gate, name, data):
    fd = data if isinstance(data, int) else memfile(data)
    send(gate, Type.OUTPUT, pack(("text", name), ("u64", 0)), [fd])
    os.close(fd)


def end_run(gate, outputs, status=0, signal=0, timed_out=False):
    send(gate, Type.RUN_END,
         pack(("i32", status), ("i32", signal), ("u8", timed_out), ("u8", 0), ("u32", outputs)))


def seal(payload):
    """installation, number, head (hex), run, retriever, time"""
    reader = Reader(payload)
    fields = [reader.text().decode(), reader.number(8), reader.text().hex(), reader.text().decode(), reader.text().decode(),
              reader.number(8)]
    assert reader.at == len(payload)
    return fields


def loaded(payload):
    names = "result", "rows", "unchanged", "dead", "files", "sentence"
    return dict(zip(names, unpack(payload, "u8", "u64", "u64", "u64", "u32", "text")))


def load(run="run-1", retriever="github", file="", sources=("github",), until=UNTIL, observed=None,
         output_bytes=1 << 30, output_files=1000, advance=False, patience=0):
    observed = int(time.time() * SECOND) if observed is None else observed
    return pack(("text", run), ("text", retriever), ("text", file), ("u32", len(sources)),
                *[("text", source) for source in sources],
                ("i64", until - 3600 * SECOND), ("i64", until), ("i64", observed),
                ("u64", output_bytes), ("u32", output_files), ("u8", advance), ("u32", patience))
