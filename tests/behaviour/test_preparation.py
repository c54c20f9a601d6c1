"""A script's requirements.txt: prepared once, kept by what went into it, told when it cannot be. No network: the package is a
wheel that the test writes."""
import base64
import hashlib
import os
import zipfile

import pytest

SCRIPT = "import os, tiny\nopen(os.environ['OUTPUTDIR'] + '/tiny.dat', 'w').write(str(tiny.VALUE))\nprint(tiny.__file__)\n"


def wheel(folder, version, value):
    """tiny-VERSION-py3-none-any.whl with one module."""
    info = f"tiny-{version}.dist-info"
    files = {"tiny.py": f"VALUE = {value}\n",
             f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    path = folder / f"tiny-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheels(lab, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(lab.folder / "wheels"))
    return lab.folder / "wheels"


def environments(lab):
    return sorted(name[:-6] for name in os.listdir(lab.state / "envs") if name.endswith(".ready"))


def test_requirements_are_prepared_once_and_again_when_they_change(lab, wheels):
    wheel(wheels, "1.0", 41)
    pinned = wheel(wheels, "2.0", 42)
    first = lab.run_script(SCRIPT, requirements="tiny==1.0\n")
    assert first.report["status"] == "ok", first.text + first.log
    (one,) = environments(lab)
    built = (lab.state / "envs" / one / "pyvenv.cfg").stat().st_mtime_ns
    again = lab.run_script(SCRIPT, requirements="tiny==1.0\n")
    assert again.report["status"] == "ok" and environments(lab) == [one]
    assert (lab.state / "envs" / one / "pyvenv.cfg").stat().st_mtime_ns == built
    # Other requirements, with a hash: another environment.
    third = lab.run_script(SCRIPT, requirements=f"tiny==2.0 --hash=sha256:{pinned}\n")
    assert third.report["status"] == "ok" and len(environments(lab)) == 2, third.text
    values = [row["value"] for row in lab.rows("SELECT value FROM metric_sample ORDER BY at")]
    assert values == [41, 41, 42]
    # A hash that does not fit is enforced.
    wrong = lab.run_script(SCRIPT, requirements=f"tiny==2.0 --hash=sha256:{'0' * 64}\n")
    assert wrong.report["status"] == "not-prepared" and len(environments(lab)) == 2


def test_a_preparation_that_fails_is_said_and_costs_no_other_retriever(lab, wheels):
    wheels.mkdir()
    wheels.chmod(0o755)
    lab.retriever("other", script="import os\nopen(os.environ['OUTPUTDIR'] + '/a.dat', 'w').write('1')\n")
    lab.retriever("lacking", script=SCRIPT, requirements="tiny==9\n")
    done = lab.purser("run", "--json")
    runs = {run["retriever"]: run for run in done.json["runs"]}
    assert done.status == 1 and runs["other"]["status"] == "ok" and runs["other"]["rows"] == 1
    assert runs["lacking"]["status"] == "not-prepared"
    assert "requirements.txt" in runs["lacking"]["message"] and "/log" in runs["lacking"]["message"]
    assert "tiny==9" in lab.last_run("lacking")[1], "what pip said is in the log"
    assert environments(lab) == []


def test_no_lease_and_no_proxy_exist_while_an_environment_is_built(lab, wheels):
    """Code that pip runs while building could use them."""
    source = wheels / "tiny-3.0"
    source.mkdir(parents=True)
    (source / "setup.py").write_text("raise SystemExit('SEEN ' + ' '.join(__import__('os').environ))\n")
    for path in (wheels, source, source / "setup.py"):
        path.chmod(0o755)
    lab.source("api", "api.test", provider=None, tokenEnv=["GITHUB_TOKEN"])
    done = lab.run_script(SCRIPT, requirements=f"{source}\n")
    assert done.report["status"] == "not-prepared", done.text
    seen = [line for line in done.log.splitlines() if "SEEN" in line]
    assert all("TOKEN" not in line and "API_URL" not in line for line in seen), seen
    assert not any(event["event"].startswith("request") for event in lab.audit())
