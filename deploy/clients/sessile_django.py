"""Django's sessions in Sessile; with sessile_http.py beside it, for Django 4.2 or newer.

    SESSION_ENGINE = "sessile_django"
    SESSILE = {"url": "http://127.0.0.1:8081/sessions/v1/"}     # also: prefix ("django:"), token, timeout (3 seconds)

Values are signed with SECRET_KEY, as in Django's database engine. As in all of Django's engines, the last of several
requests at once decides what is stored; none brings back a session that was ended meanwhile. When the store does not
answer, the request fails; a session is new only if the store said that there is none.
"""
from django.conf import settings
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError

from sessile_http import Sessile

CREATE_ATTEMPTS = 3  # a new key is taken only if the store lost track of our own first request for it


class SessionStore(SessionBase):
    def __init__(self, session_key=None):
        super().__init__(session_key)
        self.store = Sessile(**{"prefix": "django:", **getattr(settings, "SESSILE", {})})

    def _validate_session_key(self, key):
        # What Django would not have given out is not asked for.
        return super()._validate_session_key(key) and len(key) <= 64 and set(key) <= set(VALID_KEY_CHARS)

    def exists(self, session_key):
        return bool(session_key) and self.store.get(session_key) is not None

    def load(self):
        value = self.store.get(self.session_key)
        if value is None:
            self._session_key = None
            return {}
        return self.decode(value.decode())

    def create(self):
        for _ in range(CREATE_ATTEMPTS):
            self._session_key = self._get_new_session_key()
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return
        raise CreateError

    def save(self, must_create=False):
        if self.session_key is None:
            return self.create()
        value = self.encode(self._get_session(no_load=must_create)).encode()
        ttl = self.get_expiry_age()
        if ttl <= 0:
            self.delete()
        elif must_create:
            if not self.store.put(self.session_key, value, ttl, if_none_match="*"):
                raise CreateError
        elif not self.store.put(self.session_key, value, ttl, if_match="*"):
            raise UpdateError

    def delete(self, session_key=None):
        if session_key := session_key or self.session_key:
            self.store.delete(session_key)

    @classmethod
    def clear_expired(cls):
        """Nothing to do: the store ends sessions by itself."""
