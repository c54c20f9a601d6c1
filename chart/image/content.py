"""What the image holds: entries with their bytes, and of each file of the system the Debian package that it is from."""
import functools
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

USER = 65532
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}
LOADER = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
CERTIFICATES = Path("/usr/share/ca-certificates/mozilla")
BUNDLE = "etc/ssl/certs/ca-certificates.crt"


@dataclass
class Entry:
    """A folder (`data` and `link` None), a file, or a link; owned by root unless it says."""
    name: str
    mode: int = 0o755
    data: bytes = None
    link: str = None
    owner: int = 0
    package: str = ""  # of Debian; "": purser's own


@dataclass
class Content:
    system: list = field(default_factory=list)
    programs: list = field(default_factory=list)

    def packages(self):
        """{package: version}"""
        names = sorted({entry.package for entry in self.system if entry.package})
        return {name: dpkg("-W", "-f", "${Version}", name) for name in names}


def dpkg(*words):
    return subprocess.run(["dpkg-query", *words], check=True, capture_output=True, text=True).stdout


@functools.cache
def package_of(path):
    """Debian 12 has packages that know a library as /lib/..., where the file system has /usr/lib/..."""
    for name in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.split(":")[0]
    sys.exit(f"chart/image/build: no Debian package owns {path}, so the image could not say what it is made of; "
             "link purser against Debian's libraries")


def is_program(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def stripped(path):
    """Without symbols and debug information."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["strip", "--strip-all", "-o", out.name, path], check=True)
        return Path(out.name).read_bytes()


def libraries(programs):
    """{path that the loader looks for: the file} of everything that these link, to the last."""
    found = {}
    for program in programs:
        done = subprocess.run(["ldd", program], capture_output=True, text=True)
        if "not found" in done.stdout:
            sys.exit(f"chart/image/build: {program} misses a library:\n{done.stdout}")
        for path in re.findall(r"=> (/\S+) \(", done.stdout):
            found[os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))] = os.path.realpath(path)
    return found


def folders(names):
    """The folders above these names, each once."""
    above = {str(parent) for name in names for parent in Path(name).parents} - {"."}
    return [Entry(name) for name in sorted(above)]


def text(name, lines, mode=0o644, package=""):
    return Entry(name, mode, "".join(f"{line}\n" for line in lines).encode(), package=package)


def certificates():
    """As update-ca-certificates puts them together; but those of the package alone, and none of this machine's own."""
    parts = [path.read_bytes().rstrip(b"\n") + b"\n" for path in sorted(CERTIFICATES.glob("*.crt"))]
    if not parts:
        sys.exit("chart/image/build: there are no certificates in the package ca-certificates")
    return Entry(BUNDLE, 0o644, b"".join(parts), package="ca-certificates")


def system_entries(programs):
    loader = LOADER[platform.machine()]
    entries = [Entry(wanted.lstrip("/"), 0o755 if wanted == os.path.realpath(loader) else 0o644, stripped(file),
                     package=package_of(file)) for wanted, file in sorted(libraries(programs).items())]
    real = os.path.realpath(loader)
    if real.lstrip("/") not in [entry.name for entry in entries]:
        entries.append(Entry(real.lstrip("/"), 0o755, stripped(real), package=package_of(real)))
    wanted = os.path.join(os.path.realpath(os.path.dirname(loader)), os.path.basename(loader))
    if wanted != real:
        entries.append(Entry(wanted.lstrip("/"), 0o777, link=real, package=package_of(real)))
    entries += [Entry(name, 0o777, link=f"usr/{name}") for name in ("lib", "lib64") if os.path.islink(f"/{name}")]
    entries += [
        certificates(),
        text("etc/passwd", ["root:x:0:0:root:/:/nonexistent", f"purser:x:{USER}:{USER}:purser:/var/lib/purser:/nonexistent"]),
        text("etc/group", ["root:x:0:", f"purser:x:{USER}:"]),
        text("etc/nsswitch.conf", ["passwd: files", "group: files", "hosts: files dns"]),
    ]
    for name in sorted({entry.package for entry in entries if entry.package}):
        licence = Path(f"/usr/share/doc/{name}/copyright")
        entries.append(Entry(f"usr/share/doc/{name}/copyright", 0o644, licence.read_bytes(), package=name))
    more = [Entry("tmp", 0o1777), Entry("var/lib/purser", 0o700, owner=USER)]
    return folders([entry.name for entry in entries + more]) + entries + more


def program_entries(tree):
    kept = [path for folder in ("bin", "libexec", "share/purser") for path in sorted((tree / folder).rglob("*"))
            if path.is_file() and not path.is_symlink()]
    entries = [Entry(f"usr/{path.relative_to(tree)}", 0o755 if is_program(path) else 0o644,
                     stripped(path) if is_program(path) else path.read_bytes()) for path in kept]
    licence = (Path(__file__).resolve().parents[2] / "LICENSE").read_bytes()
    entries.append(Entry("usr/share/doc/purser/copyright", 0o644, licence))
    return folders([entry.name for entry in entries]) + entries, [path for path in kept if is_program(path)]


def collect(tree):
    if platform.machine() not in LOADER:
        sys.exit(f"chart/image/build: {platform.machine()} is not an architecture that it knows ({', '.join(LOADER)})")
    programs, binaries = program_entries(tree)
    return Content(system_entries(binaries), programs)
