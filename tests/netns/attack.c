// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/netns/attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"

struct targets {
	const char *run_dir, *netns;
	pid_t pid;
};

static int try_open(const char *path, int flags)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? -1 : 0;
}

static int enter(const char *path, int type)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : setns(fd, type);
}

static int enter_other_network(const struct targets *targets)
{
	return enter(targets->netns, CLONE_NEWNET);
}

static int enter_own_network(const struct targets *targets)
{
	(void)targets;
	return enter("/proc/self/ns/net", CLONE_NEWNET);
}

static int enter_roots_user_namespace(const struct targets *targets)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/user", targets->pid);
	return enter(path, CLONE_NEWUSER);
}

static int make_user_namespace(const struct targets *targets)
{
	(void)targets;
	return unshare(CLONE_NEWUSER);
}

static int become_root(const struct targets *targets)
{
	(void)targets;
	return setresuid(0, 0, 0);
}

static int read_ledger(const struct targets *targets)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/ledger", targets->run_dir);
	return try_open(path, O_RDONLY);
}

static int call_supervisor(const struct targets *targets)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", targets->run_dir);
	return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&address, sizeof(address));
}

static int open_internet_socket(const struct targets *targets)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)targets;
	return fd < 0 ? -1 : 0;
}

static int kill_root(const struct targets *targets)
{
	return kill(targets->pid, SIGKILL);
}

static int open_socket(int family, int type, int protocol)
{
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	return fd < 0 ? -1 : 0;
}

static int open_raw_socket(const struct targets *targets)
{
	(void)targets;
	return open_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int open_packet_socket(const struct targets *targets)
{
	(void)targets;
	return open_socket(AF_PACKET, SOCK_RAW, 0);
}

static int use_generic_netlink(const struct targets *targets)
{
	(void)targets;
	return open_socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
}

static int use_netfilter(const struct targets *targets)
{
	(void)targets;
	return open_socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}

static int use_xfrm(const struct targets *targets)
{
	(void)targets;
	return open_socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
}

static void *add_attribute(struct nlmsghdr *request, uint16_t type, const void *data, size_t size)
{
	struct rtattr *attribute = (struct rtattr *)((char *)request + NLMSG_ALIGN(request->nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), data, size);
	request->nlmsg_len = NLMSG_ALIGN(request->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
	return attribute;
}

/* -1: refused, by the kernel in its answer, too. */
static int ask_rtnetlink(const struct nlmsghdr *request)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[4096];
	} answer = { 0 };

	if (fd < 0 || send(fd, request, request->nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		return -1;
	if (answer.header.nlmsg_type != NLMSG_ERROR || !answer.error.error)
		return 0;
	errno = -answer.error.error;
	return -1;
}

/* A pair of devices, one end of which is in another namespace. */
static int reach_into_other_network(const struct targets *targets)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg device;
		char attributes[256];
	} request = {
		.header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			    .nlmsg_type = RTM_NEWLINK,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL },
	};
	uint32_t pid = targets->pid;
	struct rtattr *info;

	add_attribute(&request.header, IFLA_NET_NS_PID, &pid, sizeof(pid));
	info = add_attribute(&request.header, IFLA_LINKINFO, "", 0);
	add_attribute(&request.header, IFLA_INFO_KIND, "veth", sizeof("veth"));
	info->rta_len = (char *)&request.header + request.header.nlmsg_len - (char *)info;
	return ask_rtnetlink(&request.header);
}

static int ask_for_number_of_network(const struct targets *targets)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg family;
		char attributes[64];
	} request = {
		.header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
			    .nlmsg_type = RTM_GETNSID,
			    .nlmsg_flags = NLM_F_REQUEST },
	};
	uint32_t pid = targets->pid;

	add_attribute(&request.header, NETNSA_PID, &pid, sizeof(pid));
	return ask_rtnetlink(&request.header);
}

/* The only kind of socket that it may open. */
static int open_diag_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

/* Any socket takes these requests. */
static int change_device(const struct targets *targets)
{
	_cleanup_close_ int fd = open_diag_socket();
	struct ifreq request = { .ifr_name = "lo", .ifr_mtu = 65536 };

	(void)targets;
	return ioctl(fd, SIOCSIFMTU, &request);
}

static int mark_packets(const struct targets *targets)
{
	_cleanup_close_ int fd = open_diag_socket();
	int mark = 1;

	(void)targets;
	return setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
}

