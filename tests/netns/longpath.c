// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * longpath: a long network path on one machine, for kernels without netem.
 *
 * It owns two TAP devices, one in each of two network namespaces, and hands every frame
 * that one of them sends to the other after a delay. While this stands still, each device keeps
 * up to TAP_FRAMES frames. It says "ready" when both are up, and
 * ends on SIGTERM, SIGINT or when its standard input ends; the devices go with it.
 *
 * A TAP's file holds a reference to its namespace, so the namespaces live at least as long as this.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define MTU		9000
#define FRAME_MAX	(14 + 4 + MTU)	/* Ethernet header and a VLAN tag */
#define BATCH		64		/* frames read before the other side gets a turn */
#define TAP_FRAMES	16384		/* kept by a TAP until they are read; the kernel's 500 are 6 ms of 1 Gbit/s at an MTU of 1500 */
#define NSEC_PER_MSEC	1000000LL
#define NSEC_PER_SEC	1000000000LL

struct frame {
	int64_t due_ns;
	int len;
	unsigned char data[FRAME_MAX];
};

/* One direction: frames read from one TAP, in the order in which they fall due at the other. */
struct lane {
	struct frame *frames;
	unsigned int head, queued, size;
	uint64_t carried, refused;	/* by the other TAP */
};

struct end {
	const char *netns;		/* "-": our own; with a slash: a path; else a name in /run/netns */
	const char *device;
	struct in_addr addr;
	struct in_addr mask;
	int tap_fd;
	struct lane sent;
};

static const char usage[] =
	"Usage: longpath [--delay-ms N] [--queue FRAMES] END END\n"
	"END is NETNS:DEVICE:ADDRESS/LEN; NETNS is a name in /run/netns, a path, or - for one's own.\n";

__attribute__((format(printf, 2, 3), noreturn))
static void die(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("longpath: ", stderr);
	vfprintf(stderr, format, args);
	va_end(args);
	if (err)
		fprintf(stderr, ": %s", strerror(err));
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

static long parse_number(const char *what, const char *text, long min, long max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max)
		die(0, "%s must be a number from %ld to %ld, not '%s'", what, min, max, text);
	return value;
}

static void parse_end(char *text, struct end *end)
{
	char *addr, *len, *rest = text;
	long bits;

	end->netns = strsep(&rest, ":");
	end->device = strsep(&rest, ":");
	addr = strsep(&rest, "/");
	len = rest;
	if (!len || !*end->netns || !*end->device || strlen(end->device) >= IFNAMSIZ)
		die(0, "an end is NETNS:DEVICE:ADDRESS/LEN");
	if (inet_pton(AF_INET, addr, &end->addr) != 1)
		die(0, "'%s' is not an IPv4 address", addr);
	bits = parse_number("a prefix length", len, 1, 31);
	end->mask.s_addr = htonl(~0U << (32 - bits));
}

static int open_netns(const char *netns)
{
	char path[4096];
	int fd;

	if (!strcmp(netns, "-"))
		netns = "/proc/self/ns/net";
	snprintf(path, sizeof(path), "%s%s", strchr(netns, '/') ? "" : "/run/netns/", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(errno, "cannot open the network namespace %s", path);
	return fd;
}

static void set_inet(int sock, const struct end *end, unsigned long request, struct in_addr value, const char *what)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = value };
	struct ifreq ifr = {};

	strcpy(ifr.ifr_name, end->device);
	memcpy(&ifr.ifr_addr, &addr, sizeof(addr));
	if (ioctl(sock, request, &ifr))
		die(errno, "cannot set the %s of %s in %s", what, end->device, end->netns);
}

/* Makes the TAP in the namespace that we are in, gives it its address and brings it up. */
static void create_tap(struct end *end)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int sock;

	end->tap_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (end->tap_fd < 0)
		die(errno, "cannot open /dev/net/tun");
	strcpy(ifr.ifr_name, end->device);
	if (ioctl(end->tap_fd, TUNSETIFF, &ifr))
		die(errno, "cannot create the TAP device %s in %s", end->device, end->netns);

	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		die(errno, "cannot open a socket in %s", end->netns);
	set_inet(sock, end, SIOCSIFADDR, end->addr, "address");
	set_inet(sock, end, SIOCSIFNETMASK, end->mask, "netmask");
	ifr.ifr_qlen = TAP_FRAMES;
	if (ioctl(sock, SIOCSIFTXQLEN, &ifr))
		die(errno, "cannot set the queue length of %s in %s", end->device, end->netns);
	ifr.ifr_mtu = MTU;
	if (ioctl(sock, SIOCSIFMTU, &ifr))
		die(errno, "cannot set the MTU of %s in %s", end->device, end->netns);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(sock, SIOCSIFFLAGS, &ifr))
		die(errno, "cannot bring up %s in %s", end->device, end->netns);
	close(sock);
}

