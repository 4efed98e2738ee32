"""The address of the MLflow store: made absolute, refused if MLflow cannot keep runs there, and shown.

No message contains a password: `Address.shown` is the address without one, and `masked` removes them from
the messages of others.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from ducklane.errors import UserError
from ducklane.repository import copies

VARIABLE = "MLFLOW_TRACKING_URI"
USERNAME, PASSWORD, TOKEN = (f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD", "TOKEN"))

DATABASES = ("postgresql", "mysql", "mssql")
"""Databases that MLflow supports besides sqlite."""

UNSET = f"unset {VARIABLE} for mlflow.db at the repository's root"
HIDDEN = "***"

SPECIAL = {"@": "%40", ":": "%3A", "/": "%2F", "?": "%3F", "#": "%23", "%": "%25"}
"""Characters that would end a password in an address -> how to write them."""

QUERY_SECRET = re.compile(r"([?&](?:\w*pass(?:word|wd)|\w*token|\w*secret|pwd)=)([^&#\s]*)", re.IGNORECASE)
USER_INFO = re.compile(r"(\w://)([^\s:/@]*):[^\s]*@")


class TrackingError(UserError):
    """The store cannot be used.

    Args:
        what: the problem, after the store's address.
        cure: what to do about it.
    """

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what}; {cure}" if cure else what)
        self.what, self.cure = what, cure


class AddressError(TrackingError):
    """The address is not that of a store that can keep runs."""

    exit_code = 2


@dataclass(frozen=True)
class Address:
    """The address of the store.

    Attributes:
        uri: for MLflow. A server's has no password, a database's may have one.
        shown: for messages, without any password.
        scheme: sqlite, postgresql, http, ...; without the driver.
        credentials: user name and password of a server, by the environment variables that MLflow reads.
    """

    uri: str
    shown: str
    scheme: str
    credentials: tuple[tuple[str, str], ...] = ()

    @property
    def is_server(self) -> bool:
        """Whether it is the address of an MLflow server."""
        return self.scheme in ("http", "https")

    @property
    def is_database(self) -> bool:
        """Whether MLflow opens a database itself, sqlite or another."""
        return self.scheme in ("sqlite", *DATABASES)

    @property
    def file(self) -> Path | None:
        """The sqlite file, absolute."""
        if self.scheme != "sqlite":
            return None
        return Path(self.uri.partition(":///")[2].partition("?")[0])

    @property
    def host(self) -> str:
        """Of a server, as in the Host header: with the port if the address has one."""
        return urlsplit(self.uri).netloc.rpartition("@")[2]


def address() -> Address:
    """The address in MLFLOW_TRACKING_URI, or by default that of mlflow.db at the repository's root.

    The path of a sqlite file is relative to the repository's root, wherever the command runs: DVC deletes
    the copies in which it runs experiments, and any store in them.

    Raises:
        AddressError: it cannot keep runs.
    """
    uri = os.environ.get(VARIABLE, "").strip()
    if not uri:
        return _sqlite("sqlite:///mlflow.db")
    scheme, separator, rest = uri.partition(":")
    scheme = scheme.lower().partition("+")[0]
    if scheme in ("databricks", "databricks-uc", "uc"):
        raise _refused(uri, "is a Databricks workspace, which ducklane does not support", UNSET)
    if not separator or not re.fullmatch(r"[a-z][a-z0-9\-]*", scheme) or scheme == "file":
        raise _folder(uri)
    if re.fullmatch(r"\d+(/.*)?", rest):  # a host and its port, which MLflow takes for a folder
        raise _refused(uri, "has no scheme", f"write http://{uri}")
    if scheme == "sqlite":
        return _sqlite(uri)
    if scheme in ("http", "https"):
        return _server(uri)
    if scheme in DATABASES:
        return _database(uri, scheme)
    if scheme in {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}:
        return Address(uri, shown(uri), scheme)
    raise _refused(uri, *_unknown(uri, scheme))


def shown(uri: str) -> str:
    """An address without its passwords."""
    head, separator, rest = uri.partition("://")
    info, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = info.partition(":")
        hidden = f"{user}:{HIDDEN}" if colon else HIDDEN if head.startswith("http") else user
        rest = f"{hidden}@{place}"
    return QUERY_SECRET.sub(rf"\1{HIDDEN}", f"{head}{separator}{rest}")


def masked(text: str) -> str:
    """A message of MLflow, SQLAlchemy or requests, without the passwords of the store."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        # a short password may be part of many words
        pattern = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(pattern, HIDDEN, text)
    return QUERY_SECRET.sub(rf"\1{HIDDEN}", USER_INFO.sub(rf"\1\2:{HIDDEN}@", text))