static int open_tun(const struct targets *targets)
{
	(void)targets;
	return try_open("/dev/net/tun", O_RDWR);
}

/* Other workers have its user. */
static int signal_own_user(const struct targets *targets)
{
	(void)targets;
	return kill(getpid(), 0);
}

static int trace(const struct targets *targets)
{
	return ptrace(PTRACE_SEIZE, targets->pid, NULL, NULL) < 0 ? -1 : 0;
}

static int read_memory(const struct targets *targets)
{
	char from = 'x', to;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	(void)targets;
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0 ? -1 : 0;
}

static int write_kernel_sysctl(const struct targets *targets)
{
	(void)targets;
	return try_open("/proc/sys/kernel/hostname", O_WRONLY);
}

static int write_memory_sysctl(const struct targets *targets)
{
	(void)targets;
	return try_open("/proc/sys/vm/swappiness", O_WRONLY);
}

static int write_file(const struct targets *targets)
{
	(void)targets;
	return try_open("/tmp/bpftune-attack", O_WRONLY | O_CREAT);
}

static int read_file(const struct targets *targets)
{
	(void)targets;
	return try_open("/etc/passwd", O_RDONLY);
}

static int use_bpf(const struct targets *targets)
{
	union bpf_attr attr = { 0 };

	(void)targets;
	return syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attr, sizeof(attr)) < 0 ? -1 : 0;
}

static int use_rings(const struct targets *targets)
{
	char parameters[120] = { 0 };

	(void)targets;
	return syscall(SYS_io_uring_setup, 1, parameters) < 0 ? -1 : 0;
}

static int mount_tmpfs(const struct targets *targets)
{
	(void)targets;
	return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static int map_code(const struct targets *targets)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)targets;
	return page == MAP_FAILED ? -1 : 0;
}

static int fork_child(const struct targets *targets)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	(void)targets;
	if (!pid)
		_exit(EXIT_SUCCESS);
	return pid < 0 ? -1 : 0;
}

static int execute(const struct targets *targets)
{
	static char *const no_words[] = { NULL };

	(void)targets;
	return execve("/bin/true", no_words, no_words);
}

static const struct {
	const char *name;
	int (*attempt)(const struct targets *targets); /* 0: done; -1 with errno: refused */
} attacks[] = {
	{ "enter another network namespace", enter_other_network },
	{ "enter its own network namespace", enter_own_network },
	{ "enter a user namespace of root's", enter_roots_user_namespace },
	{ "make a user namespace", make_user_namespace },
	{ "become root", become_root },
	{ "read the ledger", read_ledger },
	{ "call the supervisor", call_supervisor },
	{ "open a socket of the internet's", open_internet_socket },
	{ "open a raw socket", open_raw_socket },
	{ "open a packet socket", open_packet_socket },
	{ "use generic netlink", use_generic_netlink },
	{ "use netfilter's netlink", use_netfilter },
	{ "use xfrm's netlink", use_xfrm },
	{ "make a device in another network namespace", reach_into_other_network },
	{ "ask for the number of another network namespace", ask_for_number_of_network },
	{ "change a device", change_device },
	{ "mark packets", mark_packets },
	{ "open a TUN device", open_tun },
	{ "kill a process of root's", kill_root },
	{ "signal a process of its own user", signal_own_user },
	{ "trace a process", trace },
	{ "read a process's memory", read_memory },
	{ "write a sysctl of kernel.*", write_kernel_sysctl },
	{ "write a sysctl of vm.*", write_memory_sysctl },
	{ "write a file", write_file },
	{ "read a file", read_file },
	{ "use BPF", use_bpf },
	{ "use io_uring", use_rings },
	{ "mount", mount_tmpfs },
	{ "map code", map_code },
	{ "fork", fork_child },
	{ "execute a program", execute },
};

void attack(struct bpftune *b)
{
	const char *run_dir = getenv("ATTACK_RUN_DIR"), *netns = getenv("ATTACK_NETNS"), *pid = getenv("ATTACK_PID");
	struct targets targets = { run_dir, netns, pid ? atoi(pid) : 0 };

	if (!run_dir || !netns || targets.pid <= 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		int err = attacks[i].attempt(&targets) < 0 ? errno : 0;

		bpftune_log(b, LOG_INFO, "attack: %s: %s", attacks[i].name, err ? strerror(err) : "DONE");
	}
	bpftune_log(b, LOG_INFO, "attack: no more");
}
