# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers of small requests and short connections, and what asks them."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from lab import run, wait_for

REDIS_PORT, HTTP_PORT = 16379, 16380
CLIENTS = 20
TOOLS = "redis-server", "redis-benchmark", "ab", "nginx"

NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error;
events {{ worker_connections 1024; }}
http {{
	access_log off;
	client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
	uwsgi_temp_path {directory}; scgi_temp_path {directory};
	server {{ listen {address}:{port}; location / {{ return 200 "ok"; }} }}
}}
"""


def missing_tools():
    return [tool for tool in TOOLS if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin")]


class Server:
    def __init__(self, place, address, client, port, *command):
        """place: where the command runs, a container say; client: where those who ask are."""
        self.process = subprocess.Popen(place.command(*map(str, command)), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL)
        code = f"import socket; socket.create_connection(({address!r}, {port}))"
        try:
            wait_for(lambda: run(*client.command(sys.executable, "-c", code), check=False).returncode == 0, 10,
                     f"an answer from {address}, port {port}")
        except BaseException:
            self.remove()
            raise

    @property
    def pid(self):
        return self.process.pid

    def remove(self):
        self.process.terminate()
        self.process.wait()


class Redis(Server):
    def __init__(self, place, address, client):
        super().__init__(place, address, client, REDIS_PORT, "redis-server", "--port", REDIS_PORT, "--bind", address,
                         "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", "/tmp")


class Nginx(Server):
    def __init__(self, place, address, client):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-nginx-"))
        configuration = self.directory / "nginx.conf"
        configuration.write_text(NGINX.format(directory=self.directory, address=address, port=HTTP_PORT))
        super().__init__(place, address, client, HTTP_PORT, "nginx", "-p", self.directory, "-e", self.directory / "error",
                         "-c", configuration)

    def remove(self):
        super().remove()
        shutil.rmtree(self.directory)


def asked(client, *command):
    """What a client of a server says at its end."""
    return subprocess.run(client.command(*map(str, command)), check=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def redis_get(client, address, requests):
    """Requests a second, on connections that stay."""
    said = asked(client, "redis-benchmark", "-h", address, "-p", REDIS_PORT, "-c", CLIENTS, "-n", requests, "-t", "get",
                 "--csv")
    return float(re.search(r'^"GET","([\d.]+)"', said, re.M)[1])


def http_get(client, address, requests):
    """Requests a second, each on a connection of its own."""
    said = asked(client, "ab", "-q", "-c", CLIENTS, "-n", requests, f"http://{address}:{HTTP_PORT}/")
    assert re.search(r"^Failed requests: +0$", said, re.M) and "Non-2xx" not in said, said
    return float(re.search(r"^Requests per second: +([\d.]+)", said, re.M)[1])
