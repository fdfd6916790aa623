"""An origin that writes its HTTP/1.1 by hand, unusual but lawful:

    /drip     a chunked body, a byte at a time, with chunk extensions and trailers
    /crumbs   head and body, a byte at a time
    /hints    two 103 before the answer
    /odd      no reason phrase, empty values, repeated fields, bytes beyond ASCII
    /nothing  204
    /early    answers a POST before its body is read, and closes
    /ten      HTTP/1.0 that keeps the connection
"""

import asyncio
import json

HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
ANSWERS = {
    "/hints": HINT + HINT + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/odd": (b"HTTP/1.1 200 \r\nX-Empty:\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nX-Text: gr\xfc\xdfe\r\n"
             b"X-Tab:\t\tx\t\r\ncontent-LENGTH: 3\r\n\r\nodd"),
    "/nothing": b"HTTP/1.1 204 No Content\r\nX-Kind: empty\r\n\r\n",
    "/early": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo early",
    "/ten": b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nten",
}
CRUMBS = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Kind: crumbs\r\n\r\ncrumbs"
DRIP_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nCache-Control: max-age=60\r\n\r\n"
DRIP = [b'1;name="a value"\r\n%c\r\n' % byte for byte in b"one by one"] + [b"0;last\r\nX-Sum: 10\r\n\r\n"]


async def write(writer, pieces):
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.001)


async def serve(reader, writer):
    connection = writer.get_extra_info("peername")[1]
    writer.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY: a byte is a packet
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ")[1]
            print(json.dumps({"path": path, "connection": connection}), flush=True)
            if path == "/drip":
                await write(writer, [DRIP_HEAD, *DRIP])
            elif path == "/crumbs":
                await write(writer, [bytes([byte]) for byte in CRUMBS])
            else:
                await write(writer, [ANSWERS[path]])
            if path == "/early":
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
