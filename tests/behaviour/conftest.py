"""What every behaviour test has: the installed tree, a laboratory to run purser in, and nothing left behind."""
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.with_name("cluster"))]

import cluster_world  # noqa: E402
from clerk_world import clerk, cluster, database, postgres  # noqa: E402, F401
from lab import Lab  # noqa: E402

# Where this machine's own proxy or CA stands in the environment, it is not what is tested.
OF_THIS_MACHINE = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
                   "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "GITHUB_TOKEN", "BUILDKITE_TOKEN")


def passable(folder):
    """Whether every user may pass through it: the tests start programs as users of their own."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: only on the build without sanitizers: these keep freed bytes, and need "
                                       "system calls and memory of their own")
    config.addinivalue_line("markers", "cluster: needs the Kubernetes that tests/cluster/build makes")
    config.addinivalue_line("markers", "long: every place there is, or hundreds of random ones; only tests/run --all has the "
                                       "minutes, and a choice of them runs each time")
    os.environ.setdefault("PURSER_TEST_ROTATE_PATIENCE_MS", "200")  # two minutes else, wherever a rotation goes back
    if not hasattr(config, "workerinput"):
        cluster_world.choose_folder(config)
    named = Path(os.environ.get("PURSER_PREFIX", "/nonexistent")).resolve()
    assert (named / "bin/purser").exists(), \
        "PURSER_PREFIX must name an installed tree; tests/run makes one in build/stage/usr/local"
    if not passable(named):  # a checkout behind a closed door: the tests work with a copy before it
        copy = tempfile.TemporaryDirectory(prefix="purser-stage-", dir="/var/tmp")
        config.add_cleanup(copy.cleanup)
        os.chmod(copy.name, 0o755)
        os.environ["PURSER_PREFIX"] = str(shutil.copytree(named, Path(copy.name) / "local"))


def forget_this_machine(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in OF_THIS_MACHINE:
            monkeypatch.delenv(name)


# What takes minutes is begun first, the longest first of all, so that at the end no worker waits for another.
LONG = ("test_rotate_places", "test_rotate_vault", "test_cluster_cloudnativepg", "test_rotate_kubernetes", "test_cluster_examples",
        "test_rotate_gitlab", "test_cluster_network", "test_cluster_failures", "test_outages", "test_build", "test_promise_17",
        "test_rotate", "test_pod_init", "test_runner", "test_clerk_once", "test_stores_hunt", "test_metrics", "test_schedule",
        "test_revoke", "test_vault", "test_preparation", "test_promise_01", "test_requests", "test_leases", "test_sink_outage",
        "test_cluster", "test_image", "test_chart", "test_clients", "test_pod", "test_promise_20", "test_runs")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: next((i for i, name in enumerate(LONG) if item.path.name.startswith(name)), len(LONG)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that failed in a release that several share: what the cluster has to say."""
    report = (yield).get_result()
    space = getattr(item, "funcargs", {}).get("space")
    if report.failed and isinstance(space, cluster_world.Space):
        report.sections.append(("Captured stderr call", space.story()))


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch):
    forget_this_machine(monkeypatch)


@pytest.fixture(scope="session")
def prefix():
    """The installed tree: bin/, libexec/purser/, share/purser/."""
    return Path(os.environ["PURSER_PREFIX"])


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


@pytest.fixture(scope="session")
def kubernetes(prefix):
    """A real one-node cluster, the same for every process of the session; gone when the session ends."""
    return cluster_world.shared(prefix)
