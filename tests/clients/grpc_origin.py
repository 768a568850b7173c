"""A gRPC server without a schema: messages are plain bytes. Prints where it listens; ends when it is killed."""

from concurrent import futures

import grpc


def unary(request, context):
    context.set_trailing_metadata((("checksum", str(len(request))),))
    return request


def server_stream(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def client_stream(requests, context):
    return str(sum(1 for _ in requests)).encode()


def both_ways(requests, context):
    for request in requests:
        yield b"seen " + request


def refuse(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.decode())


def refuse_late(request, context):
    for number in range(int(request)):
        yield str(number).encode()
    context.abort(grpc.StatusCode.DATA_LOSS, "in the middle")


def main():
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "BothWays": grpc.stream_stream_rpc_method_handler(both_ways),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        "RefuseLate": grpc.unary_stream_rpc_method_handler(refuse_late),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("squall.test.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


main()
