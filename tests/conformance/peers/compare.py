#!/usr/bin/env python3
"""The suite `http-cache-tests` against other caches and Seawall, one after the other on this machine.

Every cache runs in the foreground on a free port of the loopback with what it needs in a temporary folder; nothing of
the machine's own configuration is touched. A test counts as passed as it does in the suite: one whose preparation
failed, or that builds on a test that failed, has not passed. With --write the tables go into docs/conformance.md,
between its marks.
"""

import argparse
import contextlib
import datetime
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers import HERE, PEERS, said

ROOT = HERE.parents[2]
SUITE = HERE.parent / "http-cache-tests"
PAGE = ROOT / "docs/conformance.md"
KINDS = ("required", "optimal")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port, process, what):
    """Until something listens."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{what} does not listen")


@contextlib.contextmanager
def running(command, port, what, log, **more):
    """A program in a process group of its own, which ends with the block."""
    with open(log, "ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **more
        )
    try:
        wait_for(port, process, what)
        yield
    except RuntimeError as error:
        raise RuntimeError(f"{error}:\n{Path(log).read_text(errors='replace')[-2000:]}") from None
    finally:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, kind)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)


class Suite:
    """The suite: npm's, or a checkout of its repository."""

    def __init__(self, target, checkout):
        home = target / "http-cache-tests"
        if not (home / "installed").is_file():
            sys.exit("the suite is missing: run `make setup-test`")
        self.node = next(str(node) for node in sorted(home.glob("node_modules/node-linux-*/bin/node")))
        self.name = "checkout" if checkout else "npm"
        self.folder = checkout.resolve() if checkout else home / "node_modules/http-cache-tests"
        self.server = "test-engine/server/server.mjs" if checkout else "server/server.mjs"

    def origin(self, port, folder):
        settings = {"protocol": "http", "port": str(port), "pidfile": str(folder / "pid")}
        environment = {**os.environ, **{f"npm_config_{key}": value for key, value in settings.items()}}
        command = [self.node, "--import", SUITE / "loopback.mjs", self.server]
        return running(command, port, "the origin", folder / "origin.log", cwd=self.folder, env=environment)

    def run(self, port):
        command = [self.node, "--no-warnings", SUITE / "run.mjs", "--suite", self.folder]
        done = subprocess.run(
            [*command, "--base", f"http://127.0.0.1:{port}"],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=900, check=True,
        )
        return json.loads(done.stdout)


class Seawall:
    """Seawall among the others, with the configuration of its own test."""

    name = "Seawall"

    def __init__(self, binary):
        self.binary = Path(binary).resolve()

    def path(self):
        return str(self.binary) if self.binary.is_file() else None

    def version(self):
        commit = said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD").strip()
        return f"{said(self.path(), '--version').split()[-1]} ({commit})"

    def command(self, folder, port, origin):
        text = (SUITE / "seawall.yaml").read_text()
        text = text.replace("%{port}", str(port)).replace("%{origin}", f"127.0.0.1:{origin}")
        (folder / "seawall.yaml").write_text(text)
        return [self.path(), "run", str(folder / "seawall.yaml")]


def measure(peer, suite):
    """One cache's result."""
    with tempfile.TemporaryDirectory(prefix="cache-tests-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "peer").mkdir()
        (folder / "peer").chmod(0o777)
        origin, port = free_port(), free_port()
        with suite.origin(origin, folder):
            command = peer.command(folder / "peer", port, origin)
            with running(command, port, peer.name, folder / "peer.log", cwd=folder / "peer"):
                return suite.run(port)


def score(report, kind, group=None):
    """`passed/all` of a kind, of one group of tests or of all; a dash where there are none."""
    tests = [t for t in report["tests"] if t["kind"] == kind and group in (None, t["suite"])]
    return f"{sum(t['result'] == 'pass' for t in tests)}/{len(tests)}" if tests else "–"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def tables(results):
    """The comparison as Markdown."""
    any_report = next(iter(results.values()))[1]
    out = [row(["cache", "version", *KINDS]), row(["---", "---", "---:", "---:"])]
    for name, (version, report) in results.items():
        out.append(row([name, version, *(score(report, kind) for kind in KINDS)]))
    out += ["", "By group of tests, required and optimal:", ""]
    out += [row(["group", *results]), row(["---", *("---:" for _ in results)])]
    for group in any_report["suites"]:
        cells = [[score(report, kind, group["id"]) for kind in KINDS] for _, report in results.values()]
        if any(cell != ["–", "–"] for cell in cells):
            out.append(row([group["name"], *(" ".join(cell) for cell in cells)]))
    today = datetime.date.today().isoformat()
    return "\n".join([f"Measured on {today}.", "", *out]) + "\n"


def write(text, name):
    """Puts the tables of a suite between its marks on the page."""
    begin, end = f"<!-- comparison: {name} -->\n", f"<!-- end of the comparison: {name} -->\n"
    page = PAGE.read_text()
    if begin not in page or end not in page:
        sys.exit(f"{PAGE} has no place for the tables of {name}")
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    PAGE.write_text(f"{head}{begin}{text}{end}{tail}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seawall", default=ROOT / "target/debug/seawall", help="the binary")
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="where the suite is installed")
    parser.add_argument("--checkout", type=Path, help="the suite as its repository has it, with its npm packages")
    parser.add_argument("--only", nargs="*", default=[], help="names of caches")
    parser.add_argument("--raw", type=Path, help="a folder for the full result of each cache")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/conformance.md")
    options = parser.parse_args()
    suite = Suite(options.target.resolve(), options.checkout)
    results = {}
    for peer in [Seawall(options.seawall), *PEERS]:
        if options.only and peer.name not in options.only:
            continue
        if peer.path() is None:
            sys.exit(f"{peer.name} is missing: run `deploy/setup.sh peers`, and `cargo build --workspace --bin seawall` for Seawall")
        report = measure(peer, suite)
        results[peer.name] = (peer.version(), report)
        print(peer.name, peer.version(), *(f"{kind} {score(report, kind)}" for kind in KINDS), flush=True)
        if options.raw:
            options.raw.mkdir(parents=True, exist_ok=True)
            (options.raw / f"{peer.name}.json").write_text(json.dumps(report, indent=1))
    text = tables(results)
    print("\n" + text)
    if options.write:
        write(text, suite.name)


if __name__ == "__main__":
    main()
