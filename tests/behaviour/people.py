"""A laboratory whose purser is started by a person: an unprivileged user, without namespaces or user ids to give away."""
import os
import shutil
import subprocess

from lab import Lab

PERSON = 54321
KINDS = ["root", "person"] if os.geteuid() == 0 else ["person"]


class PersonLab(Lab):
    def __init__(self, prefix):
        super().__init__(prefix)
        if os.geteuid() == 0:  # the installed tree may lie where another user cannot go
            shutil.copytree(prefix, self.folder / "tree", symlinks=True)
            self.prefix = self.folder / "tree"

    def words(self, command, *args):
        words = ["env", "-u", "XDG_RUNTIME_DIR", "-u", "XDG_STATE_HOME", f"HOME={self.folder}",
                 *super().words(command, *args)]
        if os.geteuid() != 0:
            return words
        subprocess.run(["chown", "-R", f"{PERSON}:{PERSON}", self.folder], check=True)
        return ["setpriv", f"--reuid={PERSON}", f"--regid={PERSON}", "--clear-groups", *words]


def lab_of(kind, prefix):
    return PersonLab(prefix) if kind == "person" else Lab(prefix)
