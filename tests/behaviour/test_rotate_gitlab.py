"""A new token that GitLab makes of the old one (`self/rotate`), which dies with that: nothing is asked twice, no request fails,
and where an answer is lost a sentence says what a person has to do."""

import json
import os
import random
import signal
import subprocess
import time

import pytest
from hunt import Memory, needles, search_files
from promise import new_token, wait_until
from providers import Gitlab
from rotate_world import SESSION, VaultRotation, bao_server, start_load  # noqa: F401  (a fixture)

SCOPES = ("read_api", "self_rotate")


class Renewal:
    def __init__(self, lab, kind=Gitlab, **keys):
        self.lab, self.old = lab, new_token()
        self.api = kind(lab, self.old, scopes=SCOPES)
        lab.source("ci", kind.host, token=self.old, provider="gitlab", **keys)
        self.env = {"PURSER_TEST_ROTATE_PATIENCE_MS": "200"}

    def rotate(self, *args, **more):
        way = [] if set(args) & {"--resume", "--abort", "--dry-run", "--all", "--status"} else ["--from-provider", "--accept-loss"]
        return self.lab.purser("rotate", *([] if "--all" in args else ["ci"]), *way, *args, env=self.env, **more)

    def await_quiet(self):
        """What a dead process has sent is answered."""
        wait_until(lambda: not self.api.upstream.open)

    def current(self):
        before = len(self.api.used)
        done = self.lab.run_script("""
            import os, urllib.request
            ask = urllib.request.Request("https://gitlab.com/api/v4/projects",
                                         headers={"Authorization": "Bearer " + os.environ["GITLAB_TOKEN"]})
            try:
                urllib.request.urlopen(ask)
            except urllib.error.HTTPError as error:
                print(error.code)
            """, name="look", sources=["ci"])
        assert len(self.api.used) > before, done.text
        return self.api.used[-1][0]

    def steps(self):
        path = self.lab.state / "rotate/ci.journal"
        return [line.split(" ", 4)[2] for line in path.read_text().splitlines()] if path.exists() else []

    def check_no_secret(self, *said):
        tokens = [self.old, *self.api.made]
        for text in ((self.lab.state / "rotate/ci.journal").read_text(), *said):
            assert not [token for token in tokens if token in text]


@pytest.fixture
def renewal(lab):
    return Renewal(lab)


def test_it_is_refused_until_somebody_accepts_what_may_be_lost(renewal):
    done = renewal.lab.purser("rotate", "ci", "--from-provider")
    assert done.status == 1 and "if its answer is lost" in done.err and "both are gone" in done.err, done.text
    assert "--accept-loss" in done.err and renewal.api.questions == [] and renewal.steps() == []
    dry = renewal.lab.purser("rotate", "ci", "--dry-run", "--from-provider")
    assert dry.status == 1 and "--accept-loss" in dry.err, dry.text
    dry = renewal.lab.purser("rotate", "ci", "--dry-run", "--from-provider", "--accept-loss")
    assert dry.status == 0 and "gitlab would make it of the old one" in dry.out and renewal.api.questions == [], dry.text


def test_the_provider_makes_the_new_one_and_the_old_one_is_dead(renewal):
    done = renewal.rotate()
    assert done.status == 0, done.text
    assert renewal.steps() == ["begin", "ask", "stage", "prove", "switch", "clear", "end"]
    assert len(renewal.api.questions) == 1 and list(renewal.api.tokens) == renewal.api.made
    assert renewal.current() == renewal.api.made[0]
    expires = renewal.api.questions[0][1]["expires_at"]
    assert expires == time.strftime("%Y-%m-%d", time.gmtime(time.time() + 90 * 86400)), "not GitLab's own week"
    assert f"It expires at {expires}" in renewal.lab.purser("status").out
    renewal.check_no_secret(done.text)
    again = renewal.rotate()
    assert again.status == 0 and renewal.current() == renewal.api.made[1], again.text


