#!/usr/bin/env python3
"""Hits from memory and disk, and fills: Seawall beside nginx's proxy_cache on the same disk, in one run.

All hold many objects and are asked for them in turn. One Seawall has 1 GiB of memory, which holds all of them; the other is
started anew before each round, so that it has them on its disk alone, and what it reads the first time it does not take up. Where hits
came from is asked, and the run fails when it was elsewhere. Each object is asked for once a round. Warm: the page cache has
everything. Cold: it was emptied first (as root; left out otherwise), and one connection asks for each object once. nginx runs with sendfile off and on, without tcp_nopush, which bench.py says why. CPU
is user and system time of the server's processes for each request (cpu.py); the latency is wrk's, over 16 connections. A hit
that reached the origin fails the run.

Then fills: for some seconds every request asks for something new, over 16 connections, and all of it has to be on the disk (sync)
before the clock stops. That Seawall has 128 MiB of memory, which are full before: otherwise what is measured is how long the
system takes for pages that nobody had before, in a virtual machine more than all the rest. What a server wrote is what the system counted for its processes (write_bytes in /proc/PID/io). At the
end Seawall is killed and started again: how long until the first hit from disk.

    python3 benchmarks/disk.py --seawall target/release/seawall [--folder /a/folder/on/the/disk]

More Seawalls can take part, to compare builds: --seawall target/release/seawall --seawall old=/tmp/seawall.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

from bench import Server, builds, fetch, free_port, origin_conf, origin_count
from scratch import scratch

SIZES = {"1KiB": (1 << 10, 4000), "32KiB": (32 << 10, 1000), "1MiB": (1 << 20, 100)}
# Of a fill: one more, which goes into a file of its own at Seawall.
FILLS = {**SIZES, "8MiB": (8 << 20, 0)}
NGINX = ["nginx, sendfile off", "nginx, sendfile on"]
# Of a Seawall, by where its answers come from.
MEMORY = {"disk": "4MiB", "memory": "1GiB", "origin": "128MiB"}


def nginx_conf(port, origin, folder, name, sendfile):
    return f"""
daemon off; worker_processes 1; error_log {folder}/{name}.err; pid {folder}/{name}.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile {sendfile}; keepalive_requests 1000000000; keepalive_timeout 1h;
  proxy_temp_path {folder}/{name}-tmp;
  proxy_cache_path {folder}/{name}-cache levels=1:2 keys_zone=main:64m max_size=16g inactive=1h use_temp_path=off;
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


def seawall_conf(port, origin, folder, name, memory, metrics):
    return f"""
listeners: [{{ address: "127.0.0.1:{port}" }}]
server: {{ threads: 1 }}
metrics: {{ listen: "127.0.0.1:{metrics}" }}
access_log: {{ format: "off" }}
limits: {{ keepalive_requests: 1000000000 }}
cache:
  memory: {memory}
  memory_object: {"64KiB" if memory == MEMORY["disk"] else "1MiB"}
  disk: {{ path: {folder}/{name}-cache, size: 16GiB }}
upstreams:
  origin: {{ servers: ["127.0.0.1:{origin}"] }}
sites:
  - hosts: localhost
    default: true
    routes: [{{ path: /, upstream: origin, cache: on }}]
"""


def targets(size, count):
    return [f"/cached/{size}?n={number}" for number in range(count)]


def h2load(port, paths, requests, *more):
    """Every path in turn over one connection."""
    urls = "".join(f"http://127.0.0.1:{port}{path}\n" for path in paths)
    argv = ["taskset", "-c", "1", "h2load", "--h1", "-n", str(requests), "-c", "1", "-t", "1", "-i", "-", *more]
    out = subprocess.run(argv, input=urls, capture_output=True, text=True, timeout=600).stdout
    good = int(re.search(r"status codes: (\d+) 2xx", out).group(1))
    if good != requests:
        sys.exit(f"{good} of {requests} requests answered with 2xx\n{out}")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def cold(port, paths, folder):
    """Median and p99 in milliseconds of one request after the other, each for another object."""
    log = f"{folder}/times"
    if os.path.exists(log):
        os.remove(log)
    h2load(port, paths, len(paths), f"--log-file={log}")
    with open(log) as f:
        times = [int(line.split("\t")[2]) / 1000 for line in f]
    return statistics.median(times), percentile(times, 0.99)


