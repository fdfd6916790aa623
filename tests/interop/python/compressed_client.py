"""A client of compressed responses: compressed_client.py ADDRESS PATH

Reads PATH several times over one connection, the coded bytes as they come, and says what they decode to.
"""

import gzip
import hashlib
import http.client
import json
import sys
import zlib


def main():
    address, path = sys.argv[1:]
    connection = http.client.HTTPConnection(address, timeout=20)
    for _ in range(3):
        connection.request("GET", path, headers={"Host": "example.com", "Accept-Encoding": "gzip, deflate"})
        response = connection.getresponse()
        decoder, content, coded = zlib.decompressobj(zlib.MAX_WBITS | 16), b"", b""
        while piece := response.read1(4096):
            coded += piece
            content += decoder.decompress(piece)
        response.close()
        print(json.dumps({
            "encoding": response.headers["Content-Encoding"],
            "ended": decoder.eof and not decoder.unused_data,
            "whole": gzip.decompress(coded) == content,
            "length": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }))


main()
