#!/usr/bin/env python3
"""CPU per request of Seawall beside nginx, HAProxy and Varnish, in one run on one machine.

Every server gets one worker thread on one core; the origin (an nginx) and the load generator (h2load) share
the other core. Rounds are interleaved, so that a slow minute hits all servers alike. What is measured is the
user and system time of the server's processes (cpu.py), divided by the requests that h2load counted as
succeeded. The origin's own request counter proves that a "hit" never reached it and a "pass" or "miss" always
did: a case that did not do what it claims fails the run. "pass" is asked of a path for which no server has a cache (nginx
would let one request at a time go to the origin there, which waits for timers, and Seawall and Varnish would not). nginx
runs without tcp_nopush: with it the last packet of a response waits for the acknowledgement of the one before it, which
h2load's side delays by 40 ms. A "miss" asks for another path each time, over one
connection, and stores what comes; the memory of a server after all of them is in the last line.

More Seawalls can take part, to compare builds: --seawall target/release/seawall --seawall old=/tmp/seawall.

Traffic stays on 127.0.0.1 and is bounded by --requests and --rounds.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from cpu import CpuClock
from scratch import scratch

CASES = {
    "hit-1KiB": ("/cached/1k", "hit"),
    "hit-100KiB": ("/cached/100k", "hit"),
    "pass-1KiB": ("/passed/1k", "pass"),
    "miss-1KiB": ("/missed/", "miss"),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def origin_conf(port, folder):
    return f"""
daemon off; worker_processes 1; error_log {folder}/origin.err; pid {folder}/origin.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; root {folder}/www; default_type text/plain;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /status {{ stub_status; }}
    location /cached/ {{ add_header Cache-Control "public, max-age=3600"; }}
    location /passed/ {{ add_header Cache-Control "no-store"; }}
    location /missed/ {{ rewrite ^ /cached/1k break; add_header Cache-Control "public, max-age=3600"; }}
  }}
}}
"""


def nginx_conf(port, origin, folder):
    return f"""
daemon off; worker_processes 1; error_log {folder}/nginx.err; pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 1h;
  proxy_temp_path {folder}/nginx-tmp;
  proxy_cache_path {folder}/nginx-cache keys_zone=main:16m max_size=256m inactive=1h use_temp_path=off;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_cache main; proxy_cache_lock on; add_header X-Cache $upstream_cache_status;
    }}
    location /passed/ {{ proxy_pass http://origin; }}
  }}
}}
"""


def haproxy_conf(port, origin, folder):
    return f"""
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout client 1h
  timeout server 1h
  timeout connect 5s
  timeout http-keep-alive 1h
  option forwardfor
cache main
  total-max-size 256
  max-object-size 1000000
  max-age 3600
frontend fe
  bind 127.0.0.1:{port} backlog 4096
  http-request cache-use main unless {{ path_beg /passed/ }}
  http-response cache-store main
  default_backend be
backend be
  http-reuse always
  server s1 127.0.0.1:{origin} maxconn 512
"""


def varnish_vcl(port, origin, folder):
    return f"""
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_recv {{ if (req.url ~ "^/passed/") {{ return (pass); }} }}
"""


def seawall_conf(port, origin, folder):
    return f"""
listeners: [{{ address: "127.0.0.1:{port}" }}]
server: {{ threads: 1 }}
access_log: {{ format: "off" }}
limits: {{ keepalive_requests: 1000000000 }}
cache: {{ memory: 256MiB }}
upstreams:
  origin: {{ servers: ["127.0.0.1:{origin}"] }}
sites:
  - hosts: localhost
    default: true
    routes:
      - {{ path: /passed/, upstream: origin }}
      - {{ path: /, upstream: origin, cache: on }}
