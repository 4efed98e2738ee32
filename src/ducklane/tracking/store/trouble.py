"""Turns errors of the MLflow store into plain words and a cure.

MLflow passes on the messages of requests, SQLAlchemy and servers: many lines in which the reason is one word,
and sometimes a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from ducklane.errors import reason
from ducklane.tracking.store.address import (
    PASSWORD,
    TOKEN,
    UNSET,
    USERNAME,
    VARIABLE,
    Address,
    TrackingError,
    masked,
)

ENDPOINT = "/api/2.0/mlflow/experiments/search"
"""The endpoint of the first request to a server."""

CORRECT = f"correct {VARIABLE}"
START = f"start it, correct {VARIABLE}, or {UNSET}"
WRITABLE = "get write permission, or use another file"

PACKAGES = {
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
}
"""Module -> its package, where the names differ."""

Words = tuple[str, str]
"""(problem, cure)"""

BACKUP = "move it away for a new one, or restore it from a backup"
SAID_BY_DATABASES = (
    (r"database is locked", "is locked by another process", "wait until that process has ended, or stop it"),
    (r"(file is not a database|database disk image is malformed)", r"cannot be opened (\1)", BACKUP),
    (r"readonly database|unable to open database file", "cannot be written", WRITABLE),
    (r"database or disk is full", "has no space left on its disk", "free some space"),
    (
        r"no password supplied|no pg_hba.conf entry",
        "asks for a password, or does not allow connections from this machine",
        f"write USER:PASSWORD@ before the host in {VARIABLE}",
    ),
    (
        r"(?:password|Peer|Ident) authentication failed for user \"(.*?)\"|Access denied for user '(.*?)'",
        "does not accept the user name and password",
        f"{CORRECT}; special characters are written as @ %40, : %3A, / %2F, % %25",
    ),
    (
        r"database \"(.*?)\" does not exist",
        r"has no database \1",
        r"create it (createdb), or correct the name",
    ),
    (r"Unknown database '(.*?)'", r"has no database \1", "create it, or correct the name"),
    (r"role \"(.*?)\" does not exist", r"has no user \1", "create one (createuser), or correct the name"),
    (
        r"permission denied for schema (\w+)",
        r"does not let this user create tables in schema \1",
        "make this user the owner of the database: ALTER DATABASE ... OWNER TO ...",
    ),
    (r"permission denied", "denies this user permission", "ask whoever runs it for permission"),
    (r"Can't load plugin: sqlalchemy.dialects:([\w.]+)", r"needs an unknown driver (\1)", CORRECT),
    (r"Is the server running locally", "does not answer (no such socket)", START),
)
"""Pattern in messages of sqlite, PostgreSQL and MySQL -> problem and cure."""


def trouble(error: BaseException, place: Address) -> TrackingError:
    """An error of MLflow, or of a library it uses, as one line that names the store and the cure."""
    if isinstance(error, TrackingError):
        return error
    return refused(place, _in_words(error, place))


def refused(place: Address, words: Words) -> TrackingError:
    """An error that names the store, the problem and the cure."""
    what, cure = words
    return TrackingError(f"MLflow store {place.shown}: {what}", cure)


def _in_words(error: BaseException, place: Address) -> Words:
    chain = list(_chain(error))
    kinds = {type(link).__name__ for link in chain}
    text = masked(" ".join(str(link) for link in chain))
    if missing := next((link for link in chain if isinstance(link, ModuleNotFoundError)), None):
        module = str(missing.name).partition(".")[0]
        package = PACKAGES.get(module, module)
        other = ", or write postgresql+psycopg2:// (psycopg2-binary)" if module == "psycopg" else ""
        return f"needs the package {package}, which is not installed", f"pip install {package}{other}"
    words = _of_server(kinds, text, error, place) if place.is_server else _of_database(text, place)
    words = words or _of_connection(kinds, text, place)
    return words or (f"cannot be used ({_first_line(error)})", "free it, or move it away for a new one")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all its causes."""
    pending, seen = [error], set()
    while pending:
        link = pending.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        message = getattr(link, "message", None)  # MLflow wraps errors of a database in this
        pending += [link.__cause__, link.__context__, getattr(link, "reason", None), message, *link.args]


def _first_line(error: BaseException) -> str:
    """The first line of an error; of a long one the system's error in it, or the beginning."""
    text = masked(reason(error))
    system = re.findall(r"\[Errno -?\d+\] [\w ]+", text)
    if system and len(text) > 200:
        return str(system[-1])
    return text if len(text) <= 300 else f"{text[:300].rpartition(' ')[0]} ..."


