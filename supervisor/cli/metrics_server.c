// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpftune-metrics RUN_DIR ADDRESS:PORT: serves metrics to whoever asks by HTTP. It is a program of its own, an ordinary
 * user that reads what the supervisor does by the observers' socket. One thread does all; nobody who connects can hold
 * up the others for long, nor make it ask the supervisor more often than it wants to.
 */
#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <utlist.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "ipc/observers.h"
#include "supervisor/cli/scrape.h"

#define TIMEOUT_MS 3000	   /* of what the supervisor is asked */
#define LIMITS_MS 50	   /* of a scrape, in which it wakes up workers */
#define KEPT_MS 1000	   /* an answer; and ten times as long as it took to make, but */
#define KEPT_MAX_MS 3000
#define CLIENTS_MAX 48	  /* the oldest makes room for the next */
#define CLOSING_MAX 32	  /* besides, until they are closed */
#define CLIENT_MS 5000	  /* then its connection is closed, whatever it does */
#define CLIENT_BYTES 8192 /* for its request */
#define BACKLOG 64
#define NOBODY 65534

struct client {
	int fd; /* -1: it was hung up on */
	int64_t since_ms;
	struct client *prev, *next;
};

/* Metrics, which the server and responses use until the last is done with them: their text is not copied. */
struct answer {
	struct metrics *metrics;
	unsigned int n_users;
};

struct server {
	struct scrape scrape;
	char *heads[N_METRICS_FORMATS][N_METRICS];
	struct answer *answer; /* NULL: none yet */
	int64_t good_until_ms;
	struct MHD_Response *responses[N_METRICS_FORMATS]; /* of these metrics; NULL: nobody has asked for it yet */
	struct client *clients;				   /* oldest first */
	unsigned int n_clients;
};