"""


class Server:
    def __init__(self, name, argv, port, core):
        self.name, self.port, self.clock = name, port, CpuClock()
        # No pipe: nobody reads it while the server runs, and a full one would stop it.
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *argv],
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,
        )
        deadline = time.time() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.time() > deadline:
                    self.process.kill()
                    self.errors.seek(0)
                    sys.exit(f"{name} did not start: {self.errors.read().decode()[-2000:]}")
                time.sleep(0.05)

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as f:
                        found += [int(child) for child in f.read().split()]
            except OSError:
                pass
        return found

    def cpu(self):
        return self.clock.seconds(self.pids())

    def rss(self):
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/status") as f:
                total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        return total / 1024

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def fetch(port, path):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()


def origin_count(port):
    return int(re.search(r"\n\s*\d+\s+\d+\s+(\d+)", fetch(port, "/status").decode()).group(1))


def load(port, path, requests, connections, core, paths=None):
    argv = ["taskset", "-c", str(core), "h2load", "--h1", "-n", str(requests), "-c", str(connections), "-t", "1"]
    if paths:
        # Each client of h2load walks through all of them, so one client makes each a miss.
        argv[argv.index("-c", 3) + 1] = "1"
        argv += ["-i", "-"]
        paths = "".join(f"http://127.0.0.1:{port}{path}\n" for path in paths)
    else:
        argv.append(f"http://127.0.0.1:{port}{path}")
    out = subprocess.run(argv, input=paths, capture_output=True, text=True, timeout=600).stdout
    good = int(re.search(r"(\d+) succeeded", out).group(1))
    ok = int(re.search(r"status codes: (\d+) 2xx", out).group(1))
    rate = float(re.search(r"([\d.]+) req/s", out).group(1))
    if ok != requests:
        sys.exit(f"h2load: {ok} of {requests} requests answered with 2xx\n{out}")
    return good, rate


def version(argv):
    try:
        got = subprocess.run(argv, capture_output=True, text=True)
        return (got.stdout + got.stderr).strip().splitlines()[0]
    except (OSError, IndexError):
        return "?"


def builds(given, unnamed):
    """The binaries by name, of arguments of the form BINARY or NAME=BINARY."""
    named = (one.split("=", 1) if "=" in one else (unnamed, one) for one in given)
    return {name: os.path.abspath(binary) for name, binary in named}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seawall", required=True, action="append", help="the release binary; or NAME=BINARY, again and again")
    parser.add_argument("--requests", type=int, default=60_000, help="per case, server and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--only", help="comma-separated servers")
    args = parser.parse_args()
    seawalls = builds(args.seawall, "seawall")
    for tool in ("h2load", "nginx", "haproxy", "varnishd", "taskset"):
        if not shutil.which(tool) and not os.path.exists(f"/usr/sbin/{tool}"):
            sys.exit(f"{tool} is missing: run `make bench`, which installs it")
    os.environ["PATH"] += ":/usr/sbin"

    with scratch("bench") as (folder, servers):
        for kind in ("cached", "passed"):
            os.makedirs(f"{folder}/www/{kind}")
            for name, size in (("1k", 1024), ("100k", 102400)):
                with open(f"{folder}/www/{kind}/{name}", "wb") as f:
                    f.write((b"0123456789abcdef" * (size // 16))[:size])
        origin_port = free_port()

        def write(name, text):
            path = f"{folder}/{name}"
            with open(path, "w") as f:
                f.write(text)
            return path

        origin = Server("origin", ["nginx", "-p", folder, "-c", write("origin.conf", origin_conf(origin_port, folder))], origin_port, 1)
        servers.append(origin)
        tested = []
        wanted = args.only.split(",") if args.only else [*seawalls, "nginx", "haproxy", "varnish"]
        contestants = [
            (name, seawall_conf, lambda path, _, binary=binary: [binary, "run", path]) for name, binary in seawalls.items()
        ]
        contestants += [
            ("nginx", nginx_conf, lambda path, _: ["nginx", "-p", folder, "-c", path]),
            ("haproxy", haproxy_conf, lambda path, _: ["haproxy", "-f", path]),
            ("varnish", varnish_vcl, lambda path, port: [
                "varnishd", "-F", "-a", f"127.0.0.1:{port}", "-f", path, "-s", "malloc,256m", "-n", f"{folder}/varnish",
                "-T", "none", "-p", "thread_pools=1", "-p", "default_grace=0", "-j", "none"]),
        ]
        for name, conf, argv in contestants:
            if name not in wanted:
                continue
            port = free_port()
            path = write(f"{name}.conf", conf(port, origin_port, folder))
            server = Server(name, argv(path, port), port, 0)
            servers.append(server)
            tested.append(server)

        time.sleep(1)
        idle = {s.name: round(s.rss(), 1) for s in tested}
        cpu = {(case, s.name): [] for case in CASES for s in tested}
        rates = {(case, s.name): [] for case in CASES for s in tested}
        for round_number in range(args.rounds):
            for case, (path, kind) in CASES.items():
                requests = args.requests // (4 if "100" in case or kind == "miss" else 1)
                for server in tested:
                    paths = None
                    if kind == "miss":
                        paths = [f"{path}{round_number}/{number}" for number in range(requests)]
                        load(server.port, path, 1000, 1, 1, [f"{path}warm/{round_number}/{number}" for number in range(1000)])
                    else:
                        load(server.port, path, 1000, args.connections, 1)  # warm: caches, connections, code
                    before_origin, before = origin_count(origin_port), server.cpu()
                    good, rate = load(server.port, path, requests, args.connections, 1, paths)
                    spent, asked = server.cpu() - before, origin_count(origin_port) - before_origin
                    if kind == "hit" and asked > 5:
                        sys.exit(f"{server.name} {case}: {asked} requests reached the origin; that was no hit")
                    if kind != "hit" and asked < good:
                        sys.exit(f"{server.name} {case}: only {asked} of {good} requests reached the origin")
                    cpu[case, server.name].append(spent / good * 1e6)
                    rates[case, server.name].append(rate)
                    print(f"\rround {round_number + 1}/{args.rounds} {case} {server.name}: "
                          f"{cpu[case, server.name][-1]:.1f} us/request      ", end="", file=sys.stderr)
        print(file=sys.stderr)

        print("versions:", "; ".join([*(version([binary, "--version"]) for binary in seawalls.values()),
                                       version(["nginx", "-v"]), version(["haproxy", "-v"]), version(["varnishd", "-V"])]))
        print(f"{args.rounds} rounds of {args.requests} requests, {args.connections} keep-alive connections, HTTP/1.1, one worker on one core")
        print()
        print("| case | server | CPU per request, median (min-max) | to nginx | requests/s, median |")
        print("|---|---|---|---|---|")
        result = {"idle_rss_mib": idle, "cases": {}}
        for case in CASES:
            base = statistics.median(cpu[case, "nginx"]) if (case, "nginx") in cpu else None
            for server in tested:
                values = cpu[case, server.name]
                median = statistics.median(values)
                ratio = f"{median / base:.2f}" if base else "-"
                rate = statistics.median(rates[case, server.name])
                print(f"| {case} | {server.name} | {median:.1f} us ({min(values):.1f}-{max(values):.1f}) | {ratio} | {rate:,.0f} |")
                result["cases"].setdefault(case, {})[server.name] = {"cpu_us": values, "requests_per_second": rate}
        print()
        print("idle RSS in MiB:", ", ".join(f"{name} {value}" for name, value in idle.items()))
        loaded = {s.name: round(s.rss(), 1) for s in tested}
        print("RSS after all of it in MiB:", ", ".join(f"{name} {value}" for name, value in loaded.items()))
        if args.json:
            with open(args.json, "w") as f:
                json.dump(result, f, indent=1)


if __name__ == "__main__":
    main()
