"""Django settings: one file; every value that a person may change is an environment variable read here."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from webapp.config.env import (
    database_from_url,
    env_bool,
    env_folders,
    env_int,
    env_path,
    env_paths,
    env_secret,
    env_str,
)
from webapp.core import embedded

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# --- where things live ------------------------------------------------------------------------------------
DATA_DIR = env_path("NOCTURNE_DATA", BASE_DIR / "var")
STORE_DIR = env_path("NOCTURNE_STORE", DATA_DIR / "store")
# More places of the store (name=folder, commas between), and the one for new content: "local" is STORE_DIR.
STORE_FOLDERS = env_folders("NOCTURNE_STORES")
STORE_NEW = env_str("NOCTURNE_STORE_NEW", "local")
if STORE_NEW not in {"local", *STORE_FOLDERS}:
    raise ImproperlyConfigured(
        f"NOCTURNE_STORE_NEW is {STORE_NEW!r}; it must be local or a name of NOCTURNE_STORES."
    )
# That place's own disk, so that finishing an upload is one rename.
INCOMING_DIR = STORE_FOLDERS.get(STORE_NEW, STORE_DIR) / ".incoming"
CYCLES_DIR = env_path("NOCTURNE_CYCLES", DATA_DIR / "cycles")  # attempts and their snapshots

# --- one address gives hosts, origins and, by its scheme, the cookie hardening -----------------------------
NOCTURNE_URL = env_str("NOCTURNE_URL", "http://127.0.0.1:8000").rstrip("/")
_url = urlsplit(NOCTURNE_URL)
if _url.scheme not in {"http", "https"} or not _url.hostname:
    raise ImproperlyConfigured(
        "NOCTURNE_URL must be an address like https://nocturne.example or http://127.0.0.1:8000."
    )
HTTPS = _url.scheme == "https"
LOOPBACK = _url.hostname in {"127.0.0.1", "localhost", "::1"}
ALLOWED_HOSTS = [_url.hostname, *(["127.0.0.1", "localhost"] if LOOPBACK else [])]
# The launcher sets NOCTURNE_URL to the port it took, so even on loopback only one port is trusted: cookies
# do not know ports, and another local server's page must not drive this one.
_port = f":{_url.port}" if _url.port else ""
ORIGINS = [
    NOCTURNE_URL,
    *(f"{_url.scheme}://{name}{_port}" for name in ("127.0.0.1", "localhost") if LOOPBACK),
]
CSRF_TRUSTED_ORIGINS = ORIGINS
CSRF_FAILURE_VIEW = "webapp.core.views.csrf_failure"


def _secret_key() -> str:
    """The key from SECRET_KEY or SECRET_KEY_FILE; a laptop gets its own, kept beside its data."""
    if given := env_secret("SECRET_KEY"):
        return given
    path = DATA_DIR / "secret_key"
    if path.is_file():
        return path.read_text().strip()
    fresh = path.with_name(f".secret_key-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_urlsafe(64) + "\n")
        # A link appears whole or not at all, and the first of several processes wins.
        with suppress(FileExistsError):
            os.link(fresh, path)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {DATA_DIR} cannot be written ({error.strerror}). "
            "Point NOCTURNE_DATA at a folder that you may write, or give SECRET_KEY."
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
    return path.read_text().strip()


SECRET_KEY = _secret_key()
SECRET_KEY_FALLBACKS = [key for key in env_str("SECRET_KEY_FALLBACKS", "").split(",") if key]
DEBUG = env_bool("NOCTURNE_DEBUG", False)

# --- applications ------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "csp",
    "django_htmx",
    "allauth",
    "allauth.account",
    "webapp.core",
    "webapp.accounts",
    "webapp.projects",
    "webapp.checkpoints",
    "webapp.uploads",
    "webapp.memories",
    "webapp.cycles",
    "webapp.schedules",
    "webapp.live",
    "webapp.fleet",
    "webapp.reports",
    "webapp.storage",
    "consolidation",
    "workers",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "webapp.core.compression.TextCompression",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "webapp.core.middleware.ErrorSentenceMiddleware",
]
ROOT_URLCONF = "webapp.config.urls"
ASGI_APPLICATION = "webapp.config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "webapp" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "webapp.core.context.shell",
            ],
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- the database: PostgreSQL, always ----------------------------------------------------------------------
DATABASE_URL = env_str("DATABASE_URL", "")
EMBEDDED_DATABASE = not DATABASE_URL
if EMBEDDED_DATABASE:
    DATABASE_URL = embedded.dsn(DATA_DIR)
DATABASES = {"default": database_from_url(DATABASE_URL)}

# Folders of this computer from which its owner may take files in (`manage.py up --files FOLDER`); never on a
# site that others reach.
LOCAL_FOLDERS = env_paths("NOCTURNE_LOCAL_FOLDERS") if EMBEDDED_DATABASE and LOOPBACK else []

# --- the doorbell -----------------------------------------------------------------------------------------
CELERY_BROKER_URL = env_str("CELERY_BROKER_URL", "")
CYCLE_LEASE_SECONDS = env_int("NOCTURNE_LEASE_SECONDS", 45)
CLOCK_TICK_SECONDS = env_int("NOCTURNE_TICK_SECONDS", 15)
CLAIM_POLL_SECONDS = env_int("NOCTURNE_POLL_SECONDS", 20)
SNAPSHOT_SECONDS = env_int("NOCTURNE_SNAPSHOT_SECONDS", 30)
TRAINER_THREADS = env_int("NOCTURNE_TRAINER_THREADS", 0)  # 0: one for small models, all cores else
# Most private memory of a trainer on a processor; 0: as much as there is. Above it the cycle is told so and
# tried once more with smaller pieces, instead of the system ending whatever it likes.
TRAINER_MEMORY_BYTES = env_int("NOCTURNE_TRAINER_MEMORY_GB", 0) * 10**9
STALL_SECONDS = env_int("NOCTURNE_STALL_SECONDS", 900)  # of silence, until a trainer is taken for stuck
TRAINER_DEVICE = env_str("NOCTURNE_DEVICE", "cpu")  # cpu, mps, cuda or cuda:0; one nights worker serves one
WORKER_INDEX = env_str("NOCTURNE_WORKER_INDEX", "")  # tells apart two nights workers on one device
FRAMES_DAYS = env_int("NOCTURNE_FRAMES_DAYS", 14)  # then the stream of an ended cycle is kept in short
CORE_WATTS = env_int("NOCTURNE_CORE_WATTS", 10)  # of one busy core, where no energy counter can be read
CYCLE_PROTOCOL = 1

# --- people -----------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "webapp.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/?left"  # that page lets go of what the browser holds
UPLOAD_IDLE_SECONDS = env_int("NOCTURNE_UPLOAD_HOURS", 24) * 3600  # after the last byte; then room is freed
STRICT_FOLDERS = env_bool("NOCTURNE_STRICT_FOLDERS", False)  # no programs or pickles beside uploaded weights
WORKSPACE_QUOTA_BYTES = env_int("NOCTURNE_QUOTA_GB", 50) * 10**9

# --- cookies and headers ------------------------------------------------------------------------------------
SESSION_COOKIE_NAME = "__Host-nocturne" if HTTPS else "nocturne"
CSRF_COOKIE_NAME = "__Host-nocturne-csrf" if HTTPS else "nocturne-csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 86400
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 365 * 86400 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "form-action": [SELF],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- language, time, assets ---------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "webapp" / "locale"]  # django.po: pages and Python; djangojs.po: scripts
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "webapp" / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000  # forms only; uploads have their own ASGI application
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# --- logs ---------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_str("NOCTURNE_LOG_LEVEL", "INFO")},
    "loggers": {"django.request": {"level": "ERROR"}, "django.channels.server": {"level": "WARNING"}},
}
