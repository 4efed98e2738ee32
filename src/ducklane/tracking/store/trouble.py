"""In plain words what is wrong with the MLflow store, and what to do about it.

MLflow passes on what requests, SQLAlchemy and servers say: many lines in which the reason is one word, and
now and then a password.
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
"""What a server is asked first."""

CORRECT = f"correct {VARIABLE}"
START = f"start it, correct {VARIABLE}, or {UNSET}"
WRITABLE = "give yourself the right to write there, or use another file"

PACKAGES = {
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
}
"""Packages that have another name than their module."""

CODES = {"PERMISSION_DENIED": 403, "UNAUTHENTICATED": 401, "CUSTOMER_UNAUTHORIZED": 401}
"""MLflow's own words for what HTTP has numbers for."""

Words = tuple[str, str]
"""What is the matter, and what to do about it."""

BACKUP = "move it away for a new one, or restore it from a backup"
SAID_BY_DATABASES = (
    (r"database is locked", "is locked by another process", "wait until that has ended, or end it"),
    (r"(file is not a database|database disk image is malformed)", r"cannot be opened (\1)", BACKUP),
    (r"readonly database|unable to open database file", "cannot be written", WRITABLE),
    (r"database or disk is full", "has no room on its disk", "make room"),
    (
        r"no password supplied|no pg_hba.conf entry",
        "asks for a password, or does not let us in from here",
        f"write USER:PASSWORD@ before the host in {VARIABLE}",
    ),
    (
        r"(?:password|Peer|Ident) authentication failed for user \"(.*?)\"|Access denied for user '(.*?)'",
        "does not accept the user name and password",
        f"{CORRECT}; special characters are spelled as in @ %40, : %3A, / %2F, % %25",
    ),
    (r"database \"(.*?)\" does not exist", r"has no database \1", r"make it (createdb), or correct it"),
    (r"Unknown database '(.*?)'", r"has no database \1", "make it, or correct it"),
    (r"role \"(.*?)\" does not exist", r"has no user \1", "make one (createuser), or correct it"),
    (
        r"permission denied for schema (\w+)",
        r"does not let this user make tables in schema \1",
        "make the database the user's own: ALTER DATABASE ... OWNER TO ...",
    ),
    (r"permission denied", "does not permit that to this user", "ask whoever runs it for permission"),
    (r"Can't load plugin: sqlalchemy.dialects:([\w.]+)", r"needs an unknown driver (\1)", CORRECT),
    (r"Is the server running locally", "does not answer (no such socket)", START),
)
"""What sqlite, PostgreSQL and MySQL say, and what is meant."""


def trouble(error: BaseException, place: Address) -> TrackingError:
    """An error of MLflow, or of what it leans on, as one line that names the store and the cure."""
    if isinstance(error, TrackingError):
        return error
    return refused(place, _in_words(error, place))


def refused(place: Address, words: Words) -> TrackingError:
    """An error that names the store, from what is the matter and the cure."""
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
    """An error and those that it came of."""
    pending, seen = [error], set()
    while pending:
        link = pending.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        message = getattr(link, "message", None)  # MLflow's, of a database
        pending += [link.__cause__, link.__context__, getattr(link, "reason", None), message, *link.args]


def _first_line(error: BaseException) -> str:
    """Of long lines the system's own error, or the beginning."""
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
        return "hangs up", f"{CORRECT} (https:// in place of http://?), or look into its log"
    if re.search(r"unreachable|No route to host", text):
        return "does not answer (no way leads to its network)", START
    return None


def _of_server(kinds: set[str], text: str, error: BaseException, place: Address) -> Words | None:
    if "ProxyError" in kinds:
        return "lies behind a proxy that does not let us through", _proxy_cure(place)
    if "SSLError" in kinds:
        return _of_tls(text, place)
    if "InvalidHeader" in kinds:
        return f"cannot be sent {PASSWORD} or {TOKEN}: there is a line break in it", "write it without"
    status = re.search(r"failed with error code (\d+)|too many (\d+) error responses", text)
    said = text.partition("Response body: '")[2]
    if status:
        return refusal(int(status[1] or status[2]), said, place)
    if getattr(error, "error_code", None) in (
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "CUSTOMER_UNAUTHORIZED",
    ):
        return refusal(403 if "PERMISSION" in str(error) else 401, _first_line(error), place)
    if "not in a valid JSON format" in text:
        return refusal(200, said, place)
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
    """What to say of an answer that came from elsewhere: MLflow's requests do not survive that."""
    if url.endswith(ENDPOINT):
        return "has moved", f"write {masked(url.removesuffix(ENDPOINT))}"
    page = masked(url.partition("?")[0])
    return (
        f"sends us to {page}, a page for people",
        f"give it {TOKEN}, or ask for an address without that page",
    )


def refusal(status: int, text: str, place: Address) -> Words | None:
    """What an answer of a server says, None if it is one of an MLflow server that lets us in."""
    said = masked(reason(ValueError(re.sub(r"<[^>]*>", " ", text)))).strip()[:100]
    if status == 401:
        given = os.environ.get(USERNAME) or os.environ.get(TOKEN)
        if given:
            return "does not accept the user name, password or token (401)", f"correct {PASSWORD} or {TOKEN}"
        return "asks who we are (401)", f"set {USERNAME} and {PASSWORD}, or {TOKEN}"
    if status == 403 and "Invalid Host header" in text:
        hosts = f'--allowed-hosts "localhost:*,{place.host}"'
        return f"does not go by the name {place.host} (403)", f"start it with {hosts}, or {CORRECT}"
    if status == 403:
        return (
            f"does not permit that (403: {said})",
            "ask for permission, or log in as another",
        )
    if status == 407:
        return "lies behind a proxy that asks for a password (407)", _proxy_cure(place)
    if status in (429, 500, 502, 503, 504):
        return f"answers {status} ({said})", "wait, or ask whoever runs it"
    if status != 200 or not text.lstrip().startswith("{"):
        what = f"is no MLflow server: it answers {status} ({said})"
        return what, f"{CORRECT}: it ends before the # of the server's page"
    return None


def _proxy_cure(place: Address) -> str:
    return f"set no_proxy={urlsplit(place.uri).hostname}, or correct http_proxy and https_proxy"
