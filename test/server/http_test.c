/* The strict check on bytes, and the same through a real socket with TLS. */
#include "common/loop.h"
#include "server/api/http.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- pure ---- */

static enum rc check(const char *text, struct http_head *head)
{
	struct http_scan *scan = calloc(1, sizeof(*scan));
	static char kept[HTTP_HEAD_MAX];
	struct fault fault = { 0 };
	enum rc rc = RC_PROTO;

	assert_non_null(scan);
	http_scan_reset(scan);
	/* One byte at a time. */
	for (size_t i = 0; i < strlen(text); i++)
		(void)http_scan_feed(scan, (const uint8_t *)text + i, 1);
	*head = (struct http_head){ .status = scan->status };
	if (scan->state == HTTP_SCAN_DONE) {
		memcpy(kept, scan->head, scan->len);
		rc = http_head_parse(kept, scan->len, head, &fault);
	}
	if (scan->state == HTTP_SCAN_HEAD)
		rc = RC_AGAIN;
	free(scan);
	return rc;
}

static void refused(const char *text, int status)
{
	struct http_head head;
	enum rc rc = check(text, &head);

	if (rc != RC_PROTO || head.status != status)
		print_message("%s", text);
	assert_int_equal(rc, RC_PROTO);
	assert_int_equal(head.status, status);
}

static void test_a_plain_request_is_taken_apart(void **state)
{
	struct http_head head;

	(void)state;
	assert_int_equal(
	    check("POST /api/v1/a%2Db?x=1&y=%20 HTTP/1.1\r\nHost: h\r\n"
		  "Content-Length: 12\r\nAuthorization:  Bearer k \r\n\r\n",
		&head),
	    RC_OK);
	assert_int_equal(head.method, HTTP_METHOD_POST);
	assert_string_equal(head.path, "/api/v1/a-b");
	assert_string_equal(head.query, "x=1&y=%20");
	assert_int_equal(head.content_length, 12);
	assert_int_equal(head.authorization.len, strlen("Bearer k"));
	assert_null(head.idempotency_key.ptr);
}

static void test_every_cut_of_a_head_asks_for_more(void **state)
{
	const char *text = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	struct http_head head;

	(void)state;
	for (size_t n = 0; n < strlen(text); n++) {
		char *cut = strndup(text, n);

		assert_int_equal(check(cut, &head), RC_AGAIN);
		free(cut);
	}
	assert_int_equal(check(text, &head), RC_OK);
}

