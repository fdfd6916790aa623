"""A gRPC origin of bytes, without a .proto: grpc_origin.py [CERT KEY]

Says what it was told with each call of Unary, and how each call of Hang ended.
"""

import concurrent.futures
import hashlib
import json
import sys
import threading

import grpc


def say(**what):
    print(json.dumps(what), flush=True)


def remaining(context):
    """The seconds that the client still waits; grpcio has a very large number for no deadline."""
    seconds = context.time_remaining()
    return seconds if seconds is not None and seconds < 1e9 else None


def unary(request, context):
    say(metadata=dict((key, value) for key, value in context.invocation_metadata() if isinstance(value, str)),
        remaining=remaining(context))
    context.send_initial_metadata((("x-initial", "first"),))
    context.set_trailing_metadata((("x-trailing", "last"), ("x-trailing-bin", b"\x00\xff\x80")))
    return request


def count(request, context):
    for number in range(int(request)):
        yield b"%d " % number * 100


def collect(requests, context):
    digest, length = hashlib.sha256(), 0
    for request in requests:
        digest.update(request)
        length += len(request)
    return json.dumps([length, digest.hexdigest()]).encode()


def chat(requests, context):
    for request in requests:
        yield b"you said " + request


def fail(request, context):
    context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x05\x12\x04gone"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: grüße ☃ 100%\n")


def fail_midway(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "the rest is lost")


def hang(request, context):
    """Answers once and then only ends when the client does not want it any more."""
    allowed, over = remaining(context), threading.Event()

    def end():
        say(ended=request.decode(), remaining=allowed)
        over.set()

    if not context.add_callback(end):
        end()
    yield b"begun"
    over.wait()


METHODS = {
    "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
    "/test.Echo/Count": grpc.unary_stream_rpc_method_handler(count),
    "/test.Echo/Collect": grpc.stream_unary_rpc_method_handler(collect),
    "/test.Echo/Chat": grpc.stream_stream_rpc_method_handler(chat),
    "/test.Echo/Fail": grpc.unary_unary_rpc_method_handler(fail),
    "/test.Echo/FailMidway": grpc.unary_stream_rpc_method_handler(fail_midway),
    "/test.Echo/Hang": grpc.unary_stream_rpc_method_handler(hang),
}


class Handler(grpc.GenericRpcHandler):
    def service(self, call):
        return METHODS.get(call.method)


def read(path):
    with open(path, "rb") as file:
        return file.read()


server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=(Handler(),))
if len(sys.argv) > 2:
    cert, key = sys.argv[1:]
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(read(key), read(cert))]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
say(port=port)
server.wait_for_termination()
