"""An unusable store is reported in one line within seconds: what is wrong, and the fix."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import shutil
import socket
import sqlite3
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ducklane.tracking.store import contact, trouble
from ducklane.tracking.store.address import TrackingError, address
from ducklane.tracking.store.contact import first_contact, knock

Patch = pytest.MonkeyPatch
EmptyStore = Callable[[Path], Path]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A repository's root, as DVC names it, in an environment without variables for stores and proxies."""
    for name in [*os.environ]:
        if name.startswith("MLFLOW_") or name.lower().endswith("_proxy") or name.startswith("PG"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # what the first contact adds goes away again
    for name in ("no_proxy", "NO_PROXY", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "8")
    return tmp_path


def refusal(monkeypatch: Patch, uri: str) -> str:
    """The refusal of a store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingError) as refused:
        knock(address())
    said = str(refused.value)
    assert said.startswith(f"MLflow store {address().shown}: ")
    assert "\n" not in said
    assert len(said) < 500
    return said


class Answer(BaseHTTPRequestHandler):
    """A server's one answer: status, headers, text; `asked` keeps what it was sent."""

    status = 200
    headers_sent: tuple[tuple[str, str], ...] = ()
    text = "{}"
    asked: list[dict[str, str]]

    def do_POST(self) -> None:
        self.asked.append(dict(self.headers))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        for name, value in self.headers_sent:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.text.encode())

    do_GET = do_POST

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(
    status: int = 200,
    text: str = "{}",
    headers: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A stand-in for a server or its proxy; gives its address without the scheme, and what it was asked."""
    asked: list[dict[str, str]] = []
    fields = {"status": status, "text": text, "headers_sent": tuple((headers or {}).items()), "asked": asked}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Said", (Answer,), fields))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


LOG_IN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
PAGE = "<html><head><title>Log in</title></head><body>Who are you?</body></html>"
HOST = "Invalid Host header - possible DNS rebinding attack detected"


@pytest.mark.parametrize(
    ("status", "text", "what", "cure"),
    [
        (
            401,
            "",
            "asks for a log-in (401)",
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        ),
        (403, "Permission denied", "does not permit that (403: Permission denied)", "ask for permission"),
        (403, HOST, "does not accept the host name", "--allowed-hosts"),
        (404, PAGE, "is not an MLflow server: it answers 404 (Log in", "correct MLFLOW_TRACKING_URI"),
        (
            404,
            '{"detail":"Not Found"}',
            "is not an MLflow server: it answers 404",
            "correct MLFLOW_TRACKING_URI",
        ),
        (200, PAGE, "is not an MLflow server: it answers 200 (Log in", "correct MLFLOW_TRACKING_URI"),
        (407, "", "behind a proxy that asks for a password (407)", "no_proxy=127.0.0.1"),
        (503, "busy", "answers 503 (busy)", "wait"),
    ],
)
def test_a_servers_refusal_is_distinguished_from_no_answer(
    monkeypatch: Patch, status: int, text: str, what: str, cure: str
) -> None:
    with serving(status, text) as (place, _):
        said = refusal(monkeypatch, f"http://{place}")
    assert what in said
    assert cure in said
    assert "does not answer" not in said


def test_a_wrong_password_is_distinguished_from_a_missing_one_and_not_shown(monkeypatch: Patch) -> None:
    with serving(401) as (place, asked):
        said = refusal(monkeypatch, f"http://ann:se%40cret@{place}")
    assert "does not accept the user name, password or token (401)" in said
    assert "cret" not in said
    assert asked[0]["Authorization"] == f"Basic {base64.b64encode(b'ann:se@cret').decode()}"


def test_a_token_with_a_line_break_is_not_shown(monkeypatch: Patch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mustard\n")
    with serving() as (place, _):
        said = refusal(monkeypatch, f"http://{place}")
    assert "MLFLOW_TRACKING_TOKEN, which contains a line break" in said
    assert "mustard" not in said


def test_a_login_page_is_named(monkeypatch: Patch) -> None:
    with (
        serving(200, PAGE) as (login, _),
        serving(302, headers={"Location": f"http://{login}/login?to=x"}) as (place, _),
    ):
        said = refusal(monkeypatch, f"http://{place}")
    assert f"redirects to http://{login}/login, a web page" in said


def test_a_server_that_has_moved_is_named(monkeypatch: Patch) -> None:
    with serving() as (new, _):
        headers = {"Location": f"http://{new}{trouble.ENDPOINT}"}
        with serving(301, headers=headers) as (old, _):
            said = refusal(monkeypatch, f"http://{old}")
    assert said.endswith(f"has moved; write http://{new}")


def test_a_refused_connection_is_reported(monkeypatch: Patch) -> None:
    said = refusal(monkeypatch, "http://127.0.0.1:1")
    assert "does not answer (connection refused); start it" in said
    assert "unset MLFLOW_TRACKING_URI" in said


def test_an_unknown_host_is_reported(monkeypatch: Patch) -> None:
    assert "there is no host nobody.invalid" in refusal(monkeypatch, "http://nobody.invalid:5000")
    assert "there is no host nobody.invalid" in refusal(
        monkeypatch, "postgresql+psycopg2://nobody.invalid/runs"
    )


@pytest.fixture
def silence(monkeypatch: Patch) -> Iterator[int]:
    """A port that accepts connections and never answers; the limit is one second."""
    monkeypatch.setattr(contact, "LIMIT_S", 1.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        yield mute.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg2"])
def test_a_store_that_does_not_answer_is_given_up_after_the_limit(
    monkeypatch: Patch, silence: int, scheme: str
) -> None:
    said = refusal(monkeypatch, f"{scheme}://ann:secret@127.0.0.1:{silence}/runs")
    assert "does not answer in time" in said
    assert "secret" not in said


def test_the_limit_leaves_time_within_fifteen_seconds() -> None:
    # Python and MLflow take some seconds to start
    assert contact.LIMIT_S + 1 <= 10


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mlflow")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()) + signed.public_bytes(pem))
    return path


def test_an_untrusted_certificate_is_reported_and_the_fix_works(
    monkeypatch: Patch, certificate: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serving(tls=tls) as (place, _):
        said = refusal(monkeypatch, f"https://{place}")
        assert "has a certificate that this machine does not trust" in said
        assert "set MLFLOW_TRACKING_SERVER_CERT_PATH" in said
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        knock(address())
        named = refusal(monkeypatch, f"https://{place.replace('127.0.0.1', 'localhost')}")
        assert "has a certificate that is another host's" in named
        assert "closes the connection" in refusal(monkeypatch, f"http://{place}")


def test_a_server_without_tls_is_reported(monkeypatch: Patch) -> None:
    with serving() as (place, _):
        assert f"does not speak TLS; write http://{place}" in refusal(monkeypatch, f"https://{place}")


def test_no_proxy_is_used_for_a_server_on_this_machine(monkeypatch: Patch) -> None:
    monkeypatch.setenv("http_proxy", "http://ann:secret@127.0.0.1:1")
    with serving() as (place, asked):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{place}")
        knock(address())
    assert asked
    said = refusal(monkeypatch, "http://mlflow.example.org:5000")
    assert "is behind a proxy that refuses the connection; set no_proxy=mlflow.example.org" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mysql://ann:secret@127.0.0.1:1/runs", "needs the package mysqlclient"),
        ("mysql+pymysql://ann:secret@127.0.0.1:1/runs", "needs the package pymysql"),
        ("postgresql+nosuch://ann:secret@127.0.0.1:1/runs", "needs an unknown driver (postgresql.nosuch)"),
        ("postgresql+psycopg2://ann:secret@127.0.0.1:1/runs", "does not answer (connection refused)"),
        ("postgresql+psycopg2:///runs?host=/nowhere", "does not answer (no such socket)"),
    ],
)
def test_an_unreachable_database_is_reported_without_its_password(
    monkeypatch: Patch, uri: str, said: str
) -> None:
    line = refusal(monkeypatch, uri)
    assert said in line
    assert "secret" not in line


def test_a_damaged_file_is_reported(root: Path, monkeypatch: Patch) -> None:
    (root / "mlflow.db").write_bytes(b"this is no database" * 100)
    said = refusal(monkeypatch, "sqlite:///mlflow.db")
    assert "cannot be opened (file is not a database); move it away" in said


def test_a_file_of_another_program_is_left_alone(root: Path, monkeypatch: Patch) -> None:
    with sqlite3.connect(root / "history.db") as database:
        database.execute("CREATE TABLE visits (url)")
    assert "belongs to another program" in refusal(monkeypatch, "sqlite:///history.db")


def test_a_folder_and_a_path_below_a_file_are_reported(root: Path, monkeypatch: Patch) -> None:
    (root / "file").touch()
    assert f"{root} is a folder" in refusal(monkeypatch, f"sqlite:///{root}")
    assert f"{root}/file is not a folder" in refusal(monkeypatch, "sqlite:///file/mlflow.db")


def test_a_file_locked_by_another_process_is_reported(
    root: Path, monkeypatch: Patch, empty_store: EmptyStore
) -> None:
    monkeypatch.setattr(contact, "LIMIT_S", 1.0)
    with sqlite3.connect(empty_store(root), isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert "is locked by another process; wait" in refusal(monkeypatch, "sqlite:///mlflow.db")


@pytest.mark.parametrize(
    ("schema", "what", "cure"),
    [
        ("fffffffffff0", "was written by a newer MLflow than", "install that version"),
        ("0584bdc529eb", "was written by an older MLflow than", "`mlflow db upgrade sqlite:////"),
    ],
)
def test_tables_of_another_mlflow_version_are_reported_and_kept(
    root: Path, monkeypatch: Patch, empty_store: EmptyStore, schema: str, what: str, cure: str
) -> None:
    file = empty_store(root)
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (schema,))
    before = file.read_bytes()
    said = refusal(monkeypatch, "sqlite:///mlflow.db")
    assert what in said
    assert cure in said
    assert file.read_bytes() == before


@pytest.fixture
def nobodys_folder() -> Iterator[Path]:
    """A folder that this process may read but not write, even if it runs as root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    administrator = os.geteuid() == 0
    try:
        yield folder
    finally:
        if administrator:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_read_only_file_is_reported(
    nobodys_folder: Path, monkeypatch: Patch, empty_store: EmptyStore
) -> None:
    file = empty_store(nobodys_folder)
    file.chmod(0o444)
    nobodys_folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    assert f"{file} cannot be written" in refusal(monkeypatch, f"sqlite:///{file}")
    assert f"{nobodys_folder} cannot be written" in refusal(monkeypatch, f"sqlite:///{nobodys_folder}/new.db")


def test_checking_a_store_creates_nothing(root: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///deep/below/mlflow.db")
    assert knock(address()) is None
    assert list(root.iterdir()) == []


def test_only_one_process_at_a_time_creates_the_tables_of_a_file(root: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    inside = threading.Event()

    def come_second() -> None:
        with first_contact(address()):
            inside.set()

    second = threading.Thread(target=come_second)
    with first_contact(address()):
        second.start()
        assert not inside.wait(0.3)
    second.join()
    assert inside.is_set()
