"""Serves the WSGI application `application` of a file: python3 serve.py FILE"""
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(WSGIServer):
    """With a few threads that stay, as in production: they keep connections to the store."""

    threads = ThreadPoolExecutor(4)

    def process_request(self, request, client_address):
        self.threads.submit(self.answer, request, client_address)

    def answer(self, request, client_address):
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)


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
