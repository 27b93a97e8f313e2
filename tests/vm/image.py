# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes what a virtual machine starts from, and keeps it in a cache: kernels, their initrds, a root file system.

A file's name in the cache has a hash of what it was made from, so that a change makes a new one.
"""
import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
KERNELS = {
    "6.1": r"linux-image-6\.1\.0-\d+-cloud-amd64",
    "6.12": r"linux-image-6\.12\.\d+\+deb12-cloud-amd64",
}
# In this order; what is built in, or not there yet, is left out.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk",
           "virtio_console")
SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "procps", "psmisc", "util-linux", "iproute2", "iputils-ping", "ethtool",
    "iperf3", "nftables", "iptables", "bpftool", "strace", "python3", "python3-pytest", "python3-pytest-rerunfailures",
    "busybox-static", "python3-yaml",
    "openrc", "runit",
    "runc", "crun", "podman", "conmon", "netavark", "aardvark-dns", "catatonit",
    "docker.io", "containerd", "systemd-container", "lxc",      # test_runtimes starts their daemons
    "uidmap", "libpam-systemd", "dbus-user-session",     # Podman in a user's session
    "libbpf1", "libcap-ng0", "libelf1", "libjansson4", "libmicrohttpd12", "libmnl0", "libunistring2", "libuv1", "zlib1g",
)
# Of the image that deploy/Containerfile begins with; and what bpftune's package needs, as there is no network in there.
BASE_PACKAGES = "apt", "mount", "systemd-standalone-sysusers", "usr-is-merged"
NOT_WANTED = "doc", "man", "locale", "info"
UNUSED_SECONDS = 86400
SIZE = "6G"     # sparse


def say(text):
    print(f"tests/vm: {text}", file=sys.stderr, flush=True)


def run(*command, **options):
    """A failure shows the command's own output."""
    result = subprocess.run([str(word) for word in command], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, **options)
    if result.returncode:
        sys.exit(f"tests/vm: {command[0]} failed ({result.returncode}):\n{result.stdout[-4000:]}")
    return result.stdout


def digest(*inputs):
    return hashlib.sha256("\0".join(map(str, inputs)).encode()).hexdigest()[:16]


class Cache:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self):
        """Others who need the same file wait for it rather than make it too."""
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def get(self, kind, key, make):
        """The path of KIND-KEY; make(path) makes it if it is not there. What nobody used for long goes."""
        path = self.directory / f"{kind}-{key}"
        if not path.exists():
            new = path.with_name(f"new-{path.name}")
            remove(new)
            make(new)
            new.rename(path)
            for old in self.directory.glob(f"{kind}-*"):
                if old.stat().st_mtime < time.time() - UNUSED_SECONDS:
                    remove(old)
        os.utime(path)
        return path


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@functools.cache
def kernel_package(series):
    """The newest that Debian has."""
    for again in False, True:
        if again:
            run("apt-get", "update", "-q")
        known = run("apt-cache", "pkgnames", "linux-image-").split()
        names = [name for name in known if re.fullmatch(KERNELS[series], name)]
        if names:
            return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    sys.exit(f"tests/vm: apt knows no kernel package like {KERNELS[series]}")


def download(package, directory):
    """apt's lists may be older than its archive."""
    command = ["apt-get", "download", "-q", package]
    if subprocess.run(command, cwd=directory, capture_output=True, check=False).returncode:
        run("apt-get", "update", "-q")
        run(*command, cwd=directory)
    return next(directory.glob("*.deb"))


def make_kernel(package, path):
    """A directory with vmlinuz, lib/modules/RELEASE and the initrd."""
    say(f"fetching {package}")
    path.mkdir(parents=True)
    archive = download(package, path)
    run("dpkg-deb", "-x", archive, path)
    archive.unlink()
    release = next((path / "lib/modules").iterdir()).name
    (path / "boot" / f"vmlinuz-{release}").rename(path / "vmlinuz")
    for directory in "boot", "usr":
        remove(path / directory)
    run("depmod", "-b", path, release)
    make_initrd(path, release)


def make_initrd(path, release):
    with tempfile.TemporaryDirectory(prefix="bpftune-initrd-") as directory:
        root = pathlib.Path(directory)
        for name in "bin", "dev", "modules", "proc", "root", "sys":
            (root / name).mkdir()
        shutil.copy(shutil.which("busybox"), root / "bin/busybox")
        shutil.copy(HERE / "guest/init", root / "init")
        (root / "init").chmod(0o755)
        order = []
        for name in MODULES:
            for module in (path / "lib/modules" / release / "kernel").rglob(f"{name}.ko*"):
                shutil.copy(module, root / "modules")
                order.append(f"/modules/{module.name}\n")
        (root / "modules/order").write_text("".join(order))
        with (path / "initrd").open("wb") as output:
            names = "\n".join(str(name.relative_to(root)) for name in sorted(root.rglob("*")))
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names.encode(), stdout=output,
                           check=True)


