"""What a role links is what it can do: each program's dynamic section, as installed."""
import re
import subprocess
from pathlib import Path

import pytest

# What each may not link, whatever else it links. Names as in NEEDED, without version.
OPENSSL = ("libssl", "libcrypto")
FORBIDDEN = {
    "bin/purser": (*OPENSSL, "libcurl", "libpq", "libsqlite3", "libjansson"),
    "libexec/purser/purser-gate": ("libcurl", "libjansson", "libpq", "libsqlite3", "libyaml-0"),
    "libexec/purser/purser-keeper": ("libpq", "libsqlite3", "libyaml-0"),
    "libexec/purser/purser-clerk": (*OPENSSL, "libcurl", "libyaml-0", "libpq"),
    "libexec/purser/purser-clerk-pg": (*OPENSSL, "libcurl", "libyaml-0", "libsqlite3"),
    "libexec/purser/purser-rotate": ("libpq", "libsqlite3", "libyaml-0"),
    "libexec/purser/purser-token": (*OPENSSL, "libcurl", "libpq", "libsqlite3", "libjansson", "libyaml-0"),
}
# A guard that forbids what nobody could link proves nothing: each links what it is for.
EXPECTED = {
    "bin/purser": ("libyaml-0",),
    "libexec/purser/purser-gate": OPENSSL,
    "libexec/purser/purser-keeper": ("libssl", "libcurl", "libjansson"),
    "libexec/purser/purser-clerk": ("libsqlite3", "libjansson"),
    "libexec/purser/purser-clerk-pg": ("libpq", "libjansson"),
    "libexec/purser/purser-rotate": ("libssl", "libcurl", "libjansson"),
    "libexec/purser/purser-token": ("libsodium",),
}


def needed(path):
    said = subprocess.run(["readelf", "-dW", path], check=True, capture_output=True, text=True).stdout
    return {re.sub(r"(\.so.*)$", "", name) for name in re.findall(r"\(NEEDED\).*\[(.*)\]", said)}


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_a_role_links_only_what_it_needs(prefix, name):
    links = needed(prefix / name)
    assert not links & set(FORBIDDEN[name])
    assert set(EXPECTED[name]) <= links


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_a_role_is_hardened(prefix, name):
    """Position independent, bound at start, relocations and stack closed."""
    said = subprocess.run(["readelf", "-hdlW", prefix / name], check=True, capture_output=True, text=True).stdout
    assert re.search(r"Type:\s+DYN", said)
    assert "BIND_NOW" in said or re.search(r"FLAGS_1\).*NOW", said)
    assert "GNU_RELRO" in said
    assert re.search(r"GNU_STACK.*\sRW\s", said)


@pytest.mark.plain
def test_the_runner_is_static_and_small(prefix, tmp_path):
    """It runs in any image: nothing dynamic, no interpreter, under 1 MB."""
    runner, stripped = prefix / "libexec/purser/purser-exec", tmp_path / "stripped"
    said = subprocess.run(["readelf", "-dlW", runner], check=True, capture_output=True, text=True).stdout
    assert "NEEDED" not in said and "INTERP" not in said
    subprocess.run(["strip", "-o", stripped, runner], check=True)
    assert Path(stripped).stat().st_size < 1_000_000
