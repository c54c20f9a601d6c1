"""The chart, rendered by the real Helm that tests/cluster/build makes, and read back."""
import re
import subprocess
from pathlib import Path

import yaml
from kube import BINARIES

TOP = Path(__file__).resolve().parents[2]
CHART = TOP / "chart"
VALUES = TOP / "tests/chart/values"
GOLDEN = TOP / "tests/chart/golden"
SCRIPTS = TOP / "examples/quickstart/files"


class Stopped(Exception):
    """What Helm said instead of rendering."""


def helm(*words, check=True, **more):
    program = BINARIES / "helm"
    assert program.exists(), "tests/cluster/build helm makes it"
    done = subprocess.run([str(word) for word in (program, *words)], capture_output=True, text=True, **more)
    if check and done.returncode:
        raise Stopped(done.stderr + done.stdout)
    return done


def script_of(retriever, *names):
    """The words that hand the quickstart's files of this retriever to the chart."""
    names = names or ("collect.py", "requirements.txt")
    return [word for name in names for word in
            ("--set-file", f"files.{retriever}.{name.replace('.', chr(92) + '.')}={SCRIPTS / retriever / name}")]


def render(*words, values=None, release="ci"):
    """Every object of the chart. `values`: a mapping, beside the files that `words` name."""
    more = ["--values", "-"] if values is not None else []
    said = helm("template", release, CHART, *words, *more, input=yaml.safe_dump(values) if values is not None else None)
    return [each for each in yaml.safe_load_all(said.stdout) if each]


def refusal(values, *words):
    """What the chart says instead of rendering these values."""
    try:
        render(*words, values=values)
    except Stopped as stopped:
        return str(stopped)
    raise AssertionError("it renders")


def of_kind(objects, kind):
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def pods(objects):
    """(name, pod spec) of everything that makes pods."""
    for each in objects:
        if each["kind"] == "CronJob":
            yield each["metadata"]["name"], each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif each["kind"] in ("StatefulSet", "Deployment"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield each["metadata"]["name"], each["spec"]


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


def retrievers(pod):
    return [each for each in pod["containers"] if each["command"][0] == "/purser/bin/purser-exec"] \
        if all("command" in each for each in pod["containers"]) else []


# What is made up anew whenever there is no cluster to look at
RANDOM = re.compile(r'^( +(?:postgres-password|password|reader-password|admin-password|audit\.key|ca\.crt|tls\.crt|tls\.key|tlsCACert): )'
                    r'"?[^\n]{20,}$', re.MULTILINE)


def as_golden(text):
    text = RANDOM.sub(r"\1(made up)", text)
    # the dashboards have tests of their own
    return re.sub(r'^(  ci-[a-z]+\.json: ).*$', r"\1(dashboards/)", text, flags=re.MULTILINE)