def test_a_token_that_may_not_do_it_is_not_asked_to(renewal):
    renewal.api.add(renewal.old, scopes=["read_api"])
    done = renewal.rotate()
    assert done.status == 1 and "needs one of these scopes at gitlab: api self_rotate" in done.err, done.text
    assert renewal.api.questions == [] and renewal.steps() == []


def test_a_projects_token_has_its_own_path(lab):
    class Project(Gitlab):
        rotate_path = "/api/v4/projects/42/access_tokens/self/rotate"

    renewal = Renewal(lab, Project, rotate={"fromProvider": True, "acceptLoss": True, "life": "30d",
                                            "path": "/projects/42/access_tokens/self/rotate"})
    done = lab.purser("rotate", "ci")
    assert done.status == 0, done.text
    assert renewal.current() == renewal.api.made[0]
    assert renewal.api.questions[0][1]["expires_at"] == time.strftime("%Y-%m-%d", time.gmtime(time.time() + 30 * 86400))


@pytest.mark.parametrize("what", ["lost", "500-done", "garbled", "twice"])
def test_an_answer_that_nobody_has_is_a_sentence_for_a_person_and_never_a_second_question(renewal, what):
    renewal.api.renewal = what
    done = renewal.rotate()
    assert done.status == 1, done.text
    for way in ("--resume", "--abort", ()):
        again = renewal.rotate(*([way] if way else []))
        assert again.status == 1, again.text
        assert "purser token set" in again.err or "--resume" in again.err, again.text
    assert len(renewal.api.questions) == 1, "asked again it would revoke what there is"
    if what == "twice":  # what was stored is dead too
        assert renewal.api.tokens == {} and "neither the old nor the new token works any more" in done.err
    else:
        assert "nobody has the new one" in done.err and "`purser token set ci`" in done.err
        assert list(renewal.api.tokens) == renewal.api.made, "the lost one lives, and the person is told to revoke it"
    assert "ci: its token was" not in done.err
    third = new_token()
    renewal.api.add(third, scopes=SCOPES)
    assert renewal.lab.purser("token", "set", "ci", stdin=third).status == 0
    tidied = renewal.rotate("--abort")
    assert tidied.status == 0 and renewal.current() == third, tidied.text
    assert renewal.rotate().status == 0 and len(renewal.api.questions) == 2
    renewal.check_no_secret(done.text)


@pytest.mark.parametrize("what", ["500", "late", "refused"])
def test_an_error_is_followed_by_the_probe_and_a_wait_not_by_another_question(renewal, what):
    renewal.api.renewal = what
    renewal.env = {"PURSER_TEST_ROTATE_PATIENCE_MS": "1500"}
    began = time.monotonic()
    done = renewal.rotate()
    assert done.status == 1 and len(renewal.api.questions) == 1, done.text
    assert (time.monotonic() - began > 1.4) == (what != "refused"), "what may still be carried out is waited for"
    if what == "late":
        assert "nobody has the new one" in done.err
        return
    assert "the old token stays" in done.err and renewal.steps()[-1] == "end"
    assert renewal.current() == renewal.old
    assert renewal.rotate().status == 0 and renewal.current() == renewal.api.made[0]


@pytest.mark.parametrize("call, number, lost", [
    ("sendto", 6, False),  # on record, and not asked yet
    ("rename", 1, True),   # answered, and not stored yet
    ("sendto", 7, False),  # staged
])
def test_killed_around_the_question_it_is_not_asked_again(renewal, call, number, lost):
    words = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}", "-o", "/dev/null",
             *map(str, renewal.lab.words("rotate", "ci", "--from-provider", "--accept-loss"))]
    done = subprocess.run(words, capture_output=True, timeout=60, cwd=renewal.lab.folder)
    assert done.returncode == -9 and "ask" in renewal.steps(), done
    renewal.await_quiet()
    asked = len(renewal.api.questions)
    assert asked == (0 if number == 6 else 1)
    began_anew = renewal.rotate()
    assert began_anew.status == 1 and "--resume" in began_anew.err, began_anew.text
    after = renewal.rotate("--resume")
    assert len(renewal.api.questions) == asked, "asked again it would revoke what there is"
    assert after.status == int(lost) and ("nobody has the new one" in after.err) == lost, after.text
    if not lost:
        assert renewal.current() in renewal.api.tokens