def debootstrap(path, packages, *options):
    """Debian, as a tar archive."""
    say(f"making a root file system of {len(packages)} packages and what they need")
    run("mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(packages)}", *options,
        "--aptopt=APT::Install-Recommends false", *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in NOT_WANTED),
        SUITE, path)


def make_tree(path):
    debootstrap(path, PACKAGES)


def needed(package):
    """Of the packages that it depends on, those that are not in BASE_PACKAGES; the first where it has a choice."""
    choices = [[name.split()[0] for name in choice.split("|")] for choice in
               run("dpkg-deb", "--field", package, "Depends").split(",")]
    return [choice[0] for choice in choices if not set(choice) & set(BASE_PACKAGES)]


def make_base(packages, path):
    """As small as Debian's own, which has no perl, or smaller: in an emulated machine each MiB takes half a second. apt has no
    sources: `apt-get update` is content with that."""
    debootstrap(path, packages, "--dpkgopt=path-exclude=/usr/lib/*/gconv/*",
                '--customize-hook=chroot "$1" apt-get purge -q -y usrmerge perl-modules-5.36',
                '--customize-hook=truncate --size=0 "$1/etc/apt/sources.list"')


def make_root(tree, kernels, path):
    say("making the root disk")
    with tempfile.TemporaryDirectory(prefix="bpftune-root-") as directory:
        root = pathlib.Path(directory)
        root.chmod(0o755)
        run("tar", "-xf", tree, "-C", root, "--numeric-owner")
        (root / "usr/lib/modules").mkdir(exist_ok=True)
        for kernel in kernels:
            run("cp", "-a", *(kernel / "lib/modules").iterdir(), root / "usr/lib/modules")
        for name in "resolv.conf", "fstab":
            (root / "etc" / name).write_text("")
        (root / "etc/hostname").write_text("guest\n")
        (root / "etc/hosts").write_text("127.0.0.1 localhost guest\n")
        (root / "etc/machine-id").write_text(f"{digest('guest') * 2}\n")
        run("systemctl", f"--root={root}", "mask", "getty@.service", "serial-getty@.service", "console-getty.service",
            "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
            "systemd-firstboot.service", "systemd-networkd.service",
            "systemd-udev-trigger.service")     # it loads dozens of modules that nothing here needs
        run("systemctl", f"--root={root}", "disable", "docker.service", "docker.socket", "containerd.service", "lxc.service",
            "lxc-net.service", "dnsmasq.service")
        # What was put under /tmp before systemd started stays there.
        (root / "etc/tmpfiles.d/tmp.conf").write_text("d /tmp 1777 root root -\n")
        run("truncate", "-s", SIZE, path)
        run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-m", "0", "-d", root, path)


def tree_digest(top):
    """What of a source tree a package may be made from."""
    contents = hashlib.sha256()
    for path in sorted(top.rglob("*")):
        name = path.relative_to(top)
        if path.is_file() and not name.parts[0].startswith((".git", "build", "autom4te")) and "__pycache__" not in name.parts:
            contents.update(f"{name} {path.stat().st_mode}\0".encode() + path.read_bytes())
    return contents.hexdigest()[:16]


def make_package(build, path):
    """Unit tests have run outside."""
    say("making bpftune.deb")
    run("make", "-s", "-C", build, "deb", env={**os.environ, "DEB_BUILD_OPTIONS": f"nocheck parallel={os.cpu_count()}"})
    package, = (build / "deb").glob("bpftune_*.deb")
    package.rename(path)
    remove(build / "deb")


def get_package(directory, top, build):
    cache = Cache(directory)
    with cache.locked():
        return cache.get("package", tree_digest(top), functools.partial(make_package, build))


def get_base(directory, package):
    """For an image of that package."""
    cache, packages = Cache(directory), [*BASE_PACKAGES, *needed(package)]
    with cache.locked():
        return cache.get("base", digest(SUITE, packages, NOT_WANTED, made_from(make_base, debootstrap)),
                         functools.partial(make_base, packages))


def made_from(*functions):
    """The text of what makes a thing is one of the things that it is made from."""
    import inspect
    return "".join(inspect.getsource(function) for function in functions)


def get(directory, series):
    """(kernel, initrd, root disk) for a kernel series."""
    cache = Cache(directory)
    with cache.locked():
        initrd = made_from(make_kernel, make_initrd), MODULES, (HERE / "guest/init").read_text()
        kernels = {name: cache.get(f"kernel-{name}", digest(kernel_package(name), *initrd),
                                   functools.partial(make_kernel, kernel_package(name))) for name in KERNELS}
        tree = cache.get("tree", digest(SUITE, PACKAGES, NOT_WANTED, made_from(make_tree, debootstrap)), make_tree)
        root = cache.get("root", digest(tree.name, *(kernel.name for kernel in kernels.values()), SIZE, made_from(make_root)),
                         functools.partial(make_root, tree, kernels.values()))
    return kernels[series] / "vmlinuz", kernels[series] / "initrd", root
