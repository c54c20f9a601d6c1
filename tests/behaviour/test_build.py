"""The programs are the same bytes wherever and whenever their source is built: whoever has the source can tell what is in an image."""
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


def copy_source(folder, time):
    """What git knows of, as a clone would have it, with files of that time."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP, check=True,
                            capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (TOP / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, folder / name)
            os.utime(folder / name, (time, time))
    return folder


ENV = {"SOURCE_DATE_EPOCH": "1700000000"}


def run(*words, **env):
    done = subprocess.run(words, env={**os.environ, **ENV, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def sums(tree):
    return {str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(tree.rglob("*")) if path.is_file()}


@pytest.mark.long
@pytest.mark.plain
def test_the_same_source_makes_the_same_programs_and_the_same_image_in_another_folder_at_another_time(prefix, tmp_path):
    """As the programs of these tests are, whenever and wherever they were built."""
    one = copy_source(tmp_path / "one", 1_500_000_000)
    other = copy_source(tmp_path / "a folder-of.quite-another name" / "deeper", 1_700_000_000)
    # Without what a compiler's cache has of another folder.
    run(other / "tests/build", "--programs", "plain", "stage", CCACHE_DISABLE="1")
    built = other / "build/stage/usr/local"
    made = sums(prefix)
    assert {"bin/purser", "libexec/purser/purser-keeper", "libexec/purser/purser-exec"} <= set(made)
    assert sums(built) == made
    for name in made:
        text = (prefix / name).read_bytes()
        assert str(tmp_path).encode() not in text and str(TOP).encode() not in text, name
    for folder, tree in (one, prefix), (other, built):
        run(folder / "chart/image/build", "--tree", tree, "--into", folder / "image", "--level", "3")
    assert sums(one / "image") == sums(other / "image") and (one / "image.tar").read_bytes() == (other / "image.tar").read_bytes()
