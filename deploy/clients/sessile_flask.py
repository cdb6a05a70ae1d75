"""Flask-Session in Sessile; with sessile_http.py beside it, for Flask-Session 0.8 or newer.

    app.config["SESSILE"] = {"url": "http://127.0.0.1:8081/sessions/v1/"}     # also: token, timeout (3 seconds)
    app.session_interface = SessileSessionInterface(app)

Flask-Session's own settings hold as ever; SESSION_KEY_PREFIX is "flask:" here. A request that changes nothing only renews
the session. As in all of its stores, the last of several requests at once decides what is stored; none brings back a
session that was ended meanwhile. When the store does not answer, the request fails; a session is new only if the store
said that there is none. Call app.session_interface.regenerate(session) at login.
"""
import re

from flask_session.base import ServerSideSession, ServerSideSessionInterface
from flask_session.defaults import Defaults

from sessile_http import Sessile, SessileError

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")  # what Flask-Session gives out; nothing else is asked for


class SessileSession(ServerSideSession):
    def __init__(self, initial=None, **others):
        super().__init__(initial, **others)
        self.stored = initial is not None


class SessileSessionInterface(ServerSideSessionInterface):
    session_class = SessileSession
    ttl = True

    def __init__(self, app):
        setting = lambda name: app.config.get(f"SESSION_{name}", getattr(Defaults, f"SESSION_{name}"))
        super().__init__(
            app, app.config.get("SESSION_KEY_PREFIX", "flask:"), setting("USE_SIGNER"), setting("PERMANENT"),
            setting("ID_LENGTH"), setting("SERIALIZATION_FORMAT"),
        )
        self.store = Sessile(**app.config.get("SESSILE", {}))

    def regenerate(self, session):
        super().regenerate(session)
        session.stored = False

    def save_session(self, app, session, response):
        # None if the store did not answer when the request began: that error is the answer, and there is nothing to save.
        if session is not None:
            super().save_session(app, session, response)

    def _retrieve_session_data(self, store_id):
        if not SESSION_ID.fullmatch(store_id.removeprefix(self.key_prefix)):
            return None
        value = self.store.get(store_id)
        return None if value is None else self.serializer.decode(value)

    def _delete_session(self, store_id):
        self.store.delete(store_id)

    def _upsert_session(self, session_lifetime, session, store_id):
        ttl = max(1, int(session_lifetime.total_seconds()))
        if session.stored and not session.modified:
            self.store.renew(store_id, ttl)
            return
        conditions = {"if_match": "*"} if session.stored else {}
        if not self.store.put(store_id, self.serializer.encode(session), ttl, **conditions):
            raise SessileError("another request has ended this session")
        session.stored = True
