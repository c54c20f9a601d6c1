"""`purser token`: tokens go from a person into the sealed keyring, are shown nowhere, and the old file stays whole."""

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

TOKEN = "ghp_Zx81kQ0pLmA72vT5cN94rB6wYd3eHs1uJfGo"
OTHER = "bkua_55aa0f3c9d1e7b2846c0d9e8f7a6b5c4d3e2f1a0"
LONGEST = 16 * 1024


@pytest.fixture
def program():
    prefix = os.environ.get("PURSER_PREFIX")
    assert prefix, "PURSER_PREFIX must name the installed tree"
    return Path(prefix) / "libexec/purser/purser-token"


@pytest.fixture
def token(program, tmp_path):
    """Runs `purser-token COMMAND ...` over a keyring of its own with a key file."""
    keyring, key = tmp_path / "state/keyring", tmp_path / "keyring.key"

    def run(command, *args, stdin="", env=None, path=keyring, key_file=key):
        line = [program, command, *args, "--path", path, "--key-file", key_file]
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        done = subprocess.run(line, input=data, capture_output=True, timeout=20,
                              env={"PATH": os.environ["PATH"], **(env or {})})
        done.text = (done.stdout + done.stderr).decode()
        return done

    run.program, run.keyring, run.key = program, keyring, key
    return run