static void test_ambiguous_framing_is_refused(void **state)
{
	(void)state;
	refused("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
		"Transfer-Encoding: chunked\r\n\r\n",
	    400);
	refused("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
		"content-length: 1\r\n\r\n",
	    400);
	refused("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
		"\r\n",
	    411);
	refused(
	    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400);
	refused(
	    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1,1\r\n\r\n", 400);
	refused(
	    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length : 1\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", 400);
	refused("POST /a HTTP/1.1\r\nHost: h\r\n\r\n", 411);
	refused("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: "
		"99999999999999999999\r\n\r\n",
	    400);
}

static void test_lines_that_others_read_differently_are_refused(void **state)
{
	(void)state;
	refused("GET /a HTTP/1.1\nHost: h\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nHost: h\r\n X: folded\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400);
	refused("GET  /a HTTP/1.1\r\nHost: h\r\n\r\n", 505);
	refused("GET /a HTTP/2.0\r\nHost: h\r\n\r\n", 505);
	refused("\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nX: y\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
	refused("BREW /a HTTP/1.1\r\nHost: h\r\n\r\n", 405);
	refused("GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n", 400);
	refused("GET /a HTTP/1.1\r\nHost: h\r\nExpect: cake\r\n\r\n", 417);
}

static void test_paths_with_traps_are_refused(void **state)
{
	static const char *const targets[] = { "a", "//a", "/a//b", "/a/../b",
		"/a/./b", "/a/%2e%2e/b", "/a%00", "/a%0ab", "/a%2fb", "/a%5Cb",
		"/a%", "/a%4", "/a%zz", "/a#b", "/a\\b", "/a?x=%00", "/a?x=%",
		"http://h/a", "*", "/a/" };
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		(void)snprintf(text, sizeof(text),
		    "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i]);
		refused(text, 400);
	}
}

static void test_sizes_are_bounded(void **state)
{
	char *text = calloc(1, HTTP_HEAD_MAX + 4096);
	size_t n;

	(void)state;
	assert_non_null(text);
	n = (size_t)snprintf(text, 100, "GET /");
	memset(text + n, 'a', HTTP_TARGET_MAX);
	(void)snprintf(
	    text + n + HTTP_TARGET_MAX, 100, " HTTP/1.1\r\nHost: h\r\n\r\n");
	refused(text, 414);

	n = (size_t)snprintf(text, 100, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
	memset(text + n, 'a', HTTP_HEAD_MAX);
	(void)snprintf(text + n + HTTP_HEAD_MAX, 100, "\r\n\r\n");
	refused(text, 431);

	n = (size_t)snprintf(text, 100, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < HTTP_FIELDS_MAX; i++)
		n += (size_t)snprintf(text + n, 20, "X%d: y\r\n", i);
	(void)snprintf(text + n, 10, "\r\n");
	refused(text, 431);
	free(text);
}

/* ---- through a socket ---- */

struct fixture {
	struct http_handler handler;
	struct loop *loop;
	struct http_server *server;
	struct http_request *held; /* /later: answered by release() */
	pthread_t thread;
	char cert[64], key[64];
	SSL_CTX *client;
};

static void answer(struct http_request *r, int status, const char *text)
{
	const struct http_reply reply = { .status = status,
		.content_type = "text/plain",
		.body = text,
		.len = strlen(text) };

	http_reply(r, &reply);
}

static void on_request(struct http_handler *h, struct http_request *r)
{
	struct fixture *f = (struct fixture *)(void *)h;
	const struct http_head *head = http_request_head(r);
	char text[64];
	size_t len;

	if (strcmp(head->path, "/later") == 0) {
		f->held = r;
		return;
	}
	(void)http_request_body(r, &len);
	(void)snprintf(text, sizeof(text), "%s %.20s %zu",
	    http_method_name(head->method), head->path, len);
	answer(r, 200, text);
}

static void make_certificate(struct fixture *f)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	X509 *cert = X509_new();
	FILE *out;

	assert_non_null(key);
	(void)X509_set_version(cert, X509_VERSION_3);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	(void)X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	(void)snprintf(f->cert, sizeof(f->cert), "/tmp/http_test_XXXXXX");
	out = fdopen(mkstemp(f->cert), "w");
	assert_int_equal(PEM_write_X509(out, cert), 1);
	(void)fclose(out);
	(void)snprintf(f->key, sizeof(f->key), "/tmp/http_test_XXXXXX");
	out = fdopen(mkstemp(f->key), "w");
	assert_int_equal(
	    PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
	(void)fclose(out);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void *run_loop(void *arg)
{
	struct fixture *f = arg;

	loop_run(f->loop);
	return NULL;
}

static int set_up_with(void **state, uint32_t connections, uint32_t request_ms)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct http_options options = { .address = "127.0.0.1",
		.max_connections = connections,
		.idle_ms = 10000,
		.request_ms = request_ms };

	f->handler.on_request = on_request;
	make_certificate(f);
	options.cert_file = f->cert;
	options.key_file = f->key;
	assert_int_equal(loop_new(&f->loop), RC_OK);
	assert_int_equal(
	    http_server_new(f->loop, &options, &f->handler, &f->server, NULL),
	    RC_OK);
	assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f), 0);
	f->client = SSL_CTX_new(TLS_client_method());
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, 16, 10000);
}

static int set_up_tight(void **state)
{
	return set_up_with(state, 2, 300);
}

static void on_stop(void *arg)
{
	struct fixture *f = arg;

	if (f->held != NULL)
		answer(f->held, 200, "late");
	f->held = NULL;
	http_server_stop_accepting(f->server);
	loop_stop(f->loop);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_post(f->loop, on_stop, f), RC_OK);
	(void)pthread_join(f->thread, NULL);
	http_server_free(f->server);
	loop_free(f->loop);
	SSL_CTX_free(f->client);
	(void)unlink(f->cert);
	(void)unlink(f->key);
	free(f);
	return 0;
}

static SSL *dial(struct fixture *f)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_port = htons(http_server_port(f->server)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *ssl = SSL_new(f->client);

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	(void)SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1) {
		ERR_print_errors_fp(stderr);
		fail();
	}
	return ssl;
}

static void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_free(ssl);
	(void)close(fd);
}

/* Until want is there, or the end; returns what came. */
static const char *read_until(SSL *ssl, const char *want)
{
	static char text[16384];
	size_t n = 0;

	text[0] = '\0';
	while (strstr(text, want) == NULL && n < sizeof(text) - 1) {
		int got = SSL_read(ssl, text + n, (int)(sizeof(text) - 1 - n));

		if (got <= 0)
			break;
		n += (size_t)got;
		text[n] = '\0';
	}
	return text;
}

