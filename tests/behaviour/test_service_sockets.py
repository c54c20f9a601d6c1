"""As root, other programs' unix sockets are covered for a script: a resolver's or a bus's, whose mode lets everybody connect, is
another way out, which no network namespace closes. On a machine whose /run is the test's own, so that no real service is met."""
import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from lab import Lab
from people import PERSON, PersonLab
from promise import api, as_root, role, run, said, wait_until, with_inside

pytestmark = as_root

# Makes the machine's mounts its own, then shared, as systemd has them: what is mounted in a copy would come back.
MACHINE = """set -e
mount --make-rshared /
mount -t tmpfs -o mode=755 own /run
mkdir -m 1777 /run/lock
{more}
echo ready
exec cat"""
LOOKED_UP = b"a name to look up"
# Of a socket: whether one was let in, else why not.
CONNECTS = f"""
import socket
def reach(path):
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(10)
            one.connect(path)
            one.sendall({LOOKED_UP})
            return "let in"
    except OSError as error:
        return type(error).__name__
"""
OUTPUT = "open(os.environ['OUTPUTDIR'] + '/m.dat', 'w').write('1')\n"


class Machine:
    def __init__(self, more=""):
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", MACHINE.format(more=more)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        self.within = ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt"]
        self.listeners = []

    def path(self, inside):
        """As it is called out here."""
        return Path(f"/proc/{self.process.pid}/root{inside}")

    def serve(self, name, mode=0o666):
        """Somebody who listens there, for everybody: what they are told."""
        path, heard = self.path(name), []
        path.parent.mkdir(parents=True, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen()
        self.listeners.append(listener)

        def answer():
            try:
                while True:
                    with listener.accept()[0] as one:
                        heard.append(one.recv(100))
            except OSError:
                pass  # the test is over

        threading.Thread(target=answer, daemon=True).start()
        return heard

    def mounts(self):
        return mounts(self.process.pid)

    def close(self):
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.process.communicate()


def waiting(lab, after=""):
    """A run whose script waits, then does this: (its purser, a function that lets it go on and returns what was printed)."""
    go = lab.folder / "go"
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\nimport time\nsay(up=1)\n"
                  f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\n{after}", sources=["api"])
    process = lab.start("run", "script", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if said(line):
            break

    def finish():
        go.write_text("")
        text = process.stdout.read()
        assert process.wait(60) == 0, text
        return text

    return process, finish


def mounts(pid):
    return Path(f"/proc/{pid}/mountinfo").read_text().splitlines()


class PersonThere(PersonLab):
    """The person is on that machine before they are a person."""

    def __init__(self, prefix, machine):
        super().__init__(prefix)
        self.machine = machine

    def words(self, command, *args):
        return [*self.machine.within, *super().words(command, *args)]


@pytest.fixture
def machine():
    machine = Machine()
    yield machine
    machine.close()


@pytest.fixture
def lab(prefix, machine):
    with Lab(prefix) as lab:
        lab.within = machine.within
        yield lab


SERVICES = ["/run/systemd/resolve/io.systemd.Resolve", "/run/systemd/userdb/io.systemd.DynamicUser", "/run/nscd/socket",
            "/run/dbus/system_bus_socket", "/run/avahi-daemon/socket", "/run/user/1000/bus", "/run/tor/socks",
            "/run/postgresql/.s.PGSQL.5432"]
SINGLE = ["/run/snapd.socket", "/run/docker.sock", "/run/rpcbind.sock"]


def test_a_script_reaches_no_socket_of_another_program_and_anybody_else_does(lab, machine):
    api(lab)
    names = SERVICES + SINGLE
    heard = {name: machine.serve(name) for name in names}
    anybody = subprocess.run([*machine.within, "setpriv", f"--reuid={PERSON}", f"--regid={PERSON}", "--clear-groups",
                              "/usr/bin/python3", "-c", f"{CONNECTS}\nprint(*map(reach, {names}))"],
                             capture_output=True, text=True, check=True)
    assert anybody.stdout.split() == ["let", "in"] * len(names)
    wait_until(lambda: all(LOOKED_UP in told for told in heard.values()))
    done = run(lab, CONNECTS + f"say(**{{name: reach(name) for name in {names}}})\n"
               "say(status=Client().ask().status, own=Client(way='unix').ask('/api/x').status)\n" + OUTPUT)
    assert done.status == 0 and done.report["rows"] == 1, done.text
    assert done.said[0] == {**dict.fromkeys(SERVICES, "FileNotFoundError"), **dict.fromkeys(SINGLE, "ConnectionRefusedError")}
    assert done.said[1] == {"status": 200, "own": 200}
    # The C library of others asks nscd, too.
    assert all(told.count(LOOKED_UP) == 1 for told in heard.values()) and "cover" not in done.text


def test_what_covers_them_is_empty_and_cannot_be_written_and_the_rest_is_there(lab, machine):
    api(lab)
    machine.serve("/run/dbus/system_bus_socket")
    elsewhere = machine.serve("/run/elsewhere/socket")
    machine.path("/run/systemd").mkdir()
    machine.path("/run/systemd/file").write_text("of the machine")
    machine.path("/run/file").write_text("of the machine")
    done = run(lab, CONNECTS + """
say(dbus=os.listdir("/run/dbus"), systemd=os.listdir("/run/systemd"), file=open("/run/file").read())
flags = os.statvfs("/run/dbus").f_flag
say(flags=[bool(flags & flag) for flag in (os.ST_RDONLY, os.ST_NOSUID, os.ST_NODEV, os.ST_NOEXEC)],
    elsewhere=reach("/run/elsewhere/socket"))
""" + OUTPUT)
    assert done.status == 0, done.text
    assert done.said == [{"dbus": [], "systemd": [], "file": "of the machine"}, {"flags": [True] * 4, "elsewhere": "let in"}]
    wait_until(lambda: elsewhere)


def test_a_run_leaves_the_machines_mounts_as_they_are_before_during_and_after(lab, machine):
    api(lab)
    machine.serve("/run/dbus/system_bus_socket")
    machine.serve("/run/snapd.socket")
    before = machine.mounts()
    assert any(" shared:" in line for line in before)
    process, finish = waiting(lab)
    during, of_the_run = machine.mounts(), mounts(role(process, "purser-exec"))
    finish()
    assert before == during == machine.mounts()
    covered = {line.split()[4] for line in of_the_run} - {line.split()[4] for line in before}
    assert covered == {"/run/dbus", "/run/snapd.socket"} and not any(" shared:" in line for line in of_the_run)


def test_a_mount_that_the_machine_makes_during_a_run_uncovers_nothing(lab, machine):
    api(lab)
    machine.path("/run/user").mkdir()
    _, finish = waiting(lab, "say(user=os.listdir('/run/user'))\n")
    for folder in ("/run/user", "/run/user/1000"):
        subprocess.run([*machine.within, "sh", "-c", f"mkdir -p {folder} && mount -t tmpfs own {folder}"], check=True)
    heard = machine.serve("/run/user/1000/bus")
    assert said(finish()) == [{"user": []}] and not heard


@pytest.mark.parametrize("folder", ["/run/user/0", "/run/cups"])
def test_a_state_folder_and_a_command_under_a_covered_folder_go_on_working_and_it_is_said(lab, machine, folder):
    api(lab)
    there = Path(folder) / "purser"
    machine.path(folder).mkdir(parents=True)
    machine.serve("/run/dbus/system_bus_socket")
    subprocess.run([*machine.within, "mkdir", there], check=True)
    lab.state = there / "state"
    lab.write()
    assert lab.purser("token", "set", "api", "--host", "api.test", stdin="another-token-0123456789").status == 0
    tool = machine.path(there / "collect")
    tool.write_text("#!/bin/sh\nls /run/dbus\necho 1 >\"$OUTPUTDIR/m.dat\"\necho \"it was $0\"\n")
    tool.chmod(0o755)
    lab.retriever("tool", command=[there / "collect"], sources=["api"])
    lab.retriever("again", command=[there / "collect"], sources=["api"])
    done = lab.purser("run", "tool", "again")
    reports = [json.loads(path.read_text()) for path in machine.path(lab.state / "runs").glob("*/run.json")]
    assert done.status == 0 and [report["rows"] for report in reports] == [1, 1], done.text
    assert done.text.count(f"it was {there}/collect") == 2 and "system_bus" not in done.text
    assert done.text.count(f"paths in {Path(folder).parent if folder == '/run/user/0' else folder}, so") == 1


@pytest.mark.parametrize("word", ["{}", "--collect={}", "{link}"])
def test_a_file_that_a_command_names_under_a_covered_folder_is_there(lab, machine, word):
    api(lab)
    machine.path("/run/cups").mkdir()
    machine.path("/run/cups/list").write_text("of the machine\n")
    link = lab.folder / "link"
    link.symlink_to("/run/cups/list")
    lab.retriever("tool", command=["/bin/sh", "-c", "cat \"${0#--collect=}\"", word.format("/run/cups/list", link=link)],
                  sources=["api"])
    done = lab.purser("run", "tool")
    assert done.status == 0 and "of the machine" in done.text and "paths in /run/cups, so" in done.text, done.text


def test_resolv_conf_can_be_read_where_it_is_a_link_to_the_resolvers_folder(prefix):
    with Lab(prefix) as lab:
        etc, real = lab.folder / "etc", "/run/systemd/resolve/stub-resolv.conf"
        shutil.copytree("/etc", etc, symlinks=True)
        (etc / "resolv.conf").unlink()
        (etc / "resolv.conf").symlink_to(f"..{real}")
        machine = Machine(f"mkdir -p {Path(real).parent}; echo nameserver 127.0.0.53 >{real}; mount --bind {etc} /etc")
        lab.within = machine.within
        try:
            api(lab)
            machine.serve("/run/systemd/resolve/io.systemd.Resolve")
            done = run(lab, """
def refused(way, *words):
    try:
        way(*words)
    except OSError as error:
        return type(error).__name__
say(text=open("/etc/resolv.conf").read(), all=[os.path.join(*one) for one in
    [(top, name) for top, folders, files in os.walk("/run/systemd") for name in folders + files]],
    made=refused(open, "/run/systemd/resolve/new", "w"), changed=refused(open, "/etc/resolv.conf", "a"))
""" + OUTPUT)
            assert done.status == 0 and "cover" not in done.text, done.text
            (told,) = done.said
            assert told.pop("made") and told.pop("changed")
            assert told == {"text": "nameserver 127.0.0.53\n", "all": ["/run/systemd/resolve", real]}
        finally:
            machine.close()


@pytest.mark.plain
def test_where_nothing_may_be_mounted_a_run_goes_on_and_that_is_said_once_and_by_doctor(lab, machine):
    api(lab)
    heard = machine.serve("/run/dbus/system_bus_socket")
    lab.within = [*machine.within, "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=mount", "-e", "inject=mount:error=EACCES"]
    for name in ("one", "two"):
        with_inside(lab, name)
        lab.retriever(name, f"from inside import *\n{CONNECTS}say(bus=reach('/run/dbus/system_bus_socket'))\n{OUTPUT}",
                      sources=["api"])
    done = lab.purser("run", "one", "two")
    assert done.status == 0 and said(done.text) == [{"bus": "let in"}] * 2, done.text
    assert done.text.count("warning: Cannot cover other programs' sockets (a mount namespace: Permission denied). ") == 1
    wait_until(lambda: len(heard) == 2)
    doctor = lab.purser("doctor", "--json")
    (found,) = [entry for entry in doctor.json["findings"] if entry["name"] == "service-sockets"]
    assert doctor.status == 1 and (found["state"], found["needed"]) == ("missing", True)
    assert "Permission denied" in found["message"] and "SYS_ADMIN" in found["message"]


@pytest.mark.plain
def test_where_one_place_cannot_be_covered_the_others_are_and_it_is_named(lab, machine):
    api(lab)
    machine.serve("/run/systemd/private-to-none")
    machine.serve("/run/dbus/system_bus_socket")
    # The second is the first place; the first makes the namespace a slave.
    lab.within = [*machine.within, "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=mount",
                  "-e", "inject=mount:error=EACCES:when=2"]
    done = run(lab, CONNECTS + "say(one=reach('/run/systemd/private-to-none'), two=reach('/run/dbus/system_bus_socket'))\n")
    assert done.status == 0 and done.said == [{"one": "let in", "two": "FileNotFoundError"}], done.text
    assert "Cannot cover other programs' sockets (/run/systemd: Permission denied)." in done.text


def test_an_x_servers_sockets_are_covered_and_a_link_that_anybody_has_made_in_their_place_covers_nothing(prefix):
    with Lab(prefix) as lab:
        machine = Machine(f"mkdir /run/kept; mount --bind {lab.folder} /run/kept; mount -t tmpfs -o mode=1777 own /tmp\n"
                          f"mkdir {lab.folder}; mount --bind /run/kept {lab.folder}")
        lab.within = machine.within
        try:
            api(lab)
            heard = machine.serve("/tmp/.X11-unix/X0")
            done = run(lab, CONNECTS + "say(x=reach('/tmp/.X11-unix/X0'))\n")
            assert done.status == 0 and done.said == [{"x": "FileNotFoundError"}] and not heard, done.text
            (lab.folder / "there").mkdir()
            (lab.folder / "there/file").write_text("there")
            machine.path("/tmp/.X11-unix").rename(machine.path("/tmp/another"))
            machine.path("/tmp/.X11-unix").symlink_to(lab.folder / "there")
            done = run(lab, f"say(text=open({str(lab.folder / 'there/file')!r}).read())\n")
            assert done.status == 0 and done.said == [{"text": "there"}], done.text
        finally:
            machine.close()


@pytest.mark.plain
def test_started_by_a_person_nothing_is_covered_and_doctor_says_so(prefix, machine):
    heard = machine.serve("/run/dbus/system_bus_socket")
    with PersonThere(prefix, machine) as lab:
        api(lab)
        done = run(lab, CONNECTS + "say(bus=reach('/run/dbus/system_bus_socket'), mounts=os.readlink('/proc/self/ns/mnt'))\n")
        assert done.status == 0 and "cover" not in done.text, done.text
        assert done.said == [{"bus": "let in", "mounts": os.readlink(f"/proc/{machine.process.pid}/ns/mnt")}]
        wait_until(lambda: heard)
        doctor = lab.purser("doctor", "--json")
        (found,) = [entry for entry in doctor.json["findings"] if entry["name"] == "service-sockets"]
        assert doctor.status == 0 and (found["state"], found["needed"]) == ("weaker", False)
