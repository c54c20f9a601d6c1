"""An image as an OCI layout (image-spec 1.0): the same entries and date make the same bytes."""
import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from datetime import datetime, timezone

from content import ARCHITECTURE, USER

KINDS = "application/vnd.oci.image"


def tar_of(entries, date):
    """POSIX headers without the time of day, and without names of users."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.mode, info.mtime, info.uid, info.gid = entry.mode, date, entry.owner, entry.owner
            if entry.link is not None:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(entry.data)
            archive.addfile(info, io.BytesIO(entry.data or b""))
    return out.getvalue()


def zstd(data, level):
    """One thread: with several, the bytes depend on how many."""
    return subprocess.run(["zstd", f"-{level}", "-T1", "--no-progress", "-c"], input=data, check=True,
                          capture_output=True).stdout


def as_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Image:
    def __init__(self, folder, date, level):
        self.level, self.folder, self.date, self.archive = level, folder, date, folder.with_name(folder.name + ".tar")
        self.blobs = folder / "blobs/sha256"
        shutil.rmtree(folder, ignore_errors=True)
        self.blobs.mkdir(parents=True)
        self.layers, self.plain, self.history = [], [], []

    def blob(self, kind, data, **more):
        name = hashlib.sha256(data).hexdigest()
        (self.blobs / name).write_bytes(data)
        return {"mediaType": f"{KINDS}.{kind}", "digest": f"sha256:{name}", "size": len(data), **more}

    def moment(self):
        return datetime.fromtimestamp(self.date, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def add_layer(self, what, entries, date):
        tar = tar_of(entries, date)
        self.plain.append("sha256:" + hashlib.sha256(tar).hexdigest())
        self.layers.append(self.blob("layer.v1.tar+zstd", zstd(tar, self.level)))
        self.history.append({"created": self.moment(), "created_by": "chart/image/build", "comment": what})

    def finish(self, name, labels):
        config = self.blob("config.v1+json", as_json({
            "architecture": ARCHITECTURE[platform.machine()], "os": "linux", "created": self.moment(),
            "config": {"User": f"{USER}:{USER}", "Env": ["PATH=/usr/bin"], "Entrypoint": ["/usr/bin/purser"],
                       "WorkingDir": "/", "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": self.plain}, "history": self.history}))
        manifest = self.blob("manifest.v1+json", as_json({
            "schemaVersion": 2, "mediaType": f"{KINDS}.manifest.v1+json", "config": config, "layers": self.layers,
            "annotations": labels}), annotations={"org.opencontainers.image.ref.name": name})
        self.digest, self.size = manifest["digest"], sum(layer["size"] for layer in self.layers) + config["size"]
        (self.folder / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))
        (self.folder / "index.json").write_bytes(as_json({"schemaVersion": 2, "manifests": [manifest]}))
        with tarfile.open(self.archive, "w", format=tarfile.USTAR_FORMAT) as archive:
            for path in sorted(self.folder.rglob("*")):
                info = archive.gettarinfo(path, str(path.relative_to(self.folder)))
                info.mtime, info.uid, info.gid, info.uname, info.gname = self.date, 0, 0, "", ""
                info.mode = 0o755 if path.is_dir() else 0o644
                archive.addfile(info, open(path, "rb") if path.is_file() else None)
