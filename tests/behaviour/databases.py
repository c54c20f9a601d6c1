"""The two databases that the clerk's tests load into: an SQLite file and a private PostgreSQL cluster."""

import contextlib
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from ports import free_port
from promise import wait_until

TABLES = ("ci_run ci_job ci_test_result ci_deployment ci_queue_sample metric_sample ingest_ledger stream_state "
          "dead_letter collection_run").split()


class Sqlite:
    kind = "sqlite"

    def __init__(self, folder):
        self.path = Path(folder) / "purser.db"
        self.setup = {"path": self.path}

    def query(self, sql):
        with contextlib.closing(sqlite3.connect(self.path)) as connection, connection:
            return [tuple("" if v is None else str(v) for v in row) for row in connection.execute(sql)]


class Cluster:
    """PostgreSQL, started here, on a unix socket and on loopback; never as root."""

    def __init__(self):
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        self.folder = Path(tempfile.mkdtemp(prefix="purser-pg-"))
        self.folder.chmod(0o755)  # a clerk that was started as root has no power over other users' folders left
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self.port = free_port()
        self.run("initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        (self.folder / "data/pg_hba.conf").write_text(
            "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        self.make_certificate()
        with open(self.folder / "data/postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.folder}'\n"
                       "ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n"
                       "fsync = off\nfull_page_writes = off\n")  # tests stop the server, never the machine
        self.start()

    def make_certificate(self):
        """A certificate for db.example, signed by itself: `self.ca` is what verifies it."""
        data, self.ca = self.folder / "data", self.folder / "ca.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=db.example", "-addext", "subjectAltName=DNS:db.example",
                        "-keyout", data / "server.key", "-out", data / "server.crt"], check=True, capture_output=True)
        shutil.copy(data / "server.crt", self.ca)
        if os.geteuid() == 0:
            for name in "server.key", "server.crt":
                shutil.chown(data / name, "postgres")

    def run(self, program, *args):
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run([*as_user, self.bin / program, *args], check=True, cwd=self.folder, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def start(self):
        self.run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "start")

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def query(self, database, sql, user="postgres", check=True):
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1", "-h",
                               self.folder, "-p", str(self.port), "-U", user, "-d", database, "-f", "-"],
                              input=sql, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        if check:
            assert done.returncode == 0, done.stderr
        self.error = done.stderr
        rows = done.stdout.rstrip("\n")
        return [tuple(row.split("\x1f")) for row in rows.split("\x1e")] if rows else []

    def dsn(self, database, user="postgres"):
        return f"host={self.folder} port={self.port} dbname={database} user={user}"

    def end(self):
        try:
            self.stop("immediate")
        except subprocess.CalledProcessError:
            pass  # a test had stopped it
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres:
    """One database of a cluster."""

    kind = "postgres"
    serial = 0

    def __init__(self, cluster):
        Postgres.serial += 1
        self.cluster = cluster
        self.name = f"test{Postgres.serial}"
        cluster.query("postgres", f"CREATE DATABASE {self.name}")
        self.setup = {"dsn": cluster.dsn(self.name)}

    def query(self, sql):
        return self.cluster.query(self.name, sql)

    def hold(self, table):
        """A lock by which nothing is loaded into it until it is given back: the process that has it."""
        holder = subprocess.Popen(["psql", "-X", "-q", "-h", self.cluster.folder, "-p", str(self.cluster.port), "-U", "postgres", "-d",
                                   self.name], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        holder.stdin.write(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n")
        holder.stdin.flush()
        wait_until(lambda: self.locks(table, "granted AND mode = 'AccessExclusiveLock'") == 1)
        return holder

    def locks(self, table, which):
        return int(self.query(f"SELECT count(*) FROM pg_locks WHERE {which} AND relation = '{table}'::regclass")[0][0])

    def holds_up(self, table):
        return self.locks(table, "NOT granted") > 0
