"""The address of the MLflow store: anchored, refused where MLflow would keep nothing there, and shown.

What is shown or said anywhere has no password in it: `Address.shown` for the address, `masked` for what
others say about it.
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
"""Kinds that MLflow keeps runs in, beside sqlite."""

UNSET = f"unset {VARIABLE} for mlflow.db at the repository's root"
HIDDEN = "***"

SPECIAL = {"@": "%40", ":": "%3A", "/": "%2F", "?": "%3F", "#": "%23", "%": "%25"}
"""Characters that end a password in an address, and how they are written there."""

QUERY_SECRET = re.compile(r"([?&](?:\w*pass(?:word|wd)|\w*token|\w*secret|pwd)=)([^&#\s]*)", re.IGNORECASE)
USER_INFO = re.compile(r"(\w://)([^\s:/@]*):[^\s]*@")


class TrackingError(UserError):
    """The store cannot be used.

    Args:
        what: is the matter, after the store's address.
        cure: what to do about it.
    """

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what}; {cure}" if cure else what)
        self.what, self.cure = what, cure


class AddressError(TrackingError):
    """The address is none of a store that runs can be kept in."""

    exit_code = 2


@dataclass(frozen=True)
class Address:
    """Where the runs are.

    Attributes:
        uri: for MLflow. A server's has no password, a database's has.
        shown: for people: without any password.
        scheme: sqlite, postgresql, http, ...; without the driver.
        credentials: user name and password of a server, by the variables in which MLflow looks for them.
    """

    uri: str
    shown: str
    scheme: str
    credentials: tuple[tuple[str, str], ...] = ()

    @property
    def is_server(self) -> bool:
        """Whether it is an MLflow server's."""
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
        """Of a server, as its Host header names it: with the port, where the address has one."""
        return urlsplit(self.uri).netloc.rpartition("@")[2]