static void open_end(struct end *end, int own_netns, unsigned int queue)
{
	int netns = open_netns(end->netns);

	if (setns(netns, CLONE_NEWNET))
		die(errno, "cannot enter the network namespace %s", end->netns);
	create_tap(end);
	if (setns(own_netns, CLONE_NEWNET))
		die(errno, "cannot return from the network namespace %s", end->netns);
	close(netns);

	end->sent.size = queue;
	end->sent.frames = calloc(queue, sizeof(struct frame));
	if (!end->sent.frames)
		die(ENOMEM, "cannot hold %u frames", queue);
}

static bool is_full(const struct lane *lane)
{
	return lane->queued == lane->size;
}

static void take(struct end *from, int64_t delay_ns)
{
	struct lane *lane = &from->sent;

	for (int i = 0; i < BATCH && !is_full(lane); i++) {
		struct frame *frame = &lane->frames[(lane->head + lane->queued) % lane->size];

		frame->len = read(from->tap_fd, frame->data, sizeof(frame->data));
		if (frame->len < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (frame->len < 0)
			die(errno, "cannot read from %s in %s", from->device, from->netns);
		frame->due_ns = now_ns() + delay_ns;
		lane->queued++;
	}
}

static void deliver(struct lane *lane, const struct end *to)
{
	int64_t now = now_ns();

	for (; lane->queued; lane->queued--, lane->head = (lane->head + 1) % lane->size) {
		struct frame *frame = &lane->frames[lane->head];

		if (frame->due_ns > now)
			return;
		if (write(to->tap_fd, frame->data, frame->len) == frame->len)
			lane->carried++;
		else
			lane->refused++;
	}
}

static int64_t next_due_ns(const struct lane *lane)
{
	return lane->queued ? lane->frames[lane->head].due_ns : INT64_MAX;
}

static int relay(struct end ends[2], int64_t delay_ns, int signal_fd)
{
	struct pollfd fds[] = {
		{ .fd = ends[0].tap_fd, .events = POLLIN },
		{ .fd = ends[1].tap_fd, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};

	for (;;) {
		int64_t due[] = { next_due_ns(&ends[0].sent), next_due_ns(&ends[1].sent) };
		int64_t first = due[0] < due[1] ? due[0] : due[1];
		int64_t wait = first == INT64_MAX ? -1 : first - now_ns();
		struct timespec timeout = { .tv_sec = 0 };
		char ignored[64];

		for (int i = 0; i < 2; i++)
			fds[i].events = is_full(&ends[i].sent) ? 0 : POLLIN;
		if (wait > 0)
			timeout = (struct timespec){ wait / NSEC_PER_SEC, wait % NSEC_PER_SEC };
		if (ppoll(fds, 4, first == INT64_MAX ? NULL : &timeout, NULL) < 0 && errno != EINTR)
			return -errno;
		if (fds[2].revents)
			return 0;
		if (fds[3].revents && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
			return 0;
		for (int i = 0; i < 2; i++) {
			if (fds[i].revents)
				take(&ends[i], delay_ns);
			deliver(&ends[i].sent, &ends[!i]);
		}
	}
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "delay-ms", required_argument, NULL, 'd' },
		{ "queue", required_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	long delay_ms = 20, queue = 4096;
	int own_netns, signal_fd, err, opt;
	struct end ends[2] = {};
	sigset_t stop;

	while ((opt = getopt_long(argc, argv, "d:q:h", options, NULL)) >= 0) {
		switch (opt) {
		case 'd':
			delay_ms = parse_number("--delay-ms", optarg, 0, 10000);
			break;
		case 'q':
			queue = parse_number("--queue", optarg, 1, 1 << 20);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (argc - optind != 2) {
		fputs(usage, stderr);
		return 2;
	}
	for (int i = 0; i < 2; i++)
		parse_end(argv[optind + i], &ends[i]);

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	signal_fd = signalfd(-1, &stop, SFD_CLOEXEC);
	if (signal_fd < 0)
		die(errno, "cannot wait for signals");
	prctl(PR_SET_TIMERSLACK, 1UL);	/* the default delays every frame by another 50 us */
	/* A wire does not get longer when the processors are busy. */
	if (sched_setscheduler(0, SCHED_RR, &(struct sched_param){ .sched_priority = 1 }))
		perror("longpath: other processes may delay frames: sched_setscheduler");

	own_netns = open_netns("-");
	for (int i = 0; i < 2; i++)
		open_end(&ends[i], own_netns, queue);
	close(own_netns);
	puts("ready");
	fflush(stdout);

	err = relay(ends, delay_ms * NSEC_PER_MSEC, signal_fd);
	if (err)
		die(-err, "cannot wait for frames");
	for (int i = 0; i < 2; i++) {
		fprintf(stderr, "longpath: %s in %s sent %ju frames, of which %ju were refused\n", ends[i].device, ends[i].netns,
			(uintmax_t)ends[i].sent.carried, (uintmax_t)ends[i].sent.refused);
		free(ends[i].sent.frames);
	}
	return 0;
}
