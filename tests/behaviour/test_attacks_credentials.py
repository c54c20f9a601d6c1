"""The corpus's family of credentials that would be more than one header (tests/attacks/credentials.json): refused when they are
set, when the configuration is read, or when the store has them; and what is sent is one header, byte for byte.
"""

import pytest
from attack_world import StrictUpstream, corpus, has_line
from conftest import forget_this_machine
from lab import Answer, Lab
from promise import run

CASES = corpus("credentials")
SCRIPT = """
import os
from inside import Client, say
for number in {numbers}:
    say(number=number, **Client(f"c{{number}}.test").ask(headers=f"Authorization: Bearer {{os.environ[f'T{{number}}']}}\\r\\n").short)
"""


@pytest.fixture(scope="module")
def lab(prefix):
    with pytest.MonkeyPatch.context() as patch, Lab(prefix) as laboratory:
        forget_this_machine(patch)
        laboratory.write()
        yield laboratory


def sources(lab, numbers):
    for number in numbers:
        (lab.folder / f"token-{number}").write_bytes(CASES[number]["token"].encode("latin-1"))
        lab.source(f"s{number}", f"c{number}.test", token=None, tokenEnv=[f"T{number}"], auth=CASES[number].get("auth", "bearer"))
        lab.sources[f"s{number}"]["token"] = {"file": str(lab.folder / f"token-{number}")}
    return [f"s{number}" for number in numbers]


def of_files(refused):
    return [number for number, case in enumerate(CASES) if case["by"] == "file" and ("told" in case) == refused]


@pytest.fixture(scope="module")
def refused(lab):
    """What a run is told whose sources have nothing but what cannot be sent: it does not begin."""
    lab.retriever("refused", script="print('begun')", sources=sources(lab, of_files(True)))
    done = lab.purser("run", "refused")
    assert done.status != 0 and "begun" not in done.text
    return done.text


@pytest.fixture(scope="module")
def sent(lab):
    """{number: what arrived}: all cases whose credential is one, in one run."""
    upstream = StrictUpstream(lab, [f"c{number}.test" for number in of_files(False)], lambda request: Answer(200, b"ok"))
    lab.upstreams.update({f"c{number}.test": upstream for number in of_files(False)})
    done = run(lab, SCRIPT.format(numbers=of_files(False)), sources=sources(lab, of_files(False)))
    assert [said["status"] for said in done.said] == [200] * len(of_files(False)), done.text[-3000:]
    assert upstream.faults == []
    return {int(request.header("Host")[1:-5]): request for request in upstream.requests}


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["case"] for case in CASES])
def test_attack(lab, request, number):
    case = CASES[number]
    if case["by"] == "set":
        done = lab.purser("token", "set", f"x{number}", "--host", "x.test", stdin=case["token"].encode("latin-1"))
        assert done.status != 0 and case["told"] in done.text, (case["why"], done.text)
    elif case["by"] == "check":
        with Lab(lab.prefix) as other:
            other.source("api", "api.test", token=None, auth=case["auth"])
            other.retriever("script", "", sources=["api"])
            done = other.purser("check")
        assert done.status != 0 and case["told"] in done.text, (case["why"], done.text)
    elif "told" in case:
        text = request.getfixturevalue("refused")
        assert f"source s{number} has no token" in text and case["told"] in text.split(f"source s{number} ")[1].split("\n")[0], text
    else:
        arrived = request.getfixturevalue("sent")[number]
        assert has_line(arrived.headers, case["sees"]), (case["why"], arrived.headers)
        assert not has_line(arrived.headers, "X-Evil")
