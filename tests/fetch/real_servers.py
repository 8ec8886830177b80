"""Web servers as Debian has them, each in a folder of its own, on loopback, serving one folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_NGINX = """\
daemon off; master_process off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log {home}/access.log; sendfile on;
  client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c;
  uwsgi_temp_path {home}/d; scgi_temp_path {home}/e;
  gzip on; gzip_types *; gzip_min_length 1;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""
_LIGHTTPD = """\
server.document-root = "{folder}"
server.port = {port}
server.bind = "127.0.0.1"
server.errorlog = "{home}/error.log"
"""
_APACHE = """\
ServerRoot "{home}"
PidFile {home}/pid
Listen 127.0.0.1:{port}
ServerName localhost
ErrorLog {home}/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
User {user}
Group {group}
DocumentRoot "{folder}"
<Directory "{folder}">
  Require all granted
</Directory>
SetOutputFilter DEFLATE
"""


def _command(name: str, program: str, home: Path) -> Sequence[str]:
    config = str(home / "config")
    return {
        "nginx": (program, "-p", str(home), "-c", config),
        "lighttpd": (program, "-D", "-f", config),
        "apache": (program, "-X", "-f", config),
    }[name]


_CONFIGS = {"nginx": _NGINX, "lighttpd": _LIGHTTPD, "apache": _APACHE}
_PROGRAMS = {"nginx": "nginx", "lighttpd": "lighttpd", "apache": "apache2"}
NAMES = tuple(_CONFIGS)


def free_port() -> int:
    """A port of loopback that nobody listens at right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def real_server(name: str, folder: Path, home: Path) -> Iterator[str]:
    """Serve `folder`; hands out the address. Skips by name where the server is not installed."""
    program = shutil.which(_PROGRAMS[name], path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed: ci/packages")
    home.mkdir()
    port = free_port()
    user, group = ("www-data", "www-data") if os.geteuid() == 0 else ("#-1", "#-1")
    values = {"home": home, "folder": folder, "port": port, "user": user, "group": group}
    (home / "config").write_text(_CONFIGS[name].format(**values))
    with running(_command(name, program, home), lambda: answers(port)):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def running(command: Sequence[str], is_up: Callable[[], bool], **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program that serves, from when it answers until it is stopped."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 60
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                said = process.stdout.read(4000).decode() if process.poll() is not None else ""
                pytest.fail(f"{command[0]} does not serve: {said}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
