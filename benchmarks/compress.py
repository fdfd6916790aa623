#!/usr/bin/env python3
"""What compression costs: CPU per hit of a stored variant, and per response that is compressed on its way.

One Seawall with one worker thread on one core; an nginx as the origin and h2load share the other. The page is 100 kB of
made-up markup. Each hit case is one stored response, so `same size` shows what the bytes of a compressed variant
cost when nothing was ever compressed. `seawall_compressions_total` proves that hits compress nothing and that the other
cases do it each time: a case that did not do what it claims fails the run.

    python3 benchmarks/compress.py --seawall target/release/seawall

Traffic stays on 127.0.0.1 and is bounded by --requests and --rounds.
"""

import argparse
import gzip
import os
import random
import re
import statistics
import subprocess
import sys
import urllib.request

from bench import Server, fetch, free_port
from scratch import scratch

PAGE = 100_000
CODINGS = ["gzip", "zstd", "br"]


def page(seed=1):
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(2000)]
    out = []
    size = 0
    while size < PAGE:
        text = " ".join(words[int(2000 * rng.random() * rng.random())] for _ in range(rng.randint(20, 60)))
        out.append(f'<article id="a{rng.randint(0, 99999)}" class="card"><p>{text}</p></article>\n')
        size += len(out[-1])
    return "".join(out).encode()[:PAGE]


def origin_conf(port, folder):
    return f"""
daemon off; worker_processes 1; error_log {folder}/origin.err; pid {folder}/origin.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; root {folder}/www; default_type text/html;
  server {{ listen 127.0.0.1:{port} backlog=4096; add_header Cache-Control "public, max-age=3600"; }}
}}
"""


def seawall_conf(port, metrics, origin):
    return f"""
listeners: [{{ address: "127.0.0.1:{port}" }}]
metrics: {{ listen: "127.0.0.1:{metrics}" }}
server: {{ threads: 1 }}
access_log: {{ format: "off" }}
limits: {{ keepalive_requests: 1000000000 }}
upstreams: {{ origin: {{ servers: ["127.0.0.1:{origin}"] }} }}
sites:
  - default: true
    hosts: localhost
    routes:
      - {{ path: /passed/, upstream: origin, rewrite: {{ strip_prefix: /passed }}, compress: on }}
      - {{ path: /, upstream: origin, cache: on, compress: on }}
"""


def load(port, path, accept, requests, connections):
    argv = ["taskset", "-c", "1", "h2load", "--h1", "-n", str(requests), "-c", str(connections), "-t", "1",
            "-H", f"accept-encoding: {accept}", f"http://127.0.0.1:{port}{path}"]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=600).stdout
    ok = int(re.search(r"status codes: (\d+) 2xx", out).group(1))
    if ok != requests:
        sys.exit(f"h2load: {ok} of {requests} requests answered with 2xx\n{out}")


def size(port, path, accept):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept-Encoding": accept})
    answer = urllib.request.urlopen(request, timeout=5)
    body = answer.read()
    wanted = None if accept == "identity" else accept
    if answer.headers["Content-Encoding"] != wanted:
        sys.exit(f"{path} with {accept} came as {answer.headers['Content-Encoding']}")
    return len(body)


def compressions(metrics):
    text = fetch(metrics, "/metrics").decode()
    return sum(float(value) for value in re.findall(r"^seawall_compressions_total{.*} (\S+)$", text, re.M))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seawall", required=True, help="the release binary")
    parser.add_argument("--requests", type=int, default=20_000, help="per case and round; a tenth where each is compressed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    args = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    with scratch("compress") as (folder, servers):
        os.makedirs(f"{folder}/www")
        content = page()
        with open(f"{folder}/www/page.html", "wb") as f:
            f.write(content)
        origin_port, port, metrics = free_port(), free_port(), free_port()
        with open(f"{folder}/origin.conf", "w") as f:
            f.write(origin_conf(origin_port, folder))
        servers.append(Server("origin", ["nginx", "-p", folder, "-c", f"{folder}/origin.conf"], origin_port, 1))
        with open(f"{folder}/seawall.yaml", "w") as f:
            f.write(seawall_conf(port, metrics, origin_port))
        seawall = Server("seawall", [os.path.abspath(args.seawall), "run", f"{folder}/seawall.yaml"], port, 0)
        servers.append(seawall)

        cases = [("hit, as it is", "/page.html", "identity", 0)]
        for coding in CODINGS:
            coded = size(port, "/page.html", coding)
            # Bytes that nobody would compress again, as many as the variant has.
            with open(f"{folder}/www/same-{coding}.bin", "wb") as f:
                f.write(random.Random(coded).randbytes(coded))
            cases.append((f"hit, {coding}", "/page.html", coding, 0))
            cases.append((f"hit, same size as {coding}", f"/same-{coding}.bin", "identity", 0))
        cases.append(("passed, as it is", "/passed/page.html", "identity", 0))
        cases += [(f"passed, {coding}", "/passed/page.html", coding, 1) for coding in CODINGS]

        cpu = {name: [] for name, *_ in cases}
        sizes = {name: size(port, path, accept) for name, path, accept, _ in cases}
        for _ in range(args.rounds):
            for name, path, accept, each in cases:
                requests = args.requests // (10 if each else 1)
                load(port, path, accept, 500, args.connections)  # warm
                before, coded = seawall.cpu(), compressions(metrics)
                load(port, path, accept, requests, args.connections)
                spent, coded = seawall.cpu() - before, compressions(metrics) - coded
                if coded != each * requests:
                    sys.exit(f"{name}: {coded} compressions in {requests} requests")
                cpu[name].append(spent / requests * 1e6)
        print(f"a page of {PAGE} bytes (gzip -6 of the whole: {len(gzip.compress(content, 6))}); {args.rounds} rounds, "
              f"{args.connections} keep-alive connections, HTTP/1.1, one worker on one core\n")
        print("| case | bytes | CPU per request, median (min-max) |\n|---|---|---|")
        for name, *_ in cases:
            values = cpu[name]
            print(f"| {name} | {sizes[name]} | {statistics.median(values):.1f} us ({min(values):.1f}-{max(values):.1f}) |")


if __name__ == "__main__":
    main()
