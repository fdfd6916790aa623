#!/usr/bin/env python3
"""Hits from disk: Seawall's disk tier beside nginx's proxy_cache on the same disk, in one run.

Both hold many objects and are asked for them in turn, so that Seawall's memory (4 MiB here) never has the next one. Warm:
the page cache has everything. Cold: it was emptied first (as root; left out otherwise). nginx runs with sendfile off and on.
CPU is user and system time of the server's processes for each request; the latency is wrk's, over 16 connections. A hit that
reached the origin fails the run. Then both are killed and started again: how long until the first hit from disk.

    python3 benchmarks/disk.py --seawall target/release/seawall [--folder /a/folder/on/the/disk]
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from bench import Server, free_port, origin_conf, origin_count

SIZES = {"1KiB": (1 << 10, 4000), "32KiB": (32 << 10, 1000), "1MiB": (1 << 20, 100)}


def nginx_conf(port, origin, folder, name, sendfile):
    return f"""
daemon off; worker_processes 1; error_log {folder}/{name}.err; pid {folder}/{name}.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile {sendfile}; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 1h;
  proxy_temp_path {folder}/{name}-tmp;
  proxy_cache_path {folder}/{name}-cache levels=1:2 keys_zone=main:64m max_size=4g inactive=1h use_temp_path=off;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_cache main;
    }}
  }}
}}
"""


def seawall_conf(port, origin, folder):
    return f"""
listeners: [{{ address: "127.0.0.1:{port}" }}]
server: {{ threads: 1 }}
access_log: {{ format: "off" }}
limits: {{ keepalive_requests: 1000000000 }}
cache:
  memory: 4MiB
  memory_object: 64KiB
  disk: {{ path: {folder}/seawall-cache, size: 4GiB }}
upstreams:
  origin: {{ servers: ["127.0.0.1:{origin}"] }}
sites:
  - hosts: localhost
    default: true
    routes: [{{ path: /, upstream: origin, cache: on }}]
"""


def targets(size, count):
    return [f"/cached/{size}?n={number}" for number in range(count)]


def walk(port, paths, requests):
    """Every path in turn over one connection."""
    urls = "".join(f"http://127.0.0.1:{port}{path}\n" for path in paths)
    out = subprocess.run(["taskset", "-c", "1", "h2load", "--h1", "-n", str(requests), "-c", "1", "-t", "1", "-i", "-"],
                         input=urls, capture_output=True, text=True, timeout=600).stdout
    good = int(re.search(r"status codes: (\d+) 2xx", out).group(1))
    if good != requests:
        sys.exit(f"{good} of {requests} requests answered with 2xx\n{out}")


def latency(port, size, count, folder):
    """Median and p99 in milliseconds, over 16 connections that each walk from another place."""
    script = f"{folder}/walk.lua"
    with open(script, "w") as f:
        f.write(f"""
local n = math.random({count})
request = function() n = (n + 1) % {count}; return wrk.format("GET", "/cached/{size}?n=" .. n) end
done = function(summary, latency) io.write(string.format("p50 %d p99 %d errors %d\\n", latency:percentile(50),
  latency:percentile(99), summary.errors.status + summary.errors.read + summary.errors.timeout)) end
""")
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t", "1", "-c", "16", "-d", "3s", "-s", script, f"http://127.0.0.1:{port}"],
                         capture_output=True, text=True, timeout=60).stdout
    median, p99, errors = map(int, re.search(r"p50 (\d+) p99 (\d+) errors (\d+)", out).groups())
    if errors:
        sys.exit(f"wrk met {errors} errors\n{out}")
    return median / 1000, p99 / 1000


def drop_caches():
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
        return True
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seawall", required=True, help="the release binary")
    parser.add_argument("--folder", help="where the caches are, on the disk to measure; a temporary one by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=8000, help="per case, server and round; fewer for larger objects")
    args = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    for tool in ("h2load", "nginx", "wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: run `make bench`, which installs it")
    folder = tempfile.mkdtemp(prefix="seawall-disk-bench-", dir=args.folder)
    os.chmod(folder, 0o755)
    servers = []

    def write(name, text):
        path = f"{folder}/{name}"
        with open(path, "w") as f:
            f.write(text)
        return path

    try:
        os.makedirs(f"{folder}/www/cached")
        for size, (length, _) in SIZES.items():
            with open(f"{folder}/www/cached/{size}", "wb") as f:
                f.write(os.urandom(length))
        origin_port = free_port()
        conf = write("origin.conf", origin_conf(origin_port, folder))
        servers.append(Server("origin", ["nginx", "-p", folder, "-c", conf], origin_port, 1))

        def start(name, port):
            if name == "Seawall":
                argv = [os.path.abspath(args.seawall), "run", write("seawall.yaml", seawall_conf(port, origin_port, folder))]
            else:
                key, sendfile = ("nginx-off", "off") if name == "nginx, sendfile off" else ("nginx-on", "on")
                argv = ["nginx", "-p", folder, "-c", write(f"{key}.conf", nginx_conf(port, origin_port, folder, key, sendfile))]
            return Server(name, argv, port, 0)

        tested = [start(name, free_port()) for name in ("nginx, sendfile off", "nginx, sendfile on", "Seawall")]
        servers += tested
        for server in tested:
            for size, (_, count) in SIZES.items():
                walk(server.port, targets(size, count), count)
        # What is written behind the clients' backs is on its way.
        time.sleep(3)

        def hits(server, size, count, requests):
            asked, before, began = origin_count(origin_port), server.cpu(), time.monotonic()
            walk(server.port, targets(size, count), requests)
            took, spent = time.monotonic() - began, server.cpu() - before
            missed = origin_count(origin_port) - asked - 1
            if missed > requests / 100:
                sys.exit(f"{server.name} {size}: {missed} of {requests} requests reached the origin")
            return spent / requests * 1e6, took / requests * 1e3

        print("| hits from disk | server | CPU per request, median (min-max) | to nginx, sendfile off | p50 / p99, ms | cold: ms per request |")
        print("|---|---|---|---|---|---|")
        for size, (length, count) in SIZES.items():
            requests = max(count, args.requests // max(1, length // 8192))
            cpu = {server.name: [] for server in tested}
            for _ in range(args.rounds):
                for server in tested:
                    cpu[server.name].append(hits(server, size, count, requests)[0])
            base = statistics.median(cpu[tested[0].name])
            for server in tested:
                median, p99 = latency(server.port, size, count, folder)
                cold = f"{hits(server, size, count, count)[1]:.2f}" if drop_caches() else "-"
                values = cpu[server.name]
                print(f"| {size} | {server.name} | {statistics.median(values):.0f} us ({min(values):.0f}-{max(values):.0f}) "
                      f"| {statistics.median(values) / base:.2f} | {median:.2f} / {p99:.2f} | {cold} |", flush=True)
        print("\nRSS in MiB:", ", ".join(f"{server.name} {server.rss():.0f}" for server in tested))
        for server in tested:
            server.process.kill()
            server.process.wait()
            began = time.monotonic()
            again = start(server.name, server.port) if server.name == "Seawall" else None
            if again:
                servers.append(again)
                before, took = origin_count(origin_port), None
                for number in range(SIZES["1KiB"][1]):
                    asked = origin_count(origin_port)
                    walk(server.port, [f"/cached/1KiB?n={number}"], 1)
                    if origin_count(origin_port) - asked == 1:
                        took = time.monotonic() - began
                        break
                print(f"after kill -9: the first hit from disk {took * 1000:.0f} ms after the start" if took else "no hit after kill -9")
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