def _of_connection(kinds: set[str], text: str, place: Address) -> Words | None:
    host = urlsplit(place.uri).hostname
    if "NameResolutionError" in kinds or re.search(r"could not translate host name|\[Errno -\d\]", text):
        return f"there is no host {host}, or no network", START
    if "TimeoutError" in kinds or any("Timeout" in kind for kind in kinds) or "timeout expired" in text:
        return "does not answer in time", START
    if "refused" in text:
        return "does not answer (connection refused)", START
    if "RemoteDisconnected" in kinds or "ConnectionResetError" in kinds:
        return "closes the connection", f"{CORRECT} (https:// instead of http://?), or check its log"
    if re.search(r"unreachable|No route to host", text):
        return "does not answer (its network is unreachable)", START
    return None


def _of_server(kinds: set[str], text: str, error: BaseException, place: Address) -> Words | None:
    if "ProxyError" in kinds:
        return "is behind a proxy that refuses the connection", _proxy_cure(place)
    if "SSLError" in kinds:
        return _of_tls(text, place)
    if "InvalidHeader" in kinds:
        return f"cannot be sent {PASSWORD} or {TOKEN}, which contains a line break", "remove that"
    status = re.search(r"failed with error code (\d+)|too many (\d+) error responses", text)
    body = text.partition("Response body: '")[2]
    if status:
        return refusal(int(status[1] or status[2]), body, place)
    if getattr(error, "error_code", None) in (
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "CUSTOMER_UNAUTHORIZED",
    ):
        return refusal(403 if "PERMISSION" in str(error) else 401, _first_line(error), place)
    if "not in a valid JSON format" in text:
        return refusal(200, body, place)
    return None


def _of_tls(text: str, place: Address) -> Words:
    if re.search(r"mismatch|doesn't match|not valid for", text):
        return "has a certificate that is another host's", f"{CORRECT}: the name must be the certificate's"
    if "expired" in text:
        return "has a certificate that has expired", "ask whoever runs it, or set this machine's clock"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        cure = "set MLFLOW_TRACKING_SERVER_CERT_PATH to the file with the certificate that signed it"
        return "has a certificate that this machine does not trust", cure
    if re.search(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|PACKET_LENGTH|HTTP_REQUEST", text):
        return "does not speak TLS", f"write {place.shown.replace('https://', 'http://')}"
    return f"refuses TLS ({text[:150].rpartition(' ')[0]} ...)", "ask whoever runs it"


def _of_database(text: str, place: Address) -> Words | None:
    for pattern, what, cure in SAID_BY_DATABASES:
        if match := re.search(pattern, text):
            return match.expand(what), cure
    return None


def redirected(url: str) -> Words:
    """Problem and cure for a redirected answer: MLflow's requests do not survive redirects."""
    if url.endswith(ENDPOINT):
        return "has moved", f"write {masked(url.removesuffix(ENDPOINT))}"
    page = masked(url.partition("?")[0])
    return (
        f"redirects to {page}, a web page",
        f"give it {TOKEN}, or ask for an address without that login",
    )


def refusal(status: int, text: str, place: Address) -> Words | None:
    """Problem and cure from a server's answer; None if it is an MLflow server that accepts the request."""
    message = masked(reason(ValueError(re.sub(r"<[^>]*>", " ", text)))).strip()[:100]
    if status == 401:
        has_credentials = os.environ.get(USERNAME) or os.environ.get(TOKEN)
        if has_credentials:
            return "does not accept the user name, password or token (401)", f"correct {PASSWORD} or {TOKEN}"
        return "asks for a log-in (401)", f"set {USERNAME} and {PASSWORD}, or {TOKEN}"
    if status == 403 and "Invalid Host header" in text:
        hosts = f'--allowed-hosts "localhost:*,{place.host}"'
        return f"does not accept the host name {place.host} (403)", f"start it with {hosts}, or {CORRECT}"
    if status == 403:
        return (
            f"does not permit that (403: {message})",
            "ask for permission, or log in as another",
        )
    if status == 407:
        return "is behind a proxy that asks for a password (407)", _proxy_cure(place)
    if status in (429, 500, 502, 503, 504):
        return f"answers {status} ({message})", "wait, or ask whoever runs it"
    if status != 200 or not text.lstrip().startswith("{"):
        what = f"is not an MLflow server: it answers {status} ({message})"
        return what, f"{CORRECT}: it ends before the # in the address of the server's page"
    return None


def _proxy_cure(place: Address) -> str:
    return f"set no_proxy={urlsplit(place.uri).hostname}, or correct http_proxy and https_proxy"
