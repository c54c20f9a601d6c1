"""`purser doctor` says what holds where it runs, and purser does there what it said: on this machine, for a person, and in a
pod without privileges."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from lab import Lab
from people import PersonLab
from promise import api, as_root, run

IN_A_POD = Path(os.environ.get("PURSER_BUILD", "")) / "plain/tests/behaviour/in-a-pod"
USER = 12345
SCRIPT = """
r = Client().ask()
say(status=r.status, uid=os.getuid())
open(os.environ["OUTPUTDIR"] + "/m.dat", "w").write("1")
"""


class PodLab(Lab):
    def __init__(self, prefix, *how):
        super().__init__(prefix)
        self.how = how
        shutil.copytree(prefix, self.folder / "tree", symlinks=True)
        self.prefix = self.folder / "tree"
        (self.folder / "rt").mkdir()

    def words(self, command, *args):
        owner = 0 if "--root" in self.how else USER
        subprocess.run(["chown", "-R", f"{owner}:{owner}", self.folder], check=True)
        return [IN_A_POD, *self.how, self.folder, "env", f"HOME={self.folder}", f"XDG_RUNTIME_DIR={self.folder}/rt",
                *super().words(command, *args)]


def doctor(lab):
    done = lab.purser("doctor", "--json")
    done.found = {entry["name"]: (entry["state"], entry["needed"]) for entry in done.json["findings"]}
    done.message = {entry["name"]: entry["message"] for entry in done.json["findings"]}
    assert done.status == (0 if done.json["holds"] else 1), done.text
    text = lab.purser("doctor")
    assert text.status == done.status and all(name in text.out for name in done.found)
    assert ("MISSING" in text.out) == (not done.json["holds"])
    return done


@pytest.mark.plain
def test_what_holds_on_this_machine_and_that_a_run_is_made_so(lab):
    api(lab)
    said = doctor(lab)
    if os.geteuid() == 0:
        assert said.status == 0 and said.found["own-users"][0] == said.found["service-sockets"][0] == "holds"
    for name in ("core-dumps", "memory-of-others", "state-folder", "user-namespaces"):
        assert said.found[name][0] == "holds", said.message[name]
    assert said.json["configuration"] == str(lab.folder / "purser.yaml")
    done = run(lab, SCRIPT + "import ctypes; say(namespaces=ctypes.CDLL(None).unshare(0x10000000))\n")
    assert done.status == 0 and done.said[-1] == {"namespaces": -1}, done.text


def test_a_configuration_at_fault_is_its_own_status_and_none_is_none(lab, tmp_path):
    (lab.folder / "purser.yaml").write_text("sources: 7\n")
    assert lab.purser("doctor").status == 3
    plain = subprocess.run([lab.prefix / "bin/purser", "doctor"], cwd=tmp_path, capture_output=True, text=True)
    assert "no purser.yaml" in plain.stdout and plain.returncode in (0, 1)


@as_root
@pytest.mark.plain
def test_for_a_person_it_says_that_scripts_share_their_user(prefix):
    with PersonLab(prefix) as lab:
        api(lab)
        said = doctor(lab)
        assert said.status == 0 and said.found["own-users"] == ("weaker", False)
        assert said.found["network-namespaces"][0] == said.found["service-sockets"][0] == "weaker"


@pytest.mark.plain
@as_root
def test_in_a_pod_all_that_is_needed_holds_and_a_run_works(prefix):
    with PodLab(prefix) as lab:
        api(lab)
        said = doctor(lab)
        assert said.status == 0, said.text
        for name in ("seccomp", "landlock-files", "locked-memory", "core-dumps", "outer-seccomp", "read-only-root",
                     "user-namespaces", "state-folder"):
            assert said.found[name][0] == "holds", (name, said.message[name])
        assert said.found["own-users"][0] == said.found["network-namespaces"][0] == "weaker"
        assert "a pod" in said.message["outer-seccomp"]
        done = run(lab, SCRIPT)
        assert done.status == 0 and done.said == [{"status": 200, "uid": USER}] and done.report["rows"] == 1, done.text


@pytest.mark.plain
@as_root
def test_in_a_pod_without_landlock_it_says_so_and_runs_only_where_that_is_allowed(prefix):
    with PodLab(prefix, "--no-landlock") as lab:
        api(lab)
        said = doctor(lab)
        assert said.status == 1 and said.found["landlock-files"] == ("missing", True) and said.found["seccomp"][0] == "holds"
        assert "5.13" in said.message["landlock-files"]
        lab.retriever("script", "print(1)", sources=["api"])
        refused = lab.purser("run")
        assert refused.status != 0 and "Landlock" in refused.text and "sandbox: {required: false}" in refused.text
        lab.more = "sandbox: {required: false}\n"
        lab.write()
        said = doctor(lab)
        assert said.status == 0 and said.found["landlock-files"] == ("missing", False)
        done = run(lab, SCRIPT)
        assert done.status == 0 and done.said[0]["status"] == 200, done.text


@pytest.mark.plain
@as_root
def test_where_memory_cannot_be_locked_it_says_so_and_nothing_runs(prefix):
    with PodLab(prefix, "--memlock", "65536") as lab:
        lab.source("api", "api.test", token=None)
        said = doctor(lab)
        assert said.status == 1 and said.found["locked-memory"] == ("missing", True)
        assert "LimitMEMLOCK" in said.message["locked-memory"]
        lab.retriever("script", "print(1)", sources=["api"])
        refused = lab.purser("run")
        assert refused.status != 0 and "cannot be locked" in refused.text


class FewLocked(Lab):
    """Started as root by somebody whose limit is small: root may lock more, the keeper may not."""

    def words(self, command, *args):
        return ["prlimit", "--memlock=65536:65536", *super().words(command, *args)]


@pytest.mark.plain
@as_root
def test_what_root_may_lock_is_not_what_its_keeper_may(prefix):
    with FewLocked(prefix) as lab:
        api(lab)
        said = doctor(lab)
        lab.retriever("script", "print(1)", sources=["api"])
        done = lab.purser("run")
        assert done.status != 0 and "cannot be locked" in done.text, done.text
        assert said.status == 1 and said.found["locked-memory"] == ("missing", True), said.text
        assert "LimitMEMLOCK" in said.message["locked-memory"]


@pytest.mark.plain
@as_root
def test_root_by_name_alone_is_told_to_be_somebody_else(prefix):
    with PodLab(prefix, "--root") as lab:
        lab.source("api", "api.test", token=None)
        said = doctor(lab)
        assert said.status == 1
        assert all(said.found[name] == ("missing", True) for name in ("change-users", "network-namespaces", "service-sockets"))
        assert "runAsUser" in said.message["change-users"]


@pytest.mark.plain
@as_root
def test_a_pod_without_a_folder_to_write_is_told_which(prefix):
    with PodLab(prefix) as lab:
        lab.write()
        (lab.folder / "purser.yaml").write_text("state: /nowhere/state\n")
        (lab.folder / "rt").rmdir()
        said = doctor(lab)
        assert said.status == 1
        assert said.found["state-folder"] == said.found["socket-folder"] == ("missing", True)
        assert "give it a volume" in said.message["state-folder"] and "XDG_RUNTIME_DIR" in said.message["socket-folder"]
