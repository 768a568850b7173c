"""Captures made for a bench: exchanges are written as NDJSON, with times to the microsecond, and imported.

What a bench wants recorded it says itself, so that the capture is the same on every machine.
"""

import json
import subprocess

import harness

SECOND = 1_000_000
# a moment in 2026, as good as any
EPOCH_US = 1_773_273_600 * SECOND


def exchange(session, at_us, target, **more):
    """One answered request of a session, at a time from the start of the recording."""
    return {
        "session": f"{session:x}",
        "connection": None,
        "edge": "default",
        "start_us": EPOCH_US + at_us,
        "protocol": "HTTP/1.1",
        "method": "GET",
        "scheme": "http",
        "authority": "bench.test",
        "target": target,
        "status": 200,
        "ttfb_us": 200,
        "duration_us": 250,
        "faults": [],
        "notes": [],
        "request_headers": fields(("user-agent", "bench"), ("accept", "*/*")),
        "request_bytes": 0,
        "request_body_exact": {"len": 0, "recorded": True},
        "response_headers": [],
        "response_bytes": 0,
        "response_body_exact": {"len": 0, "recorded": True},
        **more,
    }


def fields(*pairs):
    return [{"name": name, "value": value} for name, value in pairs]


def event_stream(session, at_us, target, seconds):
    """A stream of events that stayed open for so long."""
    more = {"ttfb_us": 1000, "duration_us": seconds * SECOND, "notes": ["stream"], "protocol": "HTTP/2"}
    kind = fields(("content-type", "text/event-stream"))
    return exchange(session, at_us, target, response_headers=kind, **more)


def visits(sessions, steps):
    """Sessions that begin a tenth of a second apart and ask for a page a second."""
    return [
        exchange(session, session * SECOND // 10 + step * SECOND, f"/items/{step}?page={session % 7}")
        for session in range(1, sessions + 1)
        for step in range(steps)
    ]


def make(bench, binaries, exchanges, name="capture"):
    """The capture of these exchanges."""
    lines = bench.folder / f"{name}.ndjson"
    with lines.open("w") as out:
        for one in sorted(exchanges, key=lambda one: one["start_us"]):
            out.write(json.dumps(one) + "\n")
    return imported(bench, binaries, lines, "ndjson")


def imported(bench, binaries, source, kind):
    """The capture of a file, which goes; nothing in it may be damaged."""
    capture = source.with_suffix(".zst")
    arguments = [binaries / "squall", "captures", "import", "--format", kind, source, "-o", capture]
    told = subprocess.run(arguments, capture_output=True, text=True)
    said = told.stdout + told.stderr
    harness.check(told.returncode == 0 and "damaged" not in said, f"{source.name} was not imported:\n{said}")
    source.unlink()
    return capture
