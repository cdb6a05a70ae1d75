"""What sessile_django.py and sessile_flask.py share: one request to Sessile, with nothing but Python's own library.

An answer that was not expected, or none, is a SessileError, an OSError. Only a 404 says that a session is not there.
"""
import http.client
import os
import threading
from urllib.parse import quote, urlsplit

_own = threading.local()  # each thread keeps a connection to each store
os.register_at_fork(after_in_child=lambda: _own.__dict__.clear())


class SessileError(OSError):
    """The store did not answer, or not what it should have. It never names a key: those are credentials."""


class Sessile:
    """The sessions under `url`, with keys that begin with `prefix`; `timeout` is in seconds, `token` a bearer token."""

    def __init__(self, url="http://127.0.0.1:8081/sessions/v1/", prefix="", token=None, timeout=3):
        self.url, self.prefix, self.timeout = urlsplit(url.rstrip("/") + "/"), prefix, timeout
        self.headers = {"Content-Type": "application/octet-stream"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def get(self, key):
        """The value; None if there is no such session (any more)."""
        status, value = self._ask("GET", key, (200, 404))
        return value if status == 200 else None

    def put(self, key, value, ttl, **conditions):
        """Stores `value` for `ttl` seconds. False if a condition (`if_match="*"`, `if_none_match="*"`) did not hold."""
        headers = {name.replace("_", "-"): condition for name, condition in conditions.items()}
        return self._ask("POST", key, (201, 412), value, TTL=str(ttl), **headers)[0] == 201

    def renew(self, key, ttl):
        """Gives the session `ttl` seconds from now on. False if it is not there."""
        return self._ask("PATCH", key, (204, 404), TTL=str(ttl))[0] == 204

    def delete(self, key):
        self._ask("DELETE", key, (204,))

    def _ask(self, method, key, expected, body=None, **headers):
        path = self.url.path + quote(self.prefix + key, safe="")
        status, value = self._answer(method, path, body, {**self.headers, **headers})
        if status not in expected:
            raise SessileError(f"Sessile answered {status} to a {method}")
        return status, value

    def _answer(self, method, path, body, headers):
        connections = _own.__dict__
        kept = connections.pop(self.url.netloc, None)
        # A connection that was kept may have been closed by the store meanwhile: then once more, on a new one.
        for connection in filter(None, (kept, self._connection())):
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                value = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if connection is kept and isinstance(error, ConnectionError):
                    continue
                raise SessileError(f"Sessile did not answer a {method}: {error!r}") from None
            connections[self.url.netloc] = connection
            return answer.status, value

    def _connection(self):
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        return kind(self.url.netloc, timeout=self.timeout)
