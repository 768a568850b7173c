"""Calls every kind of method of grpc_origin.py at the address given, or `refused` alone; prints a line for each call."""

import queue
import sys

import grpc

DEADLINE = 60


def unary(channel, n):
    answer, call = channel.unary_unary("/squall.test.Echo/Unary").with_call(b"x" * n, timeout=DEADLINE)
    assert answer == b"x" * n, f"{len(answer)} bytes came back"
    trailers = dict(call.trailing_metadata())
    print(f"unary: {len(answer)} bytes there and back, trailer checksum={trailers['checksum']}")


def server_stream(channel):
    answers = channel.unary_stream("/squall.test.Echo/ServerStream")(b"10", timeout=DEADLINE)
    print("server stream:", *[answer.decode() for answer in answers])


def client_stream(channel):
    questions = (str(number).encode() for number in range(10))
    answer = channel.stream_unary("/squall.test.Echo/ClientStream")(questions, timeout=DEADLINE)
    print(f"client stream: {answer.decode()} messages counted")


def both_ways(channel):
    """Asks only after the answer before has come: whoever holds a message back stops the call."""
    questions = queue.Queue()
    answers = channel.stream_stream("/squall.test.Echo/BothWays")(iter(questions.get, None), timeout=DEADLINE)
    for number in range(10):
        questions.put(b"%d" % number)
        assert next(answers) == b"seen %d" % number
    questions.put(None)
    assert list(answers) == []
    print("both ways: 10 answers, each before the next question")


def refused(channel):
    try:
        channel.unary_unary("/squall.test.Echo/Refuse")(b"as asked", timeout=DEADLINE)
    except grpc.RpcError as error:
        print(f"refused: {error.code().name} {error.details()}")


def refused_late(channel):
    answers, n = channel.unary_stream("/squall.test.Echo/RefuseLate")(b"3", timeout=DEADLINE), 0
    try:
        for _ in answers:
            n += 1
    except grpc.RpcError as error:
        print(f"late refusal: {n} messages, then {error.code().name} {error.details()}")


def main():
    # no proxy of the environment, and no retries that would hide a failure
    options = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
    with grpc.insecure_channel(sys.argv[1], options=options) as channel:
        if sys.argv[2:] == ["refused"]:
            return refused(channel)
        unary(channel, 5)
        unary(channel, 300_000)
        server_stream(channel)
        client_stream(channel)
        both_ways(channel)
        refused(channel)
        refused_late(channel)


main()