@pytest.mark.parametrize("times", [4, pytest.param(200, marks=pytest.mark.long)])
def test_killed_at_random_moments_it_ends_with_one_token_or_a_sentence_and_revokes_nothing(renewal, times):
    choose, lost = random.Random(11), 0
    began = time.monotonic()
    assert renewal.rotate().status == 0
    takes = time.monotonic() - began
    for _ in range(times):
        renewal.api.renewal = choose.choice([None, None, "lost", "500"])
        process = subprocess.Popen([str(word) for word in renewal.lab.words("rotate", "ci", "--from-provider", "--accept-loss")],
                                   cwd=renewal.lab.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(choose.uniform(0, takes))
        process.kill()
        process.wait()
        renewal.await_quiet()
        asked = len(renewal.api.questions)
        alive = set(renewal.api.tokens)
        done = renewal.rotate(choose.choice(["--resume", "--abort"]))
        assert len(renewal.api.questions) == asked and set(renewal.api.tokens) == alive, "nothing is asked again, nothing revoked"
        if "nobody has the new one" in done.err:
            lost += 1
            third = new_token()
            renewal.api.add(third, scopes=SCOPES)
            assert renewal.lab.purser("token", "set", "ci", stdin=third).status == 0
            done = renewal.rotate("--abort")
        assert done.status in (0, 1) and (done.status == 0 or "no rotation of ci is under way" in done.err
                                          or "so the new one is kept" in done.out), done.text
        kept = renewal.current()
        assert kept in renewal.api.tokens, done.text
        renewal.api.tokens = {kept: renewal.api.tokens[kept]}
    assert times < 10 or 0 < lost < times


POSTS = SESSION + """
end = time.time() + float(os.environ["SECONDS"])
asked = 0
while time.time() < end:
    ask("https://gitlab.com/api/v4/projects", "GITLAB_TOKEN", b"x" * 20000 if asked % 3 == 0 else None).read()
    asked += 1
    time.sleep(0.1)
print("ASKED", asked)
"""


@pytest.mark.parametrize("rotations, retrievers, seconds", [(3, 3, 90), pytest.param(100, 8, 400, marks=pytest.mark.long)])
def test_requests_are_held_for_the_moment_and_none_fails_not_even_a_post(renewal, rotations, retrievers, seconds):
    load = start_load(renewal.lab, seconds, n=retrievers, script=POSTS)
    wait_until(lambda: len(renewal.api.used) > 20, patience=60)
    for _ in range(rotations):
        began = time.monotonic()
        done = renewal.rotate()
        assert done.status == 0 and "hold" in renewal.steps(), done.text
        assert time.monotonic() - began < 10, "who runs here says that it has read the new one"
    mark = len(renewal.api.used)
    wait_until(lambda: len(renewal.api.used) > mark + 10)
    text = (renewal.lab.folder / "load.log")
    load.send_signal(signal.SIGINT)
    load.wait(60)
    assert {status for _, status in renewal.api.used} == {200}, "not one failed request"
    assert "Error" not in text.read_text(), text.read_text()[-2000:]
    assert {token for token, _ in renewal.api.used[mark:]} == {renewal.api.made[-1]}
    assert len(renewal.api.questions) == rotations == text.read_text().count("its requests wait for that")
    hits, _ = search_files(renewal.lab.state, needles(renewal.old) | needles(renewal.api.made[0]) | needles(renewal.api.made[-1]))
    assert hits == []


def test_a_rotation_that_dies_while_it_holds_lets_the_requests_go(renewal):
    """Killed with the question not answered: the lock goes with the process, and the requests are sent."""
    load = start_load(renewal.lab, 6, n=2, script=POSTS)
    wait_until(lambda: len(renewal.api.used) > 20)
    answer, asked = renewal.api.renew, []

    def slow(token, said):
        asked.append(token)
        time.sleep(4)
        return answer(token, said)

    renewal.api.renew = slow
    process = subprocess.Popen([str(word) for word in renewal.lab.words("rotate", "ci", "--from-provider", "--accept-loss")],
                               cwd=renewal.lab.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: asked)
    before = len(renewal.api.used)
    time.sleep(0.5)
    assert len(renewal.api.used) == before, "nothing is sent with a token that is about to die"
    process.kill()
    process.wait()
    wait_until(lambda: len(renewal.api.used) > before, patience=2)
    load.terminate()
    load.wait(40)


@pytest.mark.plain
def test_in_the_middle_its_memory_holds_no_token(renewal):
    """Stopped between the switch and the end, with everything that GitLab has said behind it."""
    renewal.api.revoked.clear()
    answer = renewal.api.answer
    process = []

    def slow(request):
        reply = answer(request)
        if renewal.api.made and request.target.endswith("/self"):
            time.sleep(2)
        return reply

    renewal.api.upstream.close()
    renewal.api.upstream = renewal.lab.upstream("gitlab.com", slow)
    renewal.lab.sources["ci"]["connectTo"] = f"127.0.0.1:{renewal.api.upstream.port}"
    renewal.lab.write()
    process = subprocess.Popen([str(word) for word in renewal.lab.words("rotate", "ci", "--from-provider", "--accept-loss")],
                               cwd=renewal.lab.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: "prove" in renewal.steps())
    time.sleep(0.3)
    memory = Memory()
    os.kill(process.pid, signal.SIGSTOP)
    hits = memory.search(process.pid, needles(renewal.api.made[0]))
    os.kill(process.pid, signal.SIGCONT)
    said = process.communicate(timeout=30)[0].decode()
    assert memory.bytes > 1 << 20 and hits == [], hits
    assert process.returncode == 0, said
    renewal.check_no_secret(said)


def test_the_schedule_and_all_take_it_where_the_loss_is_accepted(lab):
    renewal = Renewal(lab)
    lab.sources["ci"]["rotate"] = {"fromProvider": True, "schedule": "0 3 * * *"}
    lab.write()
    said = lab.purser("check")
    assert said.status == 3 and "say 'acceptLoss: true' if that may be" in said.err, said.text
    lab.sources["ci"]["rotate"]["acceptLoss"] = True
    lab.write()
    done = lab.purser("rotate", "--all", "--json")
    assert done.status == 0 and json.loads(done.out.splitlines()[-1])["sources"][0]["result"] == "rotated", done.text
    assert renewal.current() == renewal.api.made[0]


def test_a_token_of_vault_is_read_by_who_runs_here_before_its_requests_go_on(lab, bao_server):
    """Though the store is read once in ten minutes by itself; and what other agents do is said before."""
    vault = VaultRotation(lab, bao_server, refresh="10m")
    renewal = Renewal(lab)
    vault.put(token=renewal.old, hosts=Gitlab.host)
    lab.sources["ci"]["token"] = {"vault": {"path": vault.main, "key": "token"}}
    lab.write()
    words = [str(word) for word in lab.words("rotate", "ci", *vault.login, "--from-provider")]
    told = subprocess.run(words, capture_output=True, text=True, cwd=lab.folder)
    assert told.returncode == 1 and "agents elsewhere are answered 401 until they have read it" in told.stderr, told.stderr
    load = start_load(lab, 90, n=2, script=POSTS)
    wait_until(lambda: len(renewal.api.used) > 20)
    for _ in range(2):
        done = subprocess.run([*words, "--accept-loss"], capture_output=True, text=True, cwd=lab.folder, timeout=60)
        assert done.returncode == 0, done.stderr
    mark = len(renewal.api.used)
    wait_until(lambda: len(renewal.api.used) > mark + 10)
    assert {status for _, status in renewal.api.used} == {200}
    assert {token for token, _ in renewal.api.used[mark:]} == {renewal.api.made[-1]} == {vault.current()}
    load.send_signal(signal.SIGINT)
    load.wait(60)
    bao_server.reset()
