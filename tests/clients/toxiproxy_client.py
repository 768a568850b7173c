"""toxiproxy-python against the admin API: ADMIN UPSTREAM."""

import socket
import sys
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, ProxyExists

admin, upstream = sys.argv[1:]
server = Toxiproxy()
host, port = admin.split(":")
server.update_api_consumer(host, int(port))


def echo(proxy):
    """How long a word takes there and back; ConnectionResetError and the like pass through."""
    host, port = proxy.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as tcp:
        tcp.sendall(b"x")  # connected, and whatever there is to a connection has happened
        assert tcp.recv(1) == b"x"
        begun = time.monotonic()
        tcp.sendall(b"word")
        got = b""
        while len(got) < 4:
            piece = tcp.recv(4)
            assert piece, "ended after %r" % got
            got += piece
        assert got == b"word"
        took = time.monotonic() - begun
        # its end has come through, too: the next toxic finds nothing of this connection to work on
        tcp.shutdown(socket.SHUT_WR)
        assert tcp.recv(1) == b""
        return took


def refused(call, *errors):
    try:
        call()
    except errors:
        return True
    return False


assert server.running() and b'"version"' in server.version()
assert server.proxies() == {}
print("no proxies at first")

proxy = server.create(upstream=upstream, name="redis")
assert server.get_proxy("redis").listen == proxy.listen and proxy.enabled
print("made and listed")

again = {"upstream": upstream, "name": "redis"}
assert refused(lambda: server.create(**again), ProxyExists)
print("twice: refused")

echo(proxy)
print("echo")

proxy.add_toxic(type="latency", attributes={"latency": 100})
took = echo(proxy)
assert 0.1 <= took < 5, took
print("latency: 100 ms, once")

toxic = proxy.toxics()["latency_downstream"]
assert (toxic.type, toxic.stream, toxic.toxicity) == ("latency", "downstream", 1)
assert toxic.attributes == {"latency": 100, "jitter": 0}
print("toxic listed")

assert proxy.destroy_toxic("latency_downstream") and proxy.toxics() == {}
echo(proxy)
print("toxic gone: at once")

assert refused(lambda: proxy.add_toxic(type="lantency"), InvalidToxic)
print("unknown type: refused")

with proxy.down():
    assert not server.get_proxy("redis").enabled
    assert refused(lambda: echo(proxy), ConnectionRefusedError)
echo(proxy)
print("down: refused; up: echo")

proxy.add_toxic(type="reset_peer", attributes={"timeout": 0})
assert refused(lambda: echo(proxy), ConnectionResetError, BrokenPipeError)
print("reset_peer: reset")

assert server.reset() and proxy.toxics() == {}
echo(proxy)
print("reset: no toxics")

server.destroy_all()
assert server.proxies() == {}
print("deleted")
