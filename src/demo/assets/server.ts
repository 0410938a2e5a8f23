// The program that instances of the demo run: a small HTTP server in Python, standard library only.

/** `http-server.py HOST PORT PARTITION TITLE GREETING`. */
export const serverProgram = String.raw`"""Greets whoever asks, and tells who runs it."""

import http.server
import os
import socketserver
import sys

host, port, partition, title, greeting = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        lines = [
            "%s from %s in %s" % (greeting, title, partition),
            "pid %s, uid %s, gid %s, groups %s" % (os.getpid(), os.getuid(), os.getgid(), os.getgroups()),
        ]
        body = "".join(line + "\n" for line in lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        # The class above would look its own name up, which takes long on a machine whose name nobody knows.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = host, int(port)


print("%s listens on %s port %s" % (title, host, port), flush=True)
Server((host, int(port)), Handler).serve_forever()
`
