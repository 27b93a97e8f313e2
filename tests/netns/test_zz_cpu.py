import os, pathlib, subprocess, sys, time
from lab import *
from test_tcp_mem import Load, allocated, available_pages, TCP_MEM
MANY = """
import socket, sys, resource
n, base = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],)*2)
server = socket.socket(); server.bind((f"127.0.1.{base}", 5000)); server.listen(4096)
kept = []
for i in range(n):
    c = socket.socket(); c.setsockopt(socket.IPPROTO_IP, 24, 1); c.bind((f"127.0.2.{base}", 0)); c.connect((f"127.0.1.{base}", 5000)); kept += [c, server.accept()[0]]
print("ready", flush=True)
sys.stdin.read()
"""
def test_cpu(lab):
    with kept_sysctls((TCP_MEM,)):
        P = 32768
        sysctl_path(TCP_MEM).write_text(f"6144 {P} {available_pages() // 2}")
        c = lab.container("netns", "bt-many", {WMEM: "4096 16384 16777216", RMEM: "4096 131072 67108864"})
        run("ip", "netns", "exec", c.name, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000")
        ps = [subprocess.Popen(c.command(sys.executable, "-c", MANY, "8000", str(i)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for i in range(1, 8)]
        for p in ps: print(p.stdout.readline())
        print(pathlib.Path("/proc/net/sockstat").read_text(), subprocess.run(c.command("cat", "/proc/net/sockstat"), capture_output=True, text=True).stdout)
        sup = lab.supervisor(tuners=only("tcp_mem", "tcp_buffer"))
        sup.ready(c.name)
        load = lab.keep(Load(c))
        while allocated() < P * 85 // 100: load.fill()
        pid = sup.workers()[c.name]
        cpu = lambda: sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().split()[13:15]))
        time.sleep(3); a, t = cpu(), time.monotonic(); time.sleep(60); b = cpu()
        print("worker CPU %", (b - a) / (time.monotonic() - t), [r for r in sup.instance(c.name)["learnt"]])
        for p in ps: p.communicate()
