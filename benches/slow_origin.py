"""An origin of one thread that answers each request after a fixed time: `slow_origin.py SECONDS`.

It prints the port that it took, then the time of the first request. For loads of hundreds of requests a second.
"""

import asyncio
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
END = b"\r\n\r\n"


class Conversation(asyncio.Protocol):
    asked = False

    def connection_made(self, transport):
        self.transport, self.rest = transport, b""

    def data_received(self, data):
        if not Conversation.asked:
            Conversation.asked = True
            print(f"first {time.time():.6f}", flush=True)
        *requests, self.rest = (self.rest + data).split(END)
        for _ in requests:
            asyncio.get_running_loop().call_later(float(sys.argv[1]), self.answer)

    def answer(self):
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def main():
    server = await asyncio.get_running_loop().create_server(Conversation, "127.0.0.1", 0, backlog=4096)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
