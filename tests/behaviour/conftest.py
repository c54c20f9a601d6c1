"""What every behaviour test has: the installed tree, a laboratory to run purser in, and nothing left behind."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from clerk_world import clerk, cluster, database, postgres  # noqa: E402, F401
from lab import Lab  # noqa: E402

# Where this machine's own proxy or CA stands in the environment, it is not what is tested.
OF_THIS_MACHINE = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
                   "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "GITHUB_TOKEN", "BUILDKITE_TOKEN")


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: only on the build without sanitizers: these keep freed bytes, and need "
                                       "system calls and memory of their own")


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch):
    for name in os.environ:
        if name.lower().endswith("_proxy") or name in OF_THIS_MACHINE:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def prefix():
    """The installed tree: bin/, libexec/purser/, share/purser/."""
    named = os.environ.get("PURSER_PREFIX")
    assert named and (Path(named) / "bin/purser").exists(), \
        "PURSER_PREFIX must name an installed tree; tests/run makes one in build/stage/usr/local"
    return Path(named)


@pytest.fixture(scope="session")
def clients():
    """The interpreter of the environment that has the real clients in it; tests/run makes it."""
    python = Path(os.environ["PURSER_BUILD"]) / "clients/bin/python"
    assert python.exists(), "tests/run behaviour makes the environment of the real clients"
    return python.parent.resolve() / "python"  # not the symbolic link that it is itself


@pytest.fixture
def lab(prefix):
    """A folder of its own with CA, keyring and purser.yaml; upstreams that the test writes; gone after the test."""
    with Lab(prefix) as laboratory:
        yield laboratory