static const char *const content_types[] = {
	[METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	[METRICS_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
};

/* --- answers ------------------------------------------------------------------------------------ */

/* The connection is closed then: no client keeps a place that it does not use. */
static void add_headers(struct MHD_Response *response, const char *type)
{
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

static void let_go(void *arg)
{
	struct answer *answer = arg;

	if (--answer->n_users)
		return;
	metrics_free(answer->metrics);
	free(answer);
}

static void forget_answer(struct server *server)
{
	for (size_t i = 0; i < N_METRICS_FORMATS; i++) {
		if (server->responses[i])
			MHD_destroy_response(server->responses[i]);
		server->responses[i] = NULL;
	}
	if (server->answer)
		let_go(server->answer);
	server->answer = NULL;
}

/* NULL: no memory. */
static struct answer *new_answer(struct scrape *scrape)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	int error;

	if (!answer)
		return NULL;
	answer->n_users = 1;
	answer->metrics = scrape_metrics(scrape, &error);
	if (answer->metrics)
		return answer;
	free(answer);
	return NULL;
}

/* What is made for one asker serves all who come shortly after. */
static void renew_answer(struct server *server)
{
	int64_t begun_ms = scrape_now_ms(), ended_ms, kept_ms;

	if (server->answer && begun_ms < server->good_until_ms)
		return;
	forget_answer(server);
	server->answer = new_answer(&server->scrape);
	ended_ms = scrape_now_ms();
	kept_ms = KEPT_MS + 10 * (ended_ms - begun_ms);
	server->good_until_ms = ended_ms + (kept_ms > KEPT_MAX_MS ? KEPT_MAX_MS : kept_ms);
}

static struct MHD_Response *new_response(struct server *server, enum metrics_format format)
{
	const struct metrics *metrics = server->answer->metrics;
	const char *tail = metrics_tail(format);
	struct MHD_IoVec parts[2 * N_METRICS + 1];
	struct MHD_Response *response;
	unsigned int n = 0;

	for (size_t i = 0; i < N_METRICS; i++) {
		const char *head = server->heads[format][i];

		parts[n++] = (struct MHD_IoVec){ head, strlen(head) };
		if (metrics->families[i].size)
			parts[n++] = (struct MHD_IoVec){ metrics->families[i].text, metrics->families[i].size };
	}
	if (*tail)
		parts[n++] = (struct MHD_IoVec){ tail, strlen(tail) };
	response = MHD_create_response_from_iovec(parts, n, let_go, server->answer);
	if (!response)
		return NULL;
	server->answer->n_users++;
	add_headers(response, content_types[format]);
	return response;
}

/* NULL: no memory. */
static struct MHD_Response *metrics_response(struct server *server, enum metrics_format format)
{
	renew_answer(server);
	if (!server->responses[format] && server->answer)
		server->responses[format] = new_response(server, format);
	return server->responses[format];
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned int status, char *text)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	add_headers(response, "text/plain");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_metrics(struct server *server, struct MHD_Connection *connection)
{
	const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	bool is_open = accept && strstr(accept, "application/openmetrics-text");
	struct MHD_Response *response = metrics_response(server, is_open ? METRICS_OPENMETRICS : METRICS_PROMETHEUS);

	if (response)
		return MHD_queue_response(connection, MHD_HTTP_OK, response);
	return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not enough memory\n");
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_size, void **request)
{
	static char is_begun;

	(void)version, (void)upload;
	if (!*request) { /* its headers; a response now would be one before its body */
		*request = &is_begun;
		return MHD_YES;
	}
	if (*upload_size) { /* nobody has anything to send to us */
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
	if (!strcmp(url, "/metrics"))
		return answer_metrics(arg, connection);
	if (!strcmp(url, "/"))
		return answer_text(connection, MHD_HTTP_OK, "bpftune's metrics are at /metrics\n");
	return answer_text(connection, MHD_HTTP_NOT_FOUND, "metrics are at /metrics\n");
}

/* --- clients ------------------------------------------------------------------------------------ */

static void forget_client(struct server *server, struct client *client)
{
	if (client->fd < 0)
		return;
	client->fd = -1;
	DL_DELETE(server->clients, client);
	server->n_clients--;
}

/* libmicrohttpd closes what has ended, and tells. */
static void hang_up(struct server *server, struct client *client)
{
	shutdown(client->fd, SHUT_RDWR);
	forget_client(server, client);
}

static void begin_client(struct server *server, struct MHD_Connection *connection, void **socket_context)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct client *client = info ? calloc(1, sizeof(*client)) : NULL;

	*socket_context = client;
	if (!client)
		return;
	client->fd = info->connect_fd;
	client->since_ms = scrape_now_ms();
	if (server->n_clients >= CLIENTS_MAX)
		hang_up(server, server->clients);
	DL_APPEND(server->clients, client);
	server->n_clients++;
}

static void end_client(struct server *server, struct client *client)
{
	if (client)
		forget_client(server, client);
	free(client);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		begin_client(arg, connection, socket_context);
	else
		end_client(arg, *socket_context);
}

static void hang_up_on_old_clients(struct server *server)
{
	int64_t now = scrape_now_ms();

	while (server->clients && now - server->clients->since_ms >= CLIENT_MS)
		hang_up(server, server->clients);
}

/* --- the socket --------------------------------------------------------------------------------- */

/* "127.0.0.1:9815" or "[::1]:9815": an exit status. */
static int listen_on(const char *where, int *ret_fd)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	const char *colon = strrchr(where, ':');
	size_t n = colon ? colon - where : 0;
	bool has_brackets = n > 2 && where[0] == '[' && where[n - 1] == ']';
	_cleanup_close_ int fd = -1;
	char address[64] = ""; /* none is as long */
	struct addrinfo *info = NULL;
	int one = 1;

	if (n && n < sizeof(address))
		memcpy(address, where + has_brackets, n - 2 * has_brackets);
	if (!*address || !colon[1] || getaddrinfo(address, colon + 1, &hints, &info) != 0) {
		fprintf(stderr,
			"bpftune: --listen needs ADDRESS:PORT in numbers, as 127.0.0.1:9815 or [::1]:9815, not %s\n",
			where);
		return EXIT_USAGE;
	}
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		fprintf(stderr, "bpftune: cannot listen on %s: %s\n", where, strerror(errno));
		freeaddrinfo(info);
		return EXIT_FAILED;
	}
	freeaddrinfo(info);
	*ret_fd = take_fd(&fd);
	return EXIT_DONE;
}

