"""Stands in for a service or gateway: says that it is ready, and answers /readyz when it is given a port."""

import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answer(BaseHTTPRequestHandler):
    """200 to everything."""

    def do_GET(self) -> None:
        body = os.environ["MES_PROCESS"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(f"{os.environ['MES_PROCESS']}: {format % args}")


class Server(ThreadingHTTPServer):
    """One of several on the same port, as gateways are."""

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ready = Path(os.environ["MES_READY_FILE"])
    for name in ("MES_PORT", "MES_DIRECT_PORT"):
        if name in os.environ:
            server = Server((os.environ["MES_HOST"], int(os.environ[name])), Answer)
            threading.Thread(target=server.serve_forever, daemon=True).start()
    ready.write_text(str(os.getpid()))
    try:
        threading.Event().wait()
    finally:
        ready.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
