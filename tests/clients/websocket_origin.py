"""A WebSocket server that echoes, and closes when asked to. Prints where it listens; ends when it is killed."""

import asyncio

import websockets


async def echo(socket):
    async for message in socket:
        if message == "close, please":
            await socket.close(4001, "as asked")
            return
        await socket.send(message)


async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on 127.0.0.1:{port}", flush=True)
        await asyncio.Future()


asyncio.run(main())
