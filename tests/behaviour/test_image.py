"""purser's container image: what is in it, how large it is, and that the same tree makes the same bytes."""
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from ports import free_port

TOP = Path(__file__).resolve().parents[2]
MOST = 10_000_000  # bytes, as a registry keeps it

pytestmark = pytest.mark.cluster


def build(prefix, folder, *more):
    done = subprocess.run([TOP / "chart/image/build", "--tree", prefix, "--into", folder / "image", *more], capture_output=True,
                          text=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(prefix, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    build(prefix, folder)
    return folder


def blob(folder, described):
    data = (folder / "image/blobs" / described["digest"].replace(":", "/")).read_bytes()
    assert len(data) == described["size"] and hashlib.sha256(data).hexdigest() == described["digest"].split(":")[1]
    return data


def manifest(folder):
    return json.loads(blob(folder, json.loads((folder / "image/index.json").read_text())["manifests"][0]))


@pytest.fixture(scope="module")
def tree(built, tmp_path_factory):
    """The image, unpacked, and {name: tarfile.TarInfo}."""
    root, members = tmp_path_factory.mktemp("root"), {}
    for layer in manifest(built)["layers"]:
        plain = subprocess.run(["zstd", "-dc"], input=blob(built, layer), check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            members.update({member.name: member for member in archive.getmembers()})
            archive.extractall(root)
    return root, members


def test_it_is_small(built):
    sizes = [layer["size"] for layer in manifest(built)["layers"]]
    assert sum(sizes) <= MOST, sizes


def test_the_same_tree_makes_the_same_bytes(prefix, tmp_path):
    """From another folder and another copy of the tree, whose files are of another time."""
    copy = tmp_path / "tree"
    shutil.copytree(prefix, copy, copy_function=shutil.copyfile)
    for path in (copy / "bin").iterdir():
        path.chmod(0o755)
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, of in (one, prefix), (other, copy):
        folder.mkdir()
        build(of, folder, "--level", "3")
    for name in "image.tar", "image.spdx.json":
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_every_program_runs_in_it_and_finds_its_libraries_there(tree):
    root, _ = tree
    for program in [root / "usr/bin/purser", *sorted((root / "usr/libexec/purser").iterdir())]:
        name = f"/{program.relative_to(root)}"
        word = "--version" if name == "/usr/bin/purser" else "--help"
        done = subprocess.run(["chroot", root, name, word], capture_output=True, text=True)
        # A role that is started by hand says that it is not; what matters is that the loader has come so far.
        assert done.returncode != 127 and "error while loading" not in done.stderr, (name, done.stderr)
    # A program that looks for its own folder needs /proc, which every runtime mounts.
    within = 'mkdir -p "$0/proc" && mount --rbind /proc "$0/proc" && exec chroot "$0" /usr/bin/purser policy list'
    said = subprocess.run(["unshare", "--mount", "sh", "-c", within, root], capture_output=True, text=True)
    assert "github-actions-read" in said.stdout, said.stderr


def test_nothing_is_in_it_but_purser_its_libraries_and_the_ca_bundle(tree):
    root, members = tree
    usual = {"etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"}
    for name, member in members.items():
        assert not member.mode & 0o6000 and (not member.mode & 0o002 or name == "tmp" or member.issym()), name
        if not member.isfile():
            continue
        assert name in usual or name.startswith(("usr/share/doc/", "usr/share/purser/", "usr/libexec/purser/", "usr/bin/purser")) \
            or ".so" in Path(name).name, name
    needed = set()
    for program in [root / "usr/bin/purser", *(root / "usr/libexec/purser").iterdir()]:
        needed |= {Path(line.split("=>")[0].strip()).name for line in
                   subprocess.run(["ldd", program], capture_output=True, text=True).stdout.splitlines() if "=>" in line}
    kept = {Path(name).name for name, member in members.items() if ".so" in Path(name).name}
    assert {name for name in kept if not name.startswith("ld-linux")} == needed


def test_it_runs_as_nobody_in_particular(built):
    config = json.loads(blob(built, manifest(built)["config"]))
    assert config["config"]["User"] == "65532:65532" and config["config"]["Entrypoint"] == ["/usr/bin/purser"]
    assert config["os"] == "linux"


def test_the_bill_of_materials_has_every_file_and_the_package_that_it_is_from(built, tree):
    bill = json.loads((built / "image.spdx.json").read_text())
    root, members = tree
    hashes = {each["fileName"][2:]: each["checksums"][1]["checksumValue"] for each in bill["files"]}
    assert hashes == {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name, member in members.items() if member.isfile()}
    purls = [package["externalRefs"][0]["referenceLocator"] for package in bill["packages"]]
    assert any(purl.startswith("pkg:deb/debian/libssl3@3.") for purl in purls) and "libsodium23" in "".join(purls)
    known = {package["SPDXID"] for package in bill["packages"]} | {each["SPDXID"] for each in bill["files"]} | {"SPDXRef-DOCUMENT"}
    assert all({each["spdxElementId"], each["relatedSpdxElement"]} <= known for each in bill["relationships"])


def test_it_is_pushed_into_a_registry_as_it_is(prefix, tmp_path):
    port = free_port()
    (tmp_path / "registry.yml").write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
                                           f"http: {{addr: '127.0.0.1:{port}'}}\n")
    registry = subprocess.Popen(["docker-registry", "serve", tmp_path / "registry.yml"], stdout=subprocess.DEVNULL,
                                stderr=open(tmp_path / "log", "w"))
    try:
        said = build(prefix, tmp_path, "--level", "3", "--push", f"127.0.0.1:{port}/ci/purser:0.1.0", "--", "--dest-tls-verify=false",
                     "--retry-times=5")
        digest = json.loads((tmp_path / "image/index.json").read_text())["manifests"][0]["digest"]
        assert f"image: {{repository: 127.0.0.1:{port}/ci/purser, digest: {digest}}}" in said
        kept = subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://127.0.0.1:{port}/ci/purser@{digest}"],
                              capture_output=True, text=True)
        assert json.loads(kept.stdout)["Digest"] == digest, kept.stderr
    finally:
        registry.terminate()
        registry.wait(10)
