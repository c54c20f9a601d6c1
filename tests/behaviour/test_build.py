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


def build(folder, *more):
    """Its programs and its image, without what a compiler's cache has of another folder."""
    env = {**os.environ, "CCACHE_DISABLE": "1", "SOURCE_DATE_EPOCH": "1700000000"}
    env.pop("PURSER_PREFIX", None)
    done = subprocess.run([folder / "tests/build", "--programs", "plain", "stage"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([folder / "chart/image/build", "--level", "3"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tree = folder / "build/stage/usr/local"
    return {str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(tree.rglob("*")) if path.is_file()} | {
        "the image": hashlib.sha256((folder / "build/image.tar").read_bytes()).hexdigest()}


@pytest.mark.long
def test_the_same_source_makes_the_same_programs_and_the_same_image_in_another_folder_at_another_time(tmp_path):
    one = copy_source(tmp_path / "one", 1_500_000_000)
    other = copy_source(tmp_path / "a folder-of.quite-another name" / "deeper", 1_700_000_000)
    made = build(one)
    assert {"bin/purser", "libexec/purser/purser-keeper", "libexec/purser/purser-exec"} <= set(made)
    assert build(other) == made
    for name in made:
        if name != "the image":
            text = (one / "build/stage/usr/local" / name).read_bytes()
            assert str(tmp_path).encode() not in text and str(TOP).encode() not in text, name