static void say_where(int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char host[64], port[16];

	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
	    getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		fprintf(stderr,
			strchr(host, ':') ? "bpftune: metrics are at http://[%s]:%s/metrics\n"
					  : "bpftune: metrics are at http://%s:%s/metrics\n",
			host, port);
}

/* --- the process -------------------------------------------------------------------------------- */

/* Whoever starts it as root need not trust what listens to the network: an exit status. */
static int stop_being_root(void)
{
	const struct group *group;

	if (geteuid() == 0) {
		group = getgrnam(OBSERVERS_GROUP);
		if (!group) {
			fprintf(stderr,
				"bpftune: there is no group %s, which may read from the supervisor (make it with 'groupadd --system %s', and start the supervisor anew)\n",
				OBSERVERS_GROUP, OBSERVERS_GROUP);
			return EXIT_FAILED;
		}
		if (setgroups(0, NULL) < 0 || setresgid(group->gr_gid, group->gr_gid, group->gr_gid) < 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) < 0) {
			fprintf(stderr, "bpftune: cannot become an ordinary user: %s\n", strerror(errno));
			return EXIT_FAILED;
		}
	}
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return EXIT_DONE;
}

static bool make_heads(struct server *server)
{
	for (size_t format = 0; format < N_METRICS_FORMATS; format++)
		for (size_t i = 0; i < N_METRICS; i++) {
			server->heads[format][i] = metrics_head(i, format);
			if (!server->heads[format][i])
				return false;
		}
	return true;
}

static void serve(struct server *server, struct MHD_Daemon *daemon)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd pollfd = { .fd = info->epoll_fd, .events = POLLIN };

	for (;;) {
		MHD_UNSIGNED_LONG_LONG due_ms;
		int timeout_ms = server->clients ? 1000 : -1;

		if (MHD_get_timeout(daemon, &due_ms) == MHD_YES &&
		    (timeout_ms < 0 || due_ms < (unsigned int)timeout_ms))
			timeout_ms = due_ms < 1000 ? (int)due_ms : 1000;
		poll(&pollfd, 1, timeout_ms);
		MHD_run(daemon);
		hang_up_on_old_clients(server);
	}
}

int main(int argc, char **argv)
{
	struct server server = { .scrape = { .timeout_ms = TIMEOUT_MS, .limits_ms = LIMITS_MS } };
	struct MHD_Daemon *daemon;
	int status, fd = -1;

	if (argc != 3) {
		fprintf(stderr, "usage: bpftune metrics --listen ADDRESS:PORT\n");
		return EXIT_USAGE;
	}
	server.scrape.run_dir = argv[1];
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, 65536); /* large texts leave no holes between what is kept */
#endif
	status = listen_on(argv[2], &fd);
	if (!status)
		status = stop_being_root();
	if (status)
		return status;
	daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, &server, MHD_OPTION_LISTEN_SOCKET, fd,
				  MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CLIENTS_MAX + CLOSING_MAX,
				  MHD_OPTION_CONNECTION_TIMEOUT, CLIENT_MS / 1000U, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				  (size_t)CLIENT_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection, &server,
				  MHD_OPTION_END);
	if (!daemon || !make_heads(&server)) {
		fprintf(stderr, "bpftune: cannot serve on %s: libmicrohttpd does not start\n", argv[2]);
		return EXIT_FAILED;
	}
	say_where(fd);
	serve(&server, daemon);
}