def _secrets() -> set[str]:
    """The passwords, each in all forms in which it may appear."""
    uri = os.environ.get(VARIABLE, "").strip()
    info = "" if uri.startswith("sqlite") else uri.partition("://")[2].rpartition("@")[0]
    user, _, password = info.partition(":")
    names = {os.environ.get(USERNAME, ""), unquote(user)}
    plain = {os.environ.get(name, "").strip() for name in (PASSWORD, TOKEN, "PGPASSWORD")}
    plain |= {password, unquote(password), *(secret for _, secret in QUERY_SECRET.findall(uri))}
    plain -= {"", HIDDEN}
    spelled = {quote(secret, safe=safe) for secret in plain for safe in ("", "/")}
    spelled |= {repr(secret)[1:-1] for secret in plain}
    sent = {base64.b64encode(f"{name}:{secret}".encode()).decode() for name in names for secret in plain}
    return plain | spelled | sent


def _refused(uri: str, what: str, cure: str) -> AddressError:
    return AddressError(f"{VARIABLE}: {shown(uri)} {what}", cure)


def _folder(uri: str) -> AddressError:
    path = unquote(re.sub(r"^file:(//(localhost)?(?=/))?", "", uri, flags=re.IGNORECASE))
    if re.match(r"(\[[\da-f:]+\]|[\w.\-]+):\d+", uri, re.IGNORECASE):
        return _refused(uri, "has no scheme", f"write http://{uri}")
    if path.endswith((".db", ".sqlite", ".sqlite3")):
        return _refused(uri, "is a file, not an address", f"write sqlite:///{path}")
    cure = f"{UNSET}, or write http://... for a server"
    if Path(path).is_dir():
        cure += "; `mlflow migrate-filestore --help` says how to move its runs to a database"
    return _refused(uri, "names a folder, and MLflow no longer keeps runs in folders", cure)


def _unknown(uri: str, scheme: str) -> tuple[str, str]:
    if scheme == "postgres":
        return "is not an address that SQLAlchemy knows", "write postgresql://"
    kinds = "http, https, sqlite, postgresql, mysql or mssql"
    return f"begins with {scheme}:, for which MLflow has no store", f"begin with {kinds}, or {UNSET}"


def _sqlite(uri: str) -> Address:
    name, query = _after_slashes(uri)
    if name in ("", ":memory:") or name.startswith("file:"):
        raise _refused(uri, "names no file", f"write sqlite:///PATH, or {UNSET}")
    path = Path(os.path.expanduser(name))
    if not path.is_absolute():
        path = copies.repository_root() / path
    path = Path(os.path.normpath(path))
    if "?" in str(path):
        raise _refused(f"sqlite:///{path}", "contains a question mark, which ends an address", "rename it")
    head = uri.partition(":")[0].lower()
    absolute = f"{head}:///{path}{query}"
    return Address(absolute, absolute, "sqlite")


def _after_slashes(uri: str) -> tuple[str, str]:
    """The file's name, and the query with its question mark."""
    rest = uri.partition(":")[2]
    if not rest.startswith("///"):
        right = f"sqlite:///{rest.lstrip('/') or 'mlflow.db'}"
        raise _refused(uri, "has too few slashes", f"write {right}, or four slashes for an absolute path")
    name, mark, query = rest[3:].partition("?")
    return name, mark + query


def _server(uri: str) -> Address:
    uri = re.sub(r"^\w+", lambda scheme: scheme[0].lower(), uri)
    _check_password(uri)
    parts = urlsplit(uri)
    if not parts.hostname or not _has_port(parts):
        raise _refused(uri, "names no host and port", "write http://HOST:PORT")
    if parts.fragment or parts.query:
        page = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        raise _refused(uri, "is a page of the server", f"write {shown(page)}")
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    credentials = ((USERNAME, unquote(user)), (PASSWORD, unquote(password))) if colon else ()
    # MLflow prints the address whenever a run ends: leave the password out
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return Address(bare, shown(uri).rstrip("/"), parts.scheme, credentials)


def _database(uri: str, scheme: str) -> Address:
    head, separator, _ = uri.partition("://")
    if not separator:
        raise _refused(uri, "has too few slashes", f"write {scheme}://USER@HOST/DATABASE")
    _check_password(uri)
    if not _has_port(urlsplit(uri)):
        raise _refused(uri, "has a port that is not a number", f"write {scheme}://USER@HOST:PORT/DATABASE")
    return Address(head.lower() + uri[len(head) :], shown(uri), scheme)


def _check_password(uri: str) -> None:
    """Refuse a password that ends early, at a character that has to be escaped."""
    rest = uri.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    cut = "@" in rest[len(authority) :] and ":" in authority and not _has_port(urlsplit(f"//{authority}"))
    if authority.count("@") > 1 or (cut and "@" not in authority):
        spelled = ", ".join(f"{character} as {code}" for character, code in SPECIAL.items())
        raise _refused(uri, "has a password with special characters", f"write {spelled}")


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is a number, or none is given."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False
