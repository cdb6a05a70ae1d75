"""The application of the story, on Django's sessions."""
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from hold import hold

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF="app",
    SECRET_KEY="of a test",
    SESSILE={"url": os.environ["STORE"], "token": os.environ["TOKEN"]},
    SESSION_COOKIE_AGE=int(os.environ["LIFETIME"]),
    SESSION_ENGINE="sessile_django",
)


def answer(request):
    return HttpResponse(f"{request.session.get('user', 'nobody')} {request.session.get('visits', 0)}")


def login(request):
    request.session.cycle_key()
    request.session["user"] = "Ada"
    return answer(request)


def logout(request):
    request.session.flush()
    return answer(request)


def visit(request):
    visits = request.session.get("visits", 0)
    if request.path == "/hold":
        hold()
    request.session["visits"] = visits + 1
    return answer(request)


urlpatterns = [path("me", answer), path("login", login), path("logout", logout), path("visit", visit), path("hold", visit)]
application = get_wsgi_application()
