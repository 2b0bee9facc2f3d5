"""Shared by the scripts that start many runs: interruptible commands, and names of folders."""
import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Stopped(Exception):
    """A signal came: running commands save and end."""


class TookTooLong(Exception):
    """A command was interrupted because its time ran out."""


class Runner:
    """Runs commands, from one or several threads, and passes an interrupt on to all of them."""

    def __init__(self, threads=1):
        self.stopping = False
        # Waiting threads sleep unless the user's settings differ: on a busy machine, spinning threads cost minutes.
        self.environment = {"OMP_WAIT_POLICY": "passive"} | os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.processes = set()
        self.lock = threading.RLock()  # the handler may interrupt the thread that holds it

    def catch_signals(self):
        signal.signal(signal.SIGINT, self.stop)
        signal.signal(signal.SIGTERM, self.stop)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it
            signal.signal(signal.SIGHUP, self.stop)

    def stop(self, *_):
        self.stopping = True
        with self.lock:
            for process in self.processes:
                process.send_signal(signal.SIGINT)

    def run(self, command, log, allowed=(0,), seconds=None):
        """Runs a command and returns its exit status, one of `allowed`; raises an error for any other. Appends the
        command and its output to `log`. After `seconds` it interrupts the command, as the user would."""
        if self.stopping:
            raise Stopped
        with open(log, "a", encoding="utf-8") as out:
            print("$", shlex.join(map(str, command)), file=out, flush=True)
            # Its own session, so that the terminal's interrupt reaches it only through `stop`.
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                                       env=self.environment)
            be_as_nice(process.pid)
            with self.lock:
                self.processes.add(process)
                if self.stopping:  # set after the check above
                    process.send_signal(signal.SIGINT)
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                process.wait()
                raise TookTooLong(f"{command[0]}: interrupted after {seconds:.0f} s; see {log}") from None
            finally:
                with self.lock:
                    self.processes.discard(process)
        if self.stopping:
            raise Stopped
        if status not in allowed:
            raise RuntimeError(f"{last_line(log)} (exit {status}; see {log})")
        return status


def be_as_nice(pid):
    """Gives the process's session our niceness: Linux may share the processor among sessions before niceness counts."""
    with contextlib.suppress(OSError):  # not supported here, or the process is gone
        pathlib.Path(f"/proc/{pid}/autogroup").write_text(str(os.nice(0)), encoding="ascii")


def last_line(log):
    said = pathlib.Path(log).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return said[-1] if said else ""


def slug(name):
    return "_".join(re.findall("[a-z0-9]+", name.lower()))
