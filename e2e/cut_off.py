"""Paths from a worker to store and broker that can be cut: a network namespace whose link goes down, where this is root; else TCP
proxies alone."""

import contextlib
import os
import subprocess

from tcp_proxy import TcpProxy


def ip(*arguments, check=True):
    return subprocess.run(["ip", *map(str, arguments)], check=check, capture_output=True, text=True, timeout=30)


def has_namespaces():
    """Whether this process may create network namespaces and links between them."""
    if os.geteuid() != 0:
        return False
    name = f"tt-{os.getpid()}-t"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.SubprocessError):
        return False
    try:
        made = ip("link", "add", f"tt{os.getpid()}t", "type", "veth", "peer", "name", "eth0", "netns", name, check=False)
        return made.returncode == 0
    finally:
        ip("netns", "del", name, check=False)


class Proxied:
    """Every connection goes through a proxy of this path."""

    prefix = ()
    address = "127.0.0.1"
    ways = ("hold", "reset")

    def __init__(self, *ports):
        self.proxies = [TcpProxy(port, address=self.address) for port in ports]

    def url(self, index, scheme):
        return f"{scheme}://{self.address}:{self.proxies[index].port}"

    def cut(self, way):
        for proxy in self.proxies:
            proxy.command(way)

    def restore(self):
        for proxy in self.proxies:
            proxy.command("pass")

    def close(self):
        for proxy in self.proxies:
            proxy.kill()


class Namespaced(Proxied):
    """The worker is in a namespace of its own. `down`: the link drops every packet, and what was sent is sent again once it is up."""

    ways = ("down", "reset")

    def __init__(self, number, *ports):
        self.name, self.link = f"tt-{os.getpid()}-{number}", f"tt{os.getpid()}n{number}"
        self.address, inside = f"10.213.{number}.1", f"10.213.{number}.2"
        self.prefix = ("ip", "netns", "exec", self.name)
        self.proxies = []
        try:
            ip("netns", "add", self.name)
            ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            ip("addr", "add", f"{self.address}/24", "dev", self.link)
            ip("link", "set", self.link, "up")
            for words in (["addr", "add", f"{inside}/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
                ip("-n", self.name, *words)
            super().__init__(*ports)
        except BaseException:
            self.close()
            raise

    def cut(self, way):
        if way == "down":
            ip("link", "set", self.link, "down")
        else:
            super().cut(way)

    def restore(self):
        ip("link", "set", self.link, "up")
        super().restore()

    def close(self):
        super().close()
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            ip("netns", "del", self.name, check=False)


def path(number, *ports, namespaces):
    return Namespaced(number, *ports) if namespaces else Proxied(*ports)
