"""A `purser schedule` of a laboratory: what it says, and a run that it has missed."""

import datetime
import signal
import sqlite3
import time

PATIENCE = 30


def push_back(lab, hours=3):
    with sqlite3.connect(lab.state / "sink/purser.db") as connection:
        (until,) = connection.execute("SELECT until_at FROM stream_state").fetchone()
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=hours)
        assert len(until) >= 19
        connection.execute("UPDATE stream_state SET until_at = ?", (past.strftime("%Y-%m-%dT%H:%M:%S.000Z"),))


class Scheduled:
    def __init__(self, lab, *args):
        self.file = open(lab.folder / "schedule.err", "wb")
        self.process = lab.start("schedule", *args, stderr=self.file)
        self.lab = lab

    @property
    def err(self):
        return (self.lab.folder / "schedule.err").read_text(errors="replace")

    def wait_for(self, text, times=1, patience=PATIENCE):
        until = time.monotonic() + patience
        while self.err.count(text) < times:
            assert time.monotonic() < until and self.process.poll() is None, self.err
            time.sleep(0.02)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)