def wrk(port, folder, seconds, setup, path):
    """Runs wrk over 16 connections with paths by a line of Lua: requests, seconds, median and p99 in milliseconds."""
    script = f"{folder}/paths.lua"
    with open(script, "w") as f:
        f.write(f"""{setup}
request = function() n = n + 1; return wrk.format("GET", {path}) end
done = function(summary, latency) io.write(string.format("n %d us %d p50 %d p99 %d errors %d\\n", summary.requests,
  summary.duration, latency:percentile(50), latency:percentile(99), summary.errors.status + summary.errors.read +
  summary.errors.timeout)) end
""")
    argv = ["taskset", "-c", "1", "wrk", "-t", "1", "-c", "16", "-d", f"{seconds}s", "--timeout", "20s", "-s", script, f"http://127.0.0.1:{port}"]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"n (\d+) us (\d+) p50 (\d+) p99 (\d+) errors (\d+)", out)
    requests, micros, median, p99, errors = map(int, found.groups())
    if errors:
        sys.exit(f"wrk met {errors} errors\n{out}")
    return requests, micros / 1e6, median / 1000, p99 / 1000


def drop_caches():
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
        return True
    except OSError:
        return False


def written(server):
    """Bytes that its processes have handed to the disk."""
    total = 0
    for pid in server.pids():
        with open(f"/proc/{pid}/io") as f:
            total += int(re.search(r"\nwrite_bytes: (\d+)", f.read()).group(1))
    return total


def metric(port, name, labels=""):
    found = re.search(rf"^seawall_{name}{{.*{labels}.*}} (\S+)$", fetch(port, "/metrics").decode(), re.M)
    return float(found.group(1))