class Terminal:
    """A process with a terminal of its own; what it shows is kept."""

    def __init__(self, *line):
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):  # a background job ignores them
                signal.signal(number, signal.SIG_DFL)
            os.execv(line[0], [str(part) for part in line])

    def wait_for(self, text, seconds=10):
        end = time.monotonic() + seconds
        while text.encode() not in self.shown:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} was not shown, but {self.shown!r}"
            try:
                self.shown += os.read(self.fd, 4096)
            except OSError:
                raise AssertionError(f"ended without {text!r}: {self.shown!r}") from None

    def type(self, text):
        os.write(self.fd, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def end(self):
        while True:
            try:
                piece = os.read(self.fd, 4096)
            except OSError:
                break
            if not piece:
                break
            self.shown += piece
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def names(run):
    done = run("list", "--json")
    assert done.returncode == 0, done.text
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


def test_set_list_remove_from_standard_input(token):
    assert token("set", "github", "--host", "api.github.com", "--host", "uploads.github.com",
                 stdin=TOKEN + "\n").returncode == 0
    assert token("set", "buildkite", stdin=OTHER).returncode == 0
    listed = names(token)
    assert list(listed) == ["buildkite", "github"]
    assert listed["github"]["hosts"] == ["api.github.com", "uploads.github.com"]
    assert listed["github"]["bytes"] == len(TOKEN)
    assert abs(time.time() - time.mktime(time.strptime(listed["github"]["set"][:19], "%Y-%m-%dT%H:%M:%S"))
               + time.timezone) < 60
    table = token("list")
    assert table.stdout.decode().split("\n")[0].split() == ["NAME", "SET", "HOSTS", "BYTES"]
    assert token("remove", "github").returncode == 0
    assert list(names(token)) == ["buildkite"]
    gone = token("remove", "github")
    assert gone.returncode == 1 and 'no token "github"' in gone.text


def test_nothing_ever_shows_the_token(token):
    said = token("set", "github", stdin=TOKEN).text + token("list").text + token("list", "--json").text
    said += token("set", "github", stdin=TOKEN + "\x01").text + token("remove", "github").text
    for at in range(len(TOKEN) - 6):
        assert TOKEN[at:at + 6] not in said


def test_files_are_private_and_hold_no_token(token):
    token("set", "github", stdin=TOKEN)
    assert token.keyring.stat().st_mode & 0o777 == 0o600
    assert token.key.stat().st_mode & 0o777 == 0o600
    assert token.keyring.parent.stat().st_mode & 0o777 == 0o700
    assert token.key.stat().st_size == 32
    for file in [*token.keyring.parent.iterdir(), token.key]:
        data = file.read_bytes()
        assert TOKEN.encode() not in data and TOKEN[:16].encode() not in data and b"github" not in data


def test_replacing_keeps_the_hosts_unless_they_are_given(token):
    token("set", "github", "--host", "ghe.example", stdin=TOKEN)
    assert "replaced" in token("set", "github", stdin=OTHER).text
    assert names(token)["github"]["hosts"] == ["ghe.example"]
    token("set", "github", "--host", "api.github.com", stdin=OTHER)
    assert names(token)["github"]["hosts"] == ["api.github.com"]


@pytest.mark.parametrize("what, stdin, sentence", [
    ("empty", b"", "is empty"),
    ("only a newline", b"\n", "is empty"),
    ("one byte", b"x", "has 1 bytes: one of fewer than 8"),
    ("seven bytes and a newline", b"abcdefg\n", "has 7 bytes: one of fewer than 8"),
    ("seven bytes and blanks", b" abcdefg  \n", "has 7 bytes: one of fewer than 8"),
    ("20 kB", b"x" * 20000, "longer than 16384 bytes"),
    ("a byte too long", b"x" * (LONGEST + 1), "longer than 16384 bytes"),
    ("newline inside", b"abc\ndef\n", "a newline at byte 4"),
    ("two newlines", b"abc\n\n", "a newline at byte 4"),
    ("NUL", b"abc\0def", "a NUL at byte 4"),
    ("escape", b"abc\x1bdef", "a control character at byte 4"),
])
def test_bad_tokens_are_refused_by_name(token, what, stdin, sentence):
    token("set", "github", stdin=TOKEN)
    before = token.keyring.read_bytes()
    done = token("set", "github", stdin=stdin)
    assert done.returncode == 1
    assert '"github"' in done.text and sentence in done.text
    assert token.keyring.read_bytes() == before


def test_the_longest_token_is_taken(token):
    assert token("set", "long", stdin="y" * LONGEST + "\n").returncode == 0
    assert names(token)["long"]["bytes"] == LONGEST


@pytest.mark.parametrize("args", [("github", TOKEN), ("github", "--token", TOKEN), ("github", f"--token={TOKEN}"),
                                  (TOKEN,), ("GitHub",), (), ("github", "--host", "https://api.github.com/")])
def test_usage_errors_and_tokens_on_the_command_line(token, args):
    done = token("set", *args)
    assert done.returncode == 2
    assert TOKEN not in done.text
    if len(args) > 1 and TOKEN in args[-1]:
        assert "history" in done.text
    assert not token.keyring.exists() and not token.key.exists()


def test_help_has_examples(token, program):
    for line in ([program, "--help"], [program, "set", "--help"]):
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0 and "Examples:" in done.stdout and done.stderr == ""
    assert subprocess.run([program, "unknown"], capture_output=True).returncode == 2


def test_an_empty_list_is_not_an_error(token):
    assert json.loads(token("list", "--json").stdout) == []
    assert not token.key.exists()


def test_terminal_shows_no_echo_and_takes_long_tokens(token):
    long = "t" * 9000  # more than a terminal's own line
    for name, value in (("github", TOKEN), ("long", long)):
        terminal = Terminal(token.program, "set", name, "--path", token.keyring, "--key-file", token.key)
        terminal.wait_for("not shown")
        assert not terminal.echoes()
        for at in range(0, len(value), 1000):
            terminal.type(value[at:at + 1000])
            time.sleep(0.01)
        terminal.type("oops\x7f\x7f\x7f\x7f\n")
        assert terminal.end() == 0, terminal.shown
        assert value[:16].encode() not in terminal.shown and b"oops" not in terminal.shown
        assert names(token)[name]["bytes"] == len(value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_echo_is_back_after_a_signal(token, number):
    terminal = Terminal(token.program, "set", "github", "--path", token.keyring, "--key-file", token.key)
    terminal.wait_for("not shown")
    terminal.type("half a tok")
    assert not terminal.echoes()
    os.kill(terminal.pid, number)
    _, status = os.waitpid(terminal.pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == number
    assert terminal.echoes()
    assert not token.keyring.exists()


def test_echo_stays_off_after_a_kill_so_the_test_above_can_fail(token):
    terminal = Terminal(token.program, "set", "github", "--path", token.keyring, "--key-file", token.key)
    terminal.wait_for("not shown")
    os.kill(terminal.pid, signal.SIGKILL)
    os.waitpid(terminal.pid, 0)
    assert not terminal.echoes()


def test_echo_is_back_while_stopped_and_off_again_after(token):
    line = f"{token.program} set github --path {token.keyring} --key-file {token.key}"
    terminal = Terminal("/bin/bash", "-c", f"set -m; {line}; echo now-stopped; sleep 1; fg >/dev/null; echo end=$?")
    terminal.wait_for("not shown")
    assert not terminal.echoes()
    terminal.type("half a tok\x1a")
    terminal.wait_for("now-stopped")
    assert terminal.echoes()
    terminal.shown = b""
    terminal.wait_for("not shown")
    assert not terminal.echoes()
    terminal.type(TOKEN + "\n")
    terminal.wait_for("end=0")
    terminal.end()
    assert TOKEN.encode() not in terminal.shown
    assert names(token)["github"]["bytes"] == len(TOKEN)


def passphrase_set(token, value, *answers):
    terminal = Terminal("/bin/sh", "-c", f"echo {value} | {token.program} set github --passphrase --path {token.keyring}")
    for question, answer in answers:
        terminal.wait_for(question)
        terminal.type(answer + "\n")
    return terminal.end(), terminal.shown.decode()


def test_passphrase_keyring_right_wrong_and_differing(token):
    status, shown = passphrase_set(token, TOKEN, ("new keyring", "correct horse"), ("again", "correct house"))
    assert status == 1 and "differ" in shown and not token.keyring.exists()
    status, shown = passphrase_set(token, TOKEN, ("new keyring", "correct horse"), ("again", "correct horse"))
    assert status == 0, shown
    assert "horse" not in shown
    before = token.keyring.read_bytes()
    status, shown = passphrase_set(token, OTHER, ("of the keyring", "wrong"))
    assert status == 1 and "the passphrase is wrong" in shown
    assert token.keyring.read_bytes() == before
    status, shown = passphrase_set(token, OTHER, ("of the keyring", "correct horse"))
    assert status == 0 and "replaced" in shown
    with_key_file = token("list")
    assert with_key_file.returncode == 1


def test_ask_passphrase_writes_to_descriptor_3(token, tmp_path):
    out = tmp_path / "said"
    terminal = Terminal("/bin/sh", "-c", f"{token.program} ask-passphrase 3>{out} </dev/null")
    terminal.wait_for("Passphrase")
    terminal.type("correct horse\n")
    assert terminal.end() == 0
    assert out.read_bytes() == b"correct horse"
    assert b"horse" not in terminal.shown


def test_wrong_or_missing_key_file(token, tmp_path):
    token("set", "github", stdin=TOKEN)
    wrong = tmp_path / "wrong.key"
    wrong.write_bytes(os.urandom(32))
    wrong.chmod(0o600)
    before = token.keyring.read_bytes()
    for command, args in (("list", ()), ("set", ("other",)), ("remove", ("github",))):
        done = token(command, *args, stdin=OTHER, key_file=wrong)
        assert done.returncode == 1 and "the key file is wrong" in done.text
        done = token(command, *args, stdin=OTHER, key_file=tmp_path / "none.key")
        assert done.returncode == 1 and "is missing" in done.text
    assert token.keyring.read_bytes() == before and not (tmp_path / "none.key").exists()


def test_credentials_directory_comes_before_the_key_file(token, tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "purser-keyring-key").write_bytes(os.urandom(32))
    (folder / "purser-keyring-key").chmod(0o440)
    env = {"CREDENTIALS_DIRECTORY": str(folder)}
    assert token("set", "github", stdin=TOKEN, env=env).returncode == 0
    assert not token.key.exists()
    assert token("list", env=env).returncode == 0
    assert token("list").returncode == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_what_others_can_read_is_refused(token, mode):
    token("set", "github", stdin=TOKEN)
    token.keyring.chmod(mode)
    for command, args in (("list", ()), ("set", ("github",))):
        done = token(command, *args, stdin=OTHER)
        assert done.returncode == 1 and "can be read by others" in done.text and str(token.keyring) in done.text
    token.keyring.chmod(0o600)
    token.key.chmod(mode)
    done = token("list")
    assert done.returncode == 1 and "key file can be read by others" in done.text
    token.key.chmod(0o600)
    assert list(names(token)) == ["github"]


def test_every_flipped_byte_and_every_cut_is_seen(token):
    token("set", "github", stdin=TOKEN)
    good = token.keyring.read_bytes()
    # Each byte of the file once; a fixed subset of cuts, since each is a process.
    for at in range(0, len(good), 3):
        token.keyring.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1:])
        done = token("set", "github", stdin=OTHER)
        assert done.returncode == 1 and "damaged" in done.text, (at, done.text)
    for cut in (0, 1, 16, 17, 18, 41, 42, 60, len(good) - 33, len(good) - 1):
        token.keyring.write_bytes(good[:cut])
        done = token("set", "github", stdin=OTHER)
        assert done.returncode == 1 and "damaged" in done.text, (cut, done.text)
        assert token.keyring.read_bytes() == good[:cut]
    token.keyring.write_bytes(good)
    assert list(names(token)) == ["github"]


def test_a_second_writer_is_told_who_holds_the_keyring(token):
    token("set", "github", stdin=TOKEN)
    before = token.keyring.read_bytes()
    with open(f"{token.keyring}.lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        done = token("set", "github", stdin=OTHER)
        assert done.returncode == 1 and f"process {os.getpid()}" in done.text
        assert token.keyring.read_bytes() == before
    assert token("set", "github", stdin=OTHER).returncode == 0


def test_writers_at_once_lose_nothing(token):
    line = [token.program, "set", "--path", token.keyring, "--key-file", token.key]
    running = [subprocess.Popen([*line, f"name{i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT) for i in range(8)]
    for process in running:
        process.stdin.write(TOKEN.encode())
        process.stdin.close()
    for process in running:
        assert process.wait(20) == 0, process.stdout.read()
        process.stdout.close()
    assert sorted(names(token)) == [f"name{i}" for i in range(8)]


def test_nothing_is_dumped_and_nobody_may_look(token):
    terminal = Terminal(token.program, "set", "github", "--path", token.keyring, "--key-file", token.key)
    terminal.wait_for("not shown")
    limits = Path(f"/proc/{terminal.pid}/limits").read_text()
    assert [line for line in limits.splitlines() if line.startswith("Max core")][0].split()[4:6] == ["0", "0"]
    locked = [line for line in Path(f"/proc/{terminal.pid}/status").read_text().splitlines() if "VmLck" in line][0]
    assert int(locked.split()[1]) >= 160
    if os.geteuid() != 0:
        assert os.stat(f"/proc/{terminal.pid}/mem").st_uid == 0  # not dumpable
    terminal.type("\x03")
    terminal.end()
