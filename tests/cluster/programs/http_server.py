"""Answer HTTP requests with this container's name and the caller's address.

On SIGTERM it takes no more connections, answers the next request of each one it has with
`Connection: close`, and ends with the last of them, or after five seconds. `/healthy` says
whether it still takes connections.

usage: http_server.py [PORT]
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

PATIENCE_S = 5.0


class Server:
    def __init__(self) -> None:
        self.is_leaving = asyncio.Event()
        self.open = 0

    async def serve(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.is_leaving.set)
        families = ("::", "0.0.0.0") if Path("/proc/net/if_inet6").exists() else ("0.0.0.0",)
        servers = [
            await asyncio.start_server(self.connected, host, port, backlog=512) for host in families
        ]
        await self.is_leaving.wait()
        for server in servers:
            server.close()
        for _ in range(int(PATIENCE_S * 100)):
            if not self.open:
                return
            await asyncio.sleep(0.01)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        caller = writer.get_extra_info("peername")[0].removeprefix("::ffff:")
        body = f"{os.uname().nodename} {caller}\n".encode()
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                is_leaving = self.is_leaving.is_set()
                ends = is_leaving or b"connection: close" in request.lower()
                status = b"503 Leaving" if is_leaving and b"/healthy" in request else b"200 OK"
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s"
                    % (status, len(body), b"close" if ends else b"keep-alive", body)
                )
                await writer.drain()
                if ends:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


asyncio.run(Server().serve(int(sys.argv[1]) if len(sys.argv) > 1 else 80))
