"""Talks to websocket_origin.py at the URL given (for wss, with the certificate given), and prints what it saw."""

import asyncio
import ssl
import sys

import websockets


async def visit(url, tls):
    async with websockets.connect(url, ssl=tls, max_size=None) as socket:
        await socket.send("échoed")
        print("text:", await socket.recv())

        blob = bytes(number % 251 for number in range(200_000))
        await socket.send(blob)
        assert await socket.recv() == blob
        print(f"binary: {len(blob)} bytes there and back")

        await (await socket.ping(b"still there?"))
        print("ping: answered")

        for number in range(100):
            await socket.send(str(number))
        answers = [await socket.recv() for _ in range(100)]
        assert answers == [str(number) for number in range(100)], answers
        print("order: 100 messages, each in its place")

        await socket.send("close, please")
        await socket.wait_closed()
        print(f"closed by the server: {socket.close_code} {socket.close_reason}")


async def leave(url, tls):
    async with websockets.connect(url, ssl=tls) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
        await socket.close(1000)
        print(f"closed by the client: {socket.close_code}")


async def main():
    url = sys.argv[1]
    tls = ssl.create_default_context(cafile=sys.argv[2]) if url.startswith("wss:") else None
    await asyncio.wait_for(visit(url, tls), timeout=60)
    await asyncio.wait_for(leave(url, tls), timeout=60)


asyncio.run(main())