def address() -> Address:
    """The address in MLFLOW_TRACKING_URI, or else that of mlflow.db at the repository's root.

    A relative sqlite file is one at the repository's root, wherever the command runs: DVC deletes the
    copies in which it runs experiments, and a store in them.

    Raises:
        AddressError: no runs can be kept there.
    """
    told = os.environ.get(VARIABLE, "").strip()
    if not told:
        return _sqlite("sqlite:///mlflow.db")
    scheme, separator, rest = told.partition(":")
    scheme = scheme.lower().partition("+")[0]
    if scheme in ("databricks", "databricks-uc", "uc"):
        raise _refused(told, "is a Databricks workspace, in which ducklane keeps no runs", UNSET)
    if not separator or not re.fullmatch(r"[a-z][a-z0-9\-]*", scheme) or scheme == "file":
        raise _folder(told)
    if re.fullmatch(r"\d+(/.*)?", rest):  # a host and its port: MLflow takes it for a folder
        raise _refused(told, "does not say how it is reached", f"write http://{told}")
    if scheme == "sqlite":
        return _sqlite(told)
    if scheme in ("http", "https"):
        return _server(told)
    if scheme in DATABASES:
        return _database(told, scheme)
    if scheme in {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}:
        return Address(told, shown(told), scheme)
    raise _refused(told, *_unknown(told, scheme))


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
    """What others say (MLflow, SQLAlchemy, requests) without the passwords of the store."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        # a password of few letters is a part of many words
        pattern = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(pattern, HIDDEN, text)
    return QUERY_SECRET.sub(rf"\1{HIDDEN}", USER_INFO.sub(rf"\1\2:{HIDDEN}@", text))


def _secrets() -> set[str]:
    """The passwords, each as it may be spelled."""
    told = os.environ.get(VARIABLE, "").strip()
    info = "" if told.startswith("sqlite") else told.partition("://")[2].rpartition("@")[0]
    user, _, password = info.partition(":")
    names = {os.environ.get(USERNAME, ""), unquote(user)}
    plain = {os.environ.get(name, "").strip() for name in (PASSWORD, TOKEN, "PGPASSWORD")}
    plain |= {password, unquote(password), *(secret for _, secret in QUERY_SECRET.findall(told))}
    plain -= {"", HIDDEN}
    spelled = {quote(secret, safe=safe) for secret in plain for safe in ("", "/")}
    spelled |= {repr(secret)[1:-1] for secret in plain}
    sent = {base64.b64encode(f"{name}:{secret}".encode()).decode() for name in names for secret in plain}
    return plain | spelled | sent


def _refused(told: str, what: str, cure: str) -> AddressError:
    return AddressError(f"{VARIABLE}: {shown(told)} {what}", cure)


def _folder(told: str) -> AddressError:
    path = unquote(re.sub(r"^file:(//(localhost)?(?=/))?", "", told, flags=re.IGNORECASE))
    if re.match(r"(\[[\da-f:]+\]|[\w.\-]+):\d+", told, re.IGNORECASE):
        return _refused(told, "does not say how it is reached", f"write http://{told}")
    if path.endswith((".db", ".sqlite", ".sqlite3")):
        return _refused(told, "is a file, and no address", f"write sqlite:///{path}")
    cure = f"{UNSET}, or write http://... for a server"
    if Path(path).is_dir():
        cure += "; `mlflow migrate-filestore --help` says how its runs get into a database"
    return _refused(told, "names a folder, and MLflow keeps no new runs in folders", cure)


def _unknown(told: str, scheme: str) -> tuple[str, str]:
    if scheme == "postgres":
        return "is no address that SQLAlchemy knows", "write postgresql://"
    kinds = "http, https, sqlite, postgresql, mysql or mssql"
    return f"begins with {scheme}:, for which MLflow has no store", f"begin with {kinds}, or {UNSET}"


def _sqlite(told: str) -> Address:
    name, query = _after_slashes(told)
    if name in ("", ":memory:") or name.startswith("file:"):
        raise _refused(told, "names no file", f"write sqlite:///PATH, or {UNSET}")
    path = Path(os.path.expanduser(name))
    if not path.is_absolute():
        path = copies.repository_root() / path
    path = Path(os.path.normpath(path))
    if "?" in str(path):
        raise _refused(f"sqlite:///{path}", "has a question mark in it, which ends an address", "rename it")
    head = told.partition(":")[0].lower()
    uri = f"{head}:///{path}{query}"
    return Address(uri, uri, "sqlite")


def _after_slashes(told: str) -> tuple[str, str]:
    """The file's name, and the query with its question mark."""
    rest = told.partition(":")[2]
    if not rest.startswith("///"):
        right = f"sqlite:///{rest.lstrip('/') or 'mlflow.db'}"
        raise _refused(told, "has too few slashes", f"write {right}, or with four of them an absolute path")
    name, mark, query = rest[3:].partition("?")
    return name, mark + query


def _server(told: str) -> Address:
    told = re.sub(r"^\w+", lambda scheme: scheme[0].lower(), told)
    _check_password(told)
    parts = urlsplit(told)
    if not parts.hostname or not _has_port(parts):
        raise _refused(told, "names no host and port", "write http://HOST:PORT")
    if parts.fragment or parts.query:
        page = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        raise _refused(told, "is a page of the server", f"write {shown(page)}")
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    told_apart = ((USERNAME, unquote(user)), (PASSWORD, unquote(password))) if colon else ()
    # with a password in it MLflow would print it whenever a run ends
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return Address(bare, shown(told).rstrip("/"), parts.scheme, told_apart)


def _database(told: str, scheme: str) -> Address:
    head, separator, _ = told.partition("://")
    if not separator:
        raise _refused(told, "has too few slashes", f"write {scheme}://USER@HOST/DATABASE")
    _check_password(told)
    if not _has_port(urlsplit(told)):
        raise _refused(told, "has no number for its port", f"write {scheme}://USER@HOST:PORT/DATABASE")
    return Address(head.lower() + told[len(head) :], shown(told), scheme)


def _check_password(told: str) -> None:
    """Refuse a password that ends too early, at a character that has to be spelled otherwise."""
    rest = told.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    cut = "@" in rest[len(authority) :] and ":" in authority and not _has_port(urlsplit(f"//{authority}"))
    if authority.count("@") > 1 or (cut and "@" not in authority):
        spelled = ", ".join(f"{character} as {code}" for character, code in SPECIAL.items())
        raise _refused(told, "has a password with special characters", f"write {spelled}")


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is a number, or none is given."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False
