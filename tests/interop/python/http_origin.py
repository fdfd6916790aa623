"""An origin of Python's http.server: http_origin.py 1.0|1.1 [FOLDER]

    GET /closed/N         N bytes without a length: the end of the connection is the end of the body
    GET /length/N         N bytes with their length
    GET /chunked/N        N bytes in chunks (HTTP/1.1)
    GET /cut/N            announces N bytes and closes after half of them
    GET /torn/N           N bytes in chunks, closed without the last one (HTTP/1.1)
    GET anything else     the file in FOLDER, as `python3 -m http.server` serves it
    POST, PUT             says what arrived: length, SHA-256 and framing of the body
    PUT /refused          403 without reading the body

Bytes count 0, 1, … 250, 0, … and each request is said: {"request": ..., "version": ..., "connection": ...}.
"""

import hashlib
import http.server
import json
import sys

version, *folder = sys.argv[1:]


def content(length):
    return bytes(range(251)) * (length // 251) + bytes(range(length % 251))


def say(**what):
    print(json.dumps(what), flush=True)


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = f"HTTP/{version}"

    def __init__(self, *args):
        super().__init__(*args, directory=folder[0] if folder else None)

    def log_request(self, code="-", size="-"):
        say(request=self.requestline.rsplit(" ", 1)[0], version=self.request_version, status=int(code),
            connection=self.client_address[1])

    def do_GET(self):
        kind, _, number = self.path[1:].partition("/")
        if kind not in ("closed", "length", "chunked", "cut", "torn"):
            return super().do_GET()
        length = int(number)
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=60")
        if kind in ("chunked", "torn"):
            self.send_header("Transfer-Encoding", "chunked")
        elif kind != "closed":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        body = content(length)
        if kind in ("chunked", "torn"):
            for start in range(0, length, 1000):
                piece = body[start:start + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if kind == "chunked":
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body[:length // 2] if kind == "cut" else body)
        if kind in ("closed", "cut", "torn"):
            self.close_connection = True

    def handle_expect_100(self):
        if self.path == "/refused":
            self.send_error(403)
            self.close_connection = True
            return False
        return super().handle_expect_100()

    def do_PUT(self):
        digest, length, framing = hashlib.sha256(), 0, "length"
        for piece in self.pieces():
            digest.update(piece)
            length += len(piece)
        if "Transfer-Encoding" in self.headers:
            framing = self.headers["Transfer-Encoding"]
        answer = json.dumps({"method": self.command, "length": length, "sha256": digest.hexdigest(),
                             "framing": framing, "expect": self.headers.get("Expect")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT

    def pieces(self):
        if "Content-Length" in self.headers:
            left = int(self.headers["Content-Length"])
            while left and (piece := self.rfile.read(min(left, 65536))):
                left -= len(piece)
                yield piece
        elif "Transfer-Encoding" in self.headers:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
say(port=server.server_address[1])
server.serve_forever()
