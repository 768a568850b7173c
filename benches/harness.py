"""What the benches share: processes pinned to a core, their CPU time, nginx, wrk, and tables of medians.

Everything runs on loopback, in a folder of its own that goes away, with every process ended on the way out.
"""

import atexit
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 30
PR_SET_PDEATHSIG = 1
# exit code of a replay that doubts its own figures, and what such runs said
DEGRADED, troubles = 111, []
# an nginx that answers 13 bytes, and tells its count at /status
HELLO = """
    server {
        listen 127.0.0.1:PORT backlog=8192;
        location / { return 200 "Hello, world!"; }
        location = /status { stub_status; }
    }"""


@dataclass
class Used:
    """A program that has ended: exit code, CPU and wall-clock seconds, peak memory in MB, words."""

    code: int
    cpu: float
    wall: float
    memory: float
    said: str


class Bench:
    """One run of a bench: two cores, a folder, and the processes started in it."""

    def __init__(self, tools):
        missing = [f"{tool} (apt-get install {package})" for tool, package in tools.items() if not shutil.which(tool)]
        if missing:
            sys.exit("missing: " + ", ".join(missing))
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            sys.exit("two cores are needed: one for what is measured, one for the rest")
        # what is measured has a core of its own; load, origin and this script share the other
        self.measured_core, self.other_core = cores[0], cores[1]
        self.both_cores = {self.measured_core, self.other_core}
        os.sched_setaffinity(0, {self.other_core})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.folder = Path(tempfile.mkdtemp(prefix="squall-bench-"))
        self.processes = []
        atexit.register(self.end)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit("stopped"))

    def build(self):
        """Builds in release mode; returns the folder of the binaries. $SQUALL_BIN_DIR names one that is ready."""
        ready = os.environ.get("SQUALL_BIN_DIR")
        return Path(ready).resolve() if ready else self.cargo()

    def build_example(self, name, package="replayer"):
        """A program of the package's `examples`, built in release mode."""
        ready = Path(os.environ.get("SQUALL_BIN_DIR", "/nowhere")) / "examples" / name
        return ready if ready.exists() else self.cargo("-p", package, "--example", name) / "examples" / name

    def cargo(self, *what):
        # every core may build
        anywhere = lambda: os.sched_setaffinity(0, self.both_cores)
        subprocess.run(["cargo", "build", "--release", "--quiet", *what], cwd=ROOT, check=True, preexec_fn=anywhere)
        told = subprocess.run(
            ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT, check=True, capture_output=True
        )
        return Path(json.loads(told.stdout)["target_directory"]) / "release"

    def start(self, arguments, core, name):
        """Starts a process on a core, or on any of a set of them; what it says goes to a file."""
        said = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: dies_with_parent(core),
        )
        process.log = self.folder / f"{name}.log"
        self.processes.append(process)
        return process

    def nginx(self, name, core, http):
        """Starts an nginx of one process with this `http` block; returns it and its port."""
        port = free_port()
        folder = self.folder / name
        folder.mkdir()
        temporary = "\n".join(
            f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(f"""
daemon off;
master_process off;
worker_processes 1;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 40000; }}
http {{
{temporary}
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
{http.replace("PORT", str(port))}
}}
""")
        process = self.start(["nginx", "-c", folder / "nginx.conf", "-p", folder], core, name)
        wait_until(lambda: connects(port), process, "it listens")
        return process, port

    def state(self):
        """Every process, whether it lives, and its last words: for a run that went wrong."""
        words = lambda process: process.log.read_text()[-2000:].strip()
        alive = lambda process: "runs" if process.poll() is None else f"ended with {process.returncode}"
        return "\n".join(f"--- {process.log.stem} {alive(process)}:\n{words(process)}" for process in self.processes)

    def end_process(self, name):
        """Ends the process of that name, so that all it wrote is on the disk."""
        for process in [process for process in self.processes if process.log.stem == name]:
            process.terminate()
            process.wait()

    def end(self):
        for process in self.processes:
            process.terminate()
        deadline = time.monotonic() + 5
        for process in self.processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def dies_with_parent(core):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.sched_setaffinity(0, core if isinstance(core, set) else {core})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connects(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_so, process, what):
    deadline = time.monotonic() + READY_SECONDS
    while not is_so():
        if process.poll() is not None or deadline < time.monotonic():
            sys.exit(f"{process.args[0]} ended or hung before {what}:\n{process.log.read_text()}")
        time.sleep(0.02)


def line(process, pattern):
    """The first group of `pattern` in what the process says, once it says it."""
    wait_until(lambda: re.search(pattern, process.log.read_text()), process, pattern)
    return re.search(pattern, process.log.read_text()).group(1)


def cpu_seconds(pid):
    """User and system time of all threads of a process, living and ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def loopback_only(url):
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        sys.exit(f"{url} is not loopback; a bench loads nothing else")
    return url


def fetch(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(loopback_only(url), timeout=30) as answer:
        return answer.read()


class Counter:
    """Requests that an nginx with `stub_status` on /status has had, without those for this count."""

    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}"
        self.asked = 0

    def served(self):
        return self.told()[2] - self.asked

    def accepted(self):
        """Connections that it has accepted, without those for this count."""
        return self.told()[0] - self.asked

    def active(self):
        """Connections that are open now, that of this question too."""
        self.asked += 1
        return int(fetch(f"{self.base}/status").decode().splitlines()[0].split()[-1])

    def told(self):
        self.asked += 1
        return [int(number) for number in fetch(f"{self.base}/status").decode().splitlines()[2].split()]

    def settled(self):
        """The same once it stands still: what a load left under way when it ended has arrived."""
        before, deadline = self.served(), time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.05)
            now = self.served()
            if now == before:
                return now
            before = now
        sys.exit("the origin is loaded by something else")


def run_measured(bench, arguments, core, name, watch=None):
    """Runs a program to its end on a core; returns how it ended and what it used.

    `watch` is called with its process and the seconds that it has run, every 20 ms: it may look, and send signals.
    """
    began = time.monotonic()
    process = bench.start(arguments, core, name)
    gone = 0
    while watch and not gone:
        watch(process, time.monotonic() - began)
        time.sleep(0.02)
        gone, status, used = os.wait4(process.pid, os.WNOHANG)
    if not gone:
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    bench.processes.remove(process)
    return Used(
        code=process.returncode,
        cpu=used.ru_utime + used.ru_stime,
        wall=time.monotonic() - began,
        memory=used.ru_maxrss / 1024,
        said=process.log.read_text(),
    )


def wrk(bench, url, connections, seconds, core, script=None):
    """A run of wrk: how many requests it made, and what it used. Any error ends the bench."""
    scripted = ["-s", script] if script else []
    arguments = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *scripted, loopback_only(url)]
    used = run_measured(bench, arguments, core, "wrk")
    told = re.search(r"(\d+) requests in [\d.]+s", used.said)
    if used.code != 0 or told is None or "Socket errors" in used.said or "Non-2xx" in used.said:
        sys.exit(f"wrk is not content:\n{used.said}\n{bench.state()}")
    return int(told.group(1)), used


def resident(pid, what="VmRSS"):
    """Bytes of memory that a process has now, as its status names them; 0 once it has ended."""
    try:
        told = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(told.group(1)) * 1024 if told else 0


class Memory:
    """Memory of a process over time, to be handed to `run_measured` as `watch`."""

    def __init__(self, every=0.25, what="VmRSS"):
        self.every, self.what, self.samples = every, what, []

    def __call__(self, process, seconds):
        if not self.samples or self.samples[-1][0] + self.every <= seconds:
            now = resident(process.pid, self.what)
            if now:
                self.samples.append((seconds, now))

    def peak(self, since=0.0):
        return max((size for at, size in self.samples if since <= at), default=0)


def replay(bench, binaries, arguments, watch=None, code=0):
    """A run of `replay` on the measured core, which must end with this code; returns its run.json and what it used.

    A generator that calls itself degraded leaves its figures to be read, and `judge` has that to say of them.
    """
    told = bench.folder / "run.json"
    told.unlink(missing_ok=True)
    arguments = [binaries / "replay", "--quiet", "--json", told, *arguments]
    used = run_measured(bench, arguments, bench.measured_core, "replay", watch)
    reason = json.loads(told.read_text())["reason"] if told.exists() and told.stat().st_size else "no report"
    if used.code == DEGRADED != code:
        troubles.append(reason)
    else:
        check(used.code == code, f"replay ended with {used.code}, {reason}:\n{used.said}")
    return json.loads(told.read_text()), used


def whole(run):
    """Ends the bench unless all that was sent was answered, as recorded, and the books balance."""
    requests, off = run["requests"], [row for row in run["books"]["rows"] if row["state"] == "off"]
    check(run["books"]["balanced"] and not off, off)
    check(0 < requests["answered"] == requests["sent"] and not requests["mismatched"], requests)
    check(not any(requests["failed"].values()), requests["failed"])
    check(set(requests["status"]) == {"200"}, requests["status"])


def check(is_so, words):
    if not is_so:
        sys.exit(f"not a fair run: {words}")


def judge(rows):
    """Prints figures beside what they are to reach, each as (figure, measured, target, reached); ends with 1 on a miss."""
    rows = [*rows, *(("generator", trouble, "not degraded", False) for trouble in troubles)]
    words = lambda reached: {True: "reached", False: "MISSED", None: "-"}[reached]
    table(["figure", "measured", "target", ""], [[*row[:3], words(row[3])] for row in rows])
    sys.exit(any(row[3] is False for row in rows))


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(head, rows):
    """Prints rows in columns as wide as they need."""
    widths = [max(len(str(row[at])) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())


def machine():
    """What the figures were made on."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    asked = [["nginx", "-v"], ["wrk", "-v"], ["h2load", "--version"]]
    versions = [subprocess.run(words, capture_output=True, text=True) for words in asked if shutil.which(words[0])]
    names = [(told.stderr + told.stdout).splitlines()[0].split(" Copyright")[0].strip() for told in versions]
    load = os.getloadavg()[0]
    busy = f"; BUSY: load {load:.1f} before the first run" if 0.7 < load else ""
    return f"{model.group(1) if model else 'unknown CPU'}, {os.cpu_count()} cores; {'; '.join(names)}{busy}"
