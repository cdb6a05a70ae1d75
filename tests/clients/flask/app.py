"""The application of the story, on Flask-Session."""
import os

from flask import Flask, session
from hold import hold
from sessile_flask import SessileSessionInterface

application = Flask(__name__)
application.config.update(
    PERMANENT_SESSION_LIFETIME=int(os.environ["LIFETIME"]),
    SESSILE={"url": os.environ["STORE"], "token": os.environ["TOKEN"]},
)
application.session_interface = SessileSessionInterface(application)


@application.get("/me")
def answer():
    return f"{session.get('user', 'nobody')} {session.get('visits', 0)}"


@application.get("/login")
def login():
    application.session_interface.regenerate(session)
    session["user"] = "Ada"
    return answer()


@application.get("/logout")
def logout():
    session.clear()
    return answer()


@application.get("/visit")
def visit():
    session["visits"] = session.get("visits", 0) + 1
    return answer()


@application.get("/hold")
def held_visit():
    visits = session.get("visits", 0)
    hold()
    session["visits"] = visits + 1
    return answer()
