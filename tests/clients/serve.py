"""Serves the WSGI application `application` of a file, a thread for each request: python3 serve.py FILE"""
import importlib.util
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_request(self, *_):
        pass


spec = importlib.util.spec_from_file_location("app", sys.argv[1])
app = importlib.util.module_from_spec(spec)
sys.modules["app"] = app
spec.loader.exec_module(app)
server = make_server("127.0.0.1", 0, app.application, Server, Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
