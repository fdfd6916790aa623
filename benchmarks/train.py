#!/usr/bin/env python3
"""Work for a build that counts what is run (PGO): what an edge node does most, in proportions that make each of it count.

Hits from memory and disk of several sizes, misses, what passes through, ranges and conditions, over HTTP/1.1 and HTTP/2
(what TLS does is the library's, which no profile of ours reaches). The binary writes its counts when it ends, to where it was built to write them.

    python3 benchmarks/train.py --seawall target/pgo/x86_64-unknown-linux-gnu/release/seawall
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys

from bench import Server, free_port, origin_conf
from scratch import scratch

SIZES = {"1k": 1 << 10, "32k": 32 << 10, "100k": 100 << 10, "1m": 1 << 20}


def seawall_conf(port, origin, folder):
    return f"""
listeners: [{{ address: "127.0.0.1:{port}", h2c: true }}]
server: {{ threads: 1 }}
limits: {{ keepalive_requests: 1000000000 }}
cache:
  memory: 64MiB
  memory_object: 256KiB
  disk: {{ path: {folder}/cache, size: 4GiB }}
upstreams: {{ origin: {{ servers: ["127.0.0.1:{origin}"] }} }}
sites:
  - hosts: localhost
    default: true
    routes:
      - {{ path: /passed/, upstream: origin }}
      - {{ path: /, upstream: origin, cache: on }}
"""


def load(port, paths, requests, *more):
    """Asks for the paths in turn; who is answered otherwise than it wants fails the run."""
    urls = "".join(f"http://127.0.0.1:{port}{path}\n" for path in paths)
    argv = ["h2load", "-n", str(requests), "-t", "1", "-i", "-", *more]
    out = subprocess.run(argv, input=urls, capture_output=True, text=True, timeout=600).stdout
    if f"{requests} succeeded" not in out and "/missing" not in paths:
        sys.exit(f"{paths[0]} {more}: not all of {requests} requests were answered\n{out}")


def work(port, times):
    ways = (("--h1", "-c", "8"), ("-c", "4", "-m", "8"))
    small = [f"/cached/1k?n={number}" for number in range(4000)]
    for way in ways:
        load(port, small, 8000 * times, *way)
        load(port, ["/cached/1k"], 20000 * times, *way)
        load(port, ["/cached/100k"], 2000 * times, *way)
        load(port, [f"/cached/32k?n={number}" for number in range(300)], 3000 * times, *way)
        load(port, [f"/cached/1m?n={number}" for number in range(50)], 200 * times, *way)
        load(port, ["/passed/1k"], 4000 * times, *way)
        load(port, [f"/cached/1k?miss={way[1]}{number}" for number in range(4000 * times)], 4000 * times, *way)
        load(port, ["/missing"], 500 * times, *way)
        load(port, ["/cached/100k"], 1000 * times, *way, "-H", "range: bytes=100-2000")
        load(port, ["/cached/1k"], 1000 * times, *way, "-H", "if-modified-since: Fri, 31 Dec 2100 23:59:59 GMT")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seawall", required=True, help="the binary that counts")
    parser.add_argument("--times", type=int, default=1, help="so much of all of it")
    args = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    for tool in ("h2load", "nginx", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: run `make build-pgo`, which installs it")
    with scratch("train") as (folder, servers):
        for kind in ("cached", "passed"):
            os.makedirs(f"{folder}/www/{kind}")
            for name, size in SIZES.items():
                with open(f"{folder}/www/{kind}/{name}", "wb") as f:
                    f.write(os.urandom(size))
        origin, port = free_port(), free_port()
        for name, text in (("origin.conf", origin_conf(origin, folder)), ("seawall.yaml", seawall_conf(port, origin, folder))):
            with open(f"{folder}/{name}", "w") as f:
                f.write(text)
        servers.append(Server("origin", ["nginx", "-p", folder, "-c", f"{folder}/origin.conf"], origin, 1))
        # The second one finds everything on its disk.
        for _ in range(2):
            server = Server("seawall", [os.path.abspath(args.seawall), "run", f"{folder}/seawall.yaml"], port, 0)
            servers.append(server)
            work(port, args.times)
            server.process.send_signal(signal.SIGTERM)
            if server.process.wait(120) != 0:
                sys.exit(f"{args.seawall} ended with {server.process.returncode}")
            servers.remove(server)


if __name__ == "__main__":
    main()
