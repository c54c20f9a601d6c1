"""The image's bill of materials: SPDX 2.3, as JSON. Debian packages by their purl, and every file with its hash."""
import hashlib
import json
import platform
import re
from datetime import datetime, timezone

from content import ARCHITECTURE


def identifier(kind, name):
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def package(name, version, url, licence="NOASSERTION"):
    return {"SPDXID": identifier("Package", name), "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": licence,
            "copyrightText": "NOASSERTION",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}]}


def file(entry):
    return {"SPDXID": identifier("File", entry.name), "fileName": f"./{entry.name}", "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION", "checksums": [
                {"algorithm": name, "checksumValue": hashlib.new(name.lower(), entry.data).hexdigest()}
                for name in ("SHA1", "SHA256")]}


def write(path, version, date, digest, found):
    kept = [entry for entry in found.system + found.programs if entry.data is not None]
    packages = [package("purser", version, f"pkg:generic/purser@{version}", "Apache-2.0")]
    packages += [package(name, of, f"pkg:deb/debian/{name}@{of}?arch={ARCHITECTURE[platform.machine()]}&distro=debian-12")
                 for name, of in found.packages().items()]
    described = [("SPDXRef-DOCUMENT", "DESCRIBES", identifier("Package", "purser"))]
    described += [(identifier("Package", "purser"), "DEPENDS_ON", of["SPDXID"]) for of in packages[1:]]
    described += [(identifier("Package", entry.package or "purser"), "CONTAINS", identifier("File", entry.name))
                  for entry in kept]
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"purser-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/purser-{version}-{digest.removeprefix('sha256:')}",
        "creationInfo": {"created": datetime.fromtimestamp(date, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": ["Tool: purser-chart-image-build"]},
        "packages": packages, "files": [file(entry) for entry in kept],
        "relationships": [{"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
                          for one, how, other in described],
    }
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