static void expect(SSL *ssl, const char *request, const char *want)
{
	const char *got;

	assert_int_equal(SSL_write(ssl, request, (int)strlen(request)),
	    (int)strlen(request));
	got = read_until(ssl, want);
	if (strstr(got, want) == NULL)
		print_message("got: %s\n", got);
	assert_non_null(strstr(got, want));
}

static void test_requests_on_one_connection_are_answered(void **state)
{
	SSL *ssl = dial(*state);

	for (int i = 0; i < 5; i++) {
		expect(ssl, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a 0");
		expect(ssl,
		    "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
		    "abc",
		    "PUT /b 3");
	}
	hang_up(ssl);
}

/* The listening socket of this process at that port. */
static int find_listener(uint16_t port)
{
	for (int fd = 0; fd < 1024; fd++) {
		struct sockaddr_in sa = { 0 };
		socklen_t len = sizeof(sa), size = sizeof(int);
		int listens = 0;

		if (getsockopt(
			fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 &&
		    listens == 1 &&
		    getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
		    ntohs(sa.sin_port) == port)
			return fd;
	}
	return -1;
}

static void test_an_answer_does_not_wait_for_acknowledgements(void **state)
{
	struct fixture *f = *state;
	int fd = find_listener(http_server_port(f->server)), on = 0;
	socklen_t len = sizeof(on);

	assert_int_not_equal(fd, -1);
	assert_int_equal(
	    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_int_equal(on, 1);
}

static void test_pipelined_requests_are_each_checked(void **state)
{
	SSL *ssl = dial(*state);

	expect(ssl,
	    "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
	    "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxx"
	    "GET /c HTTP/1.1\r\nHost: h\r\n\r\n",
	    "GET /c 0");
	expect(ssl,
	    "GET /d HTTP/1.1\r\nHost: h\r\n\r\n"
	    "GET /e HTTP/1.1\nHost: h\r\n\r\n",
	    "LF without CR");
	hang_up(ssl);
}

static void test_a_body_in_pieces_arrives_whole(void **state)
{
	SSL *ssl = dial(*state);
	char piece[1024];
	const char *head = "PUT /big HTTP/1.1\r\nHost: h\r\n"
			   "Content-Length: 2097152\r\n\r\n";

	memset(piece, 'x', sizeof(piece));
	assert_true(SSL_write(ssl, head, (int)strlen(head)) > 0);
	for (int i = 0; i < 2048; i++)
		assert_int_equal(SSL_write(ssl, piece, 1024), 1024);
	assert_non_null(strstr(read_until(ssl, "2097152"), "PUT /big 2097152"));
	hang_up(ssl);
}

static void test_what_is_refused_says_why_and_closes(void **state)
{
	SSL *ssl = dial(*state);

	expect(ssl,
	    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
	    "Content-Length: 3\r\n\r\nabc",
	    "content-length is there twice");
	assert_int_equal(strlen(read_until(ssl, "never")), 0);
	hang_up(ssl);
}

static void test_a_client_that_leaves_early_harms_nobody(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = dial(f);
	const char *text = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";

	assert_true(SSL_write(ssl, text, (int)strlen(text)) > 0);
	hang_up(ssl);
	ssl = dial(f);
	expect(ssl, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a 0");
	hang_up(ssl);
}

static void test_a_request_that_trickles_is_ended(void **state)
{
	SSL *ssl = dial(*state);

	assert_int_equal(SSL_write(ssl, "GET /a HT", 9), 9);
	assert_int_equal(strlen(read_until(ssl, "never")), 0);
	hang_up(ssl);
}

static void test_connections_beyond_the_cap_wait_their_turn(void **state)
{
	struct fixture *f = *state;
	SSL *one = dial(f), *two = dial(f);

	hang_up(one);
	one = dial(f);
	expect(one, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a 0");
	hang_up(two);
	hang_up(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_request_is_taken_apart),
		cmocka_unit_test(test_every_cut_of_a_head_asks_for_more),
		cmocka_unit_test(test_ambiguous_framing_is_refused),
		cmocka_unit_test(
		    test_lines_that_others_read_differently_are_refused),
		cmocka_unit_test(test_paths_with_traps_are_refused),
		cmocka_unit_test(test_sizes_are_bounded),
		cmocka_unit_test_setup_teardown(
		    test_requests_on_one_connection_are_answered, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_an_answer_does_not_wait_for_acknowledgements, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_pipelined_requests_are_each_checked, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_body_in_pieces_arrives_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_what_is_refused_says_why_and_closes, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_client_that_leaves_early_harms_nobody, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_request_that_trickles_is_ended, set_up_tight,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_connections_beyond_the_cap_wait_their_turn,
		    set_up_tight, tear_down),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