class Bench:
    def __init__(self, args, folder, servers):
        self.args, self.folder, self.servers, self.metrics = args, folder, servers, {}
        self.builds = builds(args.seawall, "Seawall")
        os.makedirs(f"{folder}/www/cached")
        for size, (length, _) in FILLS.items():
            with open(f"{folder}/www/cached/{size}", "wb") as f:
                f.write(os.urandom(length))
        self.origin = free_port()
        conf = self.write("origin.conf", origin_conf(self.origin, folder))
        self.servers.append(Server("origin", ["nginx", "-p", folder, "-c", conf], self.origin, 1))

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w") as f:
            f.write(text)
        return path

    def start(self, name, port=None):
        port = port or free_port()
        if name not in NGINX:
            build, kind = name.split(", from ")
            key, memory = f"{build}-{kind}", MEMORY[kind]
            self.metrics[name] = free_port()
            conf = seawall_conf(port, self.origin, self.folder, key, memory, self.metrics[name])
            argv = [self.builds[build], "run", self.write(f"{key}.yaml", conf)]
        else:
            key, sendfile = ("nginx-off", "off") if name.endswith("off") else ("nginx-on", "on")
            conf = nginx_conf(port, self.origin, self.folder, key, sendfile)
            argv = ["nginx", "-p", self.folder, "-c", self.write(f"{key}.conf", conf)]
        server = Server(name, argv, port, 0)
        self.servers.append(server)
        return server

    def settle(self, server):
        """Waits until what a server has is on the disk."""
        waiting = ("disk_queue_bytes", "disk_fill_bytes", "disk_fills_unfinished")
        while server.name in self.metrics and any(metric(self.metrics[server.name], name) > 0 for name in waiting):
            time.sleep(0.01)
        os.sync()

    def tier_hits(self, server):
        """Hits of a Seawall so far from where its answers are to come from; none is counted for others."""
        port, tier = self.metrics.get(server.name), server.name.rsplit(" ", 1)[-1]
        return metric(port, "cache_hits_total", f'tier="{tier}"') if port else None

    def hits(self, server, size, requests):
        found = self.tier_hits(server)
        asked, before = origin_count(self.origin), server.cpu()
        h2load(server.port, targets(size, requests), requests)
        spent = server.cpu() - before
        if found is not None and (more := self.tier_hits(server) - found) < requests * 0.99:
            sys.exit(f"{server.name} {size}: {more:.0f} of {requests} hits came from there")
        missed = origin_count(self.origin) - asked - 1
        if missed > requests / 100:
            sys.exit(f"{server.name} {size}: {missed} of {requests} requests reached the origin")
        return spent / requests * 1e6

    def all_hits(self, tested):
        print("| hits | server | CPU per request, median (min-max) | to nginx, sendfile off | p50 / p99, ms | cold: p50 / p99, ms |")
        print("|---|---|---|---|---|---|")
        servers = {server.name: server for server in tested}
        hit = [name for name in servers if not name.endswith("origin")]
        for size, (_, count) in SIZES.items():
            cpu = {name: [] for name in hit}
            for _ in range(self.args.rounds):
                for name in hit:
                    if name.endswith("disk"):
                        servers[name] = self.again(servers[name])
                    cpu[name].append(self.hits(servers[name], size, count))
            base = statistics.median(cpu[hit[0]])
            for name in hit:
                server, values, path = servers[name], cpu[name], f'"/cached/{size}?n=" .. n % {count}'
                _, _, median, p99 = wrk(server.port, self.folder, 3, f"n = math.random({count})", path)
                shown = "-"
                if not name.endswith("memory") and drop_caches():
                    shown = "%.2f / %.2f" % cold(server.port, targets(size, count), self.folder)
                print(f"| {size} | {name} | {statistics.median(values):.1f} us ({min(values):.1f}-{max(values):.1f}) "
                      f"| {statistics.median(values) / base:.2f} | {median:.2f} / {p99:.2f} | {shown} |", flush=True)
        return list(servers.values())

    def all_fills(self, tested):
        print("\n| fills | server | requests/s | MiB/s until all is on the disk | CPU per request | p50 / p99, ms | bytes written per byte of body |")
        print("|---|---|---|---|---|---|---|")
        for server in tested:
            wrk(server.port, self.folder, 3, "n = 0", '"/cached/1MiB?first=" .. n')
        for size, (length, _) in FILLS.items():
            for server in tested:
                self.settle(server)
                wrote, cpu, began = written(server), server.cpu(), time.monotonic()
                path = f'"/cached/{size}?fill=" .. n'
                requests, took, median, p99 = wrk(server.port, self.folder, self.args.seconds, "n = 0", path)
                self.settle(server)
                all_took = time.monotonic() - began
                body = requests * length
                print(f"| {size} | {server.name} | {requests / took:,.0f} | {body / all_took / 2**20:.0f} "
                      f"| {(server.cpu() - cpu) / requests * 1e6:.0f} us | {median:.2f} / {p99:.2f} "
                      f"| {(written(server) - wrote) / body:.2f} |", flush=True)
        for name, port in self.metrics.items():
            refused = re.findall(r"^seawall_cache_rejected_total{(.*)} (\S+)$", fetch(port, "/metrics").decode(), re.M)
            print(f"\n{name}: {metric(port, 'disk_written_bytes_total') / 2**20:.0f} MiB written for new content, "
                  f"{metric(port, 'disk_copied_bytes_total') / 2**20:.0f} MiB copied; not kept: "
                  + (", ".join(f"{count} ({why})" for why, count in refused if float(count)) or "none"))

    def again(self, server):
        """Kills it and starts it again on the same port."""
        server.process.kill()
        server.process.wait()
        self.servers.remove(server)
        return self.start(server.name, server.port)

    def restart(self, server):
        began = time.monotonic()
        self.again(server)
        for number in range(SIZES["1KiB"][1]):
            asked = origin_count(self.origin)
            h2load(server.port, [f"/cached/1KiB?n={number}"], 1)
            if origin_count(self.origin) - asked == 1:
                return f"{(time.monotonic() - began) * 1000:.0f} ms after the start"
        return "never"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seawall", required=True, action="append", help="the release binary; or NAME=BINARY, again and again")
    parser.add_argument("--folder", help="where the caches are, on the disk to measure; a temporary one by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of fills, per size and server")
    parser.add_argument("--only", choices=["hits", "fills"], help="leave the rest out")
    args = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    for tool in ("h2load", "nginx", "wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: run `make bench`, which installs it")
    with scratch("disk-bench", args.folder) as (folder, servers):
        bench = Bench(args, folder, servers)
        tested = [bench.start(name) for name in NGINX + [f"{build}, from {kind}" for build in bench.builds for kind in MEMORY]]
        if args.only != "fills":
            for server in [server for server in tested if not server.name.endswith("origin")]:
                for size, (_, count) in SIZES.items():
                    h2load(server.port, targets(size, count), count)
                bench.settle(server)
            tested = bench.all_hits(tested)
        if args.only != "hits":
            bench.all_fills([server for server in tested if not server.name.endswith(("disk", "memory"))])
        print("\nRSS in MiB:", ", ".join(f"{server.name} {server.rss():.0f}" for server in tested))
        if not args.only:
            print("after kill -9: the first hit from disk", bench.restart(tested[2]))


if __name__ == "__main__":
    main()
