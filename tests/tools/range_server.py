"""An HTTP server of one folder on a free port of this machine, for tests: serves ranges, and cuts answers on request.

  range_server.py FOLDER    prints its port; GET /cut/N/FILE sends the first N bytes of what was asked for, then hangs up
"""
import functools
import http.server
import pathlib
import re
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, folder, *rest):
        self.folder = folder
        super().__init__(*rest)

    def do_GET(self):
        cut = re.fullmatch(r"/cut/(\d+)/([\w.-]+)", self.path)
        name = cut[2] if cut else self.path.lstrip("/")
        file = self.folder / name
        if "/" in name or not file.is_file():
            return self.send_error(404)
        data = file.read_bytes()
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(span[1]) if span else 0
        if first >= len(data):
            return self.send_error(416)
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(data) - first))
        if span:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[first:first + int(cut[1])] if cut else data[first:])
        self.close_connection = True

    def log_message(self, *_):
        pass


def main():
    handler = functools.partial(Handler, pathlib.Path(sys.argv[1]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
