"""Searches memory and files for a secret, in every form that one could carry it away in.

Each needle is 8 bytes (of base64: 8 characters, of hex: 16) of the secret at a multiple of 8, so that whoever holds any
16 bytes of it holds a needle; a random secret has none of them by chance.
"""

import base64
import os
import urllib.parse
from pathlib import Path


def needles(secret):
    secret = secret.encode() if isinstance(secret, str) else secret
    forms = {"raw": (secret, 8), "hex": (secret.hex().encode(), 16), "HEX": (secret.hex().upper().encode(), 16),
             "percent": ("".join(f"%{byte:02x}" for byte in secret).encode(), 24),
             "PERCENT": ("".join(f"%{byte:02X}" for byte in secret).encode(), 24),
             "json": ("".join(f"\\u{byte:04x}" for byte in secret).encode(), 48)}
    for skip in range(3):
        text = base64.b64encode(bytes(skip) + secret)[4 if skip else 0:]
        text = text[:len(text) - 4]  # both ends depend on what stands beside it
        forms[f"base64+{skip}"] = (text, 8)
        if (other := text.replace(b"+", b"-").replace(b"/", b"_")) != text:
            forms[f"base64url+{skip}"] = (other, 8)
    found = {}
    for form, (text, step) in forms.items():
        for at in range(0, len(text) - step + 1, step):
            found[text[at:at + step]] = form
    return found


class Memory:
    """The memory of processes, read as root; `unread` are the mappings that even root cannot read."""

    def __init__(self):
        self.unread, self.bytes, self._files = set(), 0, {}

    def mappings(self, pid):
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in self.lines(maps):
                words = line.split(maxsplit=5)
                low, high = (int(end, 16) for end in words[0].split("-"))
                name = words[5].strip() if len(words) > 5 else ""
                if words[1].startswith("---"):
                    continue
                try:
                    memory.seek(low)
                    data = memory.read(high - low)
                    while len(data) < high - low and (more := memory.read(high - low - len(data))):
                        data += more
                except (OSError, OverflowError, ValueError):
                    self.unread.add(name.split(" (")[0])
                    continue
                self.bytes += len(data)
                yield words, name, data

    @staticmethod
    def lines(maps):
        """Of a process that ends meanwhile: those that were there."""
        while True:
            try:
                if not (line := maps.readline()):
                    return
            except ProcessLookupError:
                return
            yield line

    def search(self, pid, wanted):
        """[(mapping, form, needle)] in everything that can be read of a process."""
        hits = []
        for words, name, data in self.mappings(pid):
            key = (words[2], words[3], words[4], len(data)) if "w" not in words[1] and words[4] != "0" else None
            if key and self._files.get(key) == len(wanted):
                continue  # a page of a program or library that was searched already
            mine = [(f"{' '.join(words[:2])} {name}", form, needle) for needle, form in wanted.items() if needle in data]
            if key and not mine:
                self._files[key] = len(wanted)
            hits += mine
        return hits


def search_files(folder, wanted):
    """The same, in every plain file, every name and every link below a folder, but not in what is mounted there; (hits, how many
    files were read)."""
    hits, read = [], 0
    try:
        device = os.stat(folder).st_dev
    except FileNotFoundError:  # it went meanwhile
        return hits, read
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not os.path.ismount(os.path.join(top, name))]
        for name in folders + files:
            path = Path(top) / name
            text = os.fsencode(name)
            if path.is_symlink():
                text += os.fsencode(os.readlink(path))
            elif path.is_file():
                try:
                    if path.stat().st_dev != device:
                        continue
                    text += path.read_bytes()
                except FileNotFoundError:  # it went meanwhile
                    continue
                read += 1
            hits += [(str(path), form, needle) for needle, form in wanted.items() if needle in text]
    return hits, read


def as_forms(secret):
    """One text with the secret in every form that needles() knows, as an API could echo it."""
    raw = secret.encode()
    return b" ".join([raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw),
                      base64.b64encode(b"u:" + raw), base64.b64encode(b"u" + raw), urllib.parse.quote(secret).encode(),
                      "".join(f"%{byte:02x}" for byte in raw).encode(), "".join(f"%{byte:02X}" for byte in raw).encode(),
                      "".join(f"\\u{byte:04x}" for byte in raw).encode()])
