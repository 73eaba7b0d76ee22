#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/proxy.h"
#include "test/support/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct proxy_credentials ada = {
	.user = "ada",
	.password = "se:cret",
};
static const struct endpoint web = { .host = "10.0.0.3", .port = 10933 };

static struct proxy_talk *begin(const char *url,
    const struct proxy_credentials *credentials, const struct endpoint *target)
{
	struct proxy_talk *talk;
	struct proxy proxy;

	assert_int_equal(proxy_parse(url, &proxy, NULL), RC_OK);
	assert_int_equal(
	    proxy_talk_new(&proxy, credentials, target, "web-03", &talk),
	    RC_OK);
	return talk;
}

static void expect_output(
    struct proxy_talk *talk, const void *bytes, size_t len)
{
	struct bytes out = proxy_talk_output(talk);

	assert_int_equal(out.len, len);
	assert_memory_equal(out.p, bytes, len);
	proxy_talk_sent(talk, len);
	assert_int_equal(proxy_talk_output(talk).len, 0);
}

/* One byte at a time; every byte but the last must be too early to tell. */
static enum rc feed_slowly(
    struct proxy_talk *talk, const void *bytes, size_t len, struct fault *fault)
{
	const uint8_t *p = bytes;
	enum rc rc = RC_AGAIN;

	for (size_t i = 0; i < len; i++) {
		if (rc != RC_AGAIN)
			fail_msg("%s after %zu of %zu", rc_name(rc), i, len);
		rc = proxy_talk_feed(talk, p + i, 1, fault);
	}
	return rc;
}

#define HTTP  "http://10.0.0.9:3128"
#define SOCKS "socks5://10.0.0.9:1080"

static void test_http_asks_with_the_name_unresolved(void **state)
{
	static const char asked[] = "CONNECT web-03.example:10933 HTTP/1.1\r\n"
				    "Host: web-03.example:10933\r\n\r\n";
	static const char answer[] = "HTTP/1.0 200 Connection established\r\n"
				     "Proxy-agent: tinyproxy/1.11\r\n\r\n";
	const struct endpoint named = { "web-03.example", 10933 };
	struct proxy_talk *talk = begin(HTTP, NULL, &named);
	struct fault fault;

	(void)state;
	expect_output(talk, asked, sizeof(asked) - 1);
	assert_int_equal(
	    feed_slowly(talk, answer, sizeof(answer) - 1, &fault), RC_OK);
	proxy_talk_free(talk);
}

static void test_http_sends_basic_credentials_and_brackets(void **state)
{
	static const char asked[] =
	    "CONNECT [fd00::3]:10933 HTTP/1.1\r\nHost: [fd00::3]:10933\r\n"
	    "Proxy-Authorization: Basic YWRhOnNlOmNyZXQ=\r\n\r\n";
	const struct endpoint v6 = { "fd00::3", 10933 };
	struct proxy_talk *talk = begin(HTTP, &ada, &v6);

	(void)state;
	expect_output(talk, asked, sizeof(asked) - 1);
	proxy_talk_free(talk);
}

static void test_the_longest_of_everything_fits(void **state)
{
	static const char *const urls[] = { HTTP, SOCKS };
	struct proxy_credentials long_ones;
	struct endpoint target = { .port = 65535 };
	struct proxy_talk *talk;
	struct bytes out;

	(void)state;
	memset(&long_ones, 0, sizeof(long_ones));
	memset(long_ones.user, 'u', PROXY_WORD_MAX);
	memset(long_ones.password, 'p', PROXY_WORD_MAX);
	memset(target.host, 'h', sizeof(target.host) - 1);
	talk = begin(urls[0], &long_ones, &target);
	out = proxy_talk_output(talk);
	assert_memory_equal(out.p + out.len - 4, "\r\n\r\n", 4);
	proxy_talk_free(talk);
	/* All of SOCKS5 although nothing was sent in between. */
	talk = begin(urls[1], &long_ones, &target);
	assert_int_equal(
	    proxy_talk_feed(talk, (const uint8_t *)"\5\2\1\0", 4, NULL),
	    RC_AGAIN);
	out = proxy_talk_output(talk);
	assert_int_equal(out.len, 4 + 3 + 255 + 255 + 4 + 1 + 253 + 2);
	proxy_talk_free(talk);
}

static void refused(
    const char *url, const void *answer, size_t len, const char *words)
{
	struct proxy_talk *talk = begin(url, NULL, &web);
	struct fault fault = { .code = REASON_NONE };

	assert_int_equal(feed_slowly(talk, answer, len, &fault), RC_DENIED);
	assert_int_equal(fault.code, REASON_PROXY);
	if (strstr(fault.text, words) == NULL)
		fail_msg("'%s' does not say '%s'", fault.text, words);
	assert_int_equal(proxy_talk_feed(talk, answer, 1, &fault), RC_DENIED);
	proxy_talk_free(talk);
}

static void test_http_refusals_name_proxy_target_and_status(void **state)
{
	static const char *const status[] = { "403 Forbidden",
		"407 Proxy Authentication Required", "502 Bad Gateway",
		"301 Moved" };
	char line[100], words[200];

	(void)state;
	for (size_t i = 0; i < sizeof(status) / sizeof(status[0]); i++) {
		int n =
		    snprintf(line, sizeof(line), "HTTP/1.1 %s\r\n", status[i]);

		(void)snprintf(words, sizeof(words),
		    "web-03: proxy 10.0.0.9:3128 refused CONNECT to "
		    "10.0.0.3:10933: %s",
		    status[i]);
		refused(HTTP, line, (size_t)n, words);
	}
}

#define REFUSED(url, text, words) refused(url, text, sizeof(text) - 1, words)

static void test_what_is_no_http_is_refused_at_once(void **state)
{
	(void)state;
	REFUSED(HTTP, "HTTP/1.1 200 OK\r\nVia x\r\n", "broken HTTP header");
	REFUSED(HTTP, "HTTP/1.1 200 OK\n", "does not speak HTTP");
	REFUSED(HTTP, "HTTP/1.1 200 OK\rx", "does not speak HTTP");
	REFUSED(HTTP, "HTTP/2.0 200 OK\r\n", "does not speak HTTP");
	REFUSED(HTTP, "HTTP/1.1 2000 OK\r\n", "does not speak HTTP");
	REFUSED(HTTP, "HTTP/1.1 20\r\n", "does not speak HTTP");
	REFUSED(HTTP, "HTTP/1.1 100 Continue\r\n", "does not speak HTTP");
	REFUSED(HTTP, "\r\n", "does not speak HTTP");
	REFUSED(HTTP, "\0", "a control character");
	REFUSED(HTTP, "\5", "a control character");
	REFUSED(HTTP, "HTTP/1.1 403 No\x1b", "a control character");
	REFUSED(HTTP, "HTTP/1.1 403 \xff\r\n", "403 ?");
}

static void test_an_answer_of_more_than_8_kib_is_refused(void **state)
{
	static const char status[] = "HTTP/1.1 200 OK\r\n";
	struct proxy_talk *talk = begin(HTTP, NULL, &web);
	struct fault fault;
	uint8_t line[64];
	size_t sent = sizeof(status) - 1;
	enum rc rc;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[1] = ':';
	memcpy(line + 62, "\r\n", 2);
	rc = proxy_talk_feed(talk, (const uint8_t *)status, sent, &fault);
	while (rc == RC_AGAIN) {
		assert_true(sent <= PROXY_ANSWER_MAX);
		rc = proxy_talk_feed(talk, line, sizeof(line), &fault);
		sent += sizeof(line);
	}
	assert_int_equal(rc, RC_DENIED);
	assert_non_null(strstr(fault.text, "8 KiB"));
	proxy_talk_free(talk);
}

static void test_a_word_after_the_answer_is_one_too_many(void **state)
{
	struct proxy_talk *talk = begin(HTTP, NULL, &web);
	struct fault fault;
	static const char answer[] = "HTTP/1.1 200 OK\r\n\r\nx";

	(void)state;
	assert_int_equal(proxy_talk_feed(talk, (const uint8_t *)answer,
			     sizeof(answer) - 1, &fault),
	    RC_DENIED);
	assert_non_null(strstr(fault.text, "said more than its answer"));
	proxy_talk_free(talk);
}

static void test_socks_without_credentials_by_ipv4(void **state)
{
	struct proxy_talk *talk = begin(SOCKS, NULL, &web);
	struct fault fault;

	(void)state;
	expect_output(talk, "\5\1\0", 3);
	assert_int_equal(feed_slowly(talk, "\5\0", 2, &fault), RC_AGAIN);
	expect_output(talk, "\5\1\0\1\12\0\0\3\x2a\xb5", 10);
	assert_int_equal(
	    feed_slowly(talk, "\5\0\0\1\0\0\0\0\0\0", 10, &fault), RC_OK);
	proxy_talk_free(talk);
}

static void test_socks_with_credentials_by_name(void **state)
{
	const struct endpoint named = { "db.example", 10933 };
	struct proxy_talk *talk = begin(SOCKS, &ada, &named);
	struct fault fault;

	(void)state;
	expect_output(talk, "\5\2\0\2", 4);
	assert_int_equal(feed_slowly(talk, "\5\2", 2, &fault), RC_AGAIN);
	expect_output(talk, "\1\3ada\7se:cret", 13);
	assert_int_equal(feed_slowly(talk, "\1\0", 2, &fault), RC_AGAIN);
	expect_output(talk, "\5\1\0\3\12db.example\x2a\xb5", 17);
	/* Bound address by name: its length comes with it. */
	assert_int_equal(
	    feed_slowly(talk, "\5\0\0\3\3a.b\0\1", 10, &fault), RC_OK);
	proxy_talk_free(talk);
}

static void test_socks_by_ipv6(void **state)
{
	const struct endpoint v6 = { "fd00::3", 10933 };
	struct proxy_talk *talk = begin(SOCKS, NULL, &v6);
	uint8_t answer[22] = { 5, 0, 0, 4 };
	struct fault fault;

	(void)state;
	expect_output(talk, "\5\1\0", 3);
	assert_int_equal(feed_slowly(talk, "\5\0", 2, &fault), RC_AGAIN);
	expect_output(
	    talk, "\5\1\0\4\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3\x2a\xb5", 22);
	assert_int_equal(
	    feed_slowly(talk, answer, sizeof(answer), &fault), RC_OK);
	proxy_talk_free(talk);
}

static void test_socks_refusals_say_why(void **state)
{
	(void)state;
	REFUSED(SOCKS, "\5\xff", "it wants credentials");
	REFUSED(SOCKS, "\5\2", "it wants credentials");
	REFUSED(SOCKS, "H", "is it an HTTP proxy?");
	REFUSED(SOCKS, "\5\0\5\2", "its rules do not allow it");
	REFUSED(SOCKS, "\5\0\5\5",
	    "web-03: proxy 10.0.0.9:1080 refused CONNECT to 10.0.0.3:10933: "
	    "connection refused");
	REFUSED(SOCKS, "\5\0\5\xfe", "an unknown code");
	REFUSED(SOCKS, "\5\0\4", "does not speak SOCKS5");
	REFUSED(SOCKS, "\5\0\5\0\1\1\0", "does not speak SOCKS5");
	REFUSED(SOCKS, "\5\0\5\0\0\2\0", "does not speak SOCKS5");
}

static void test_socks_that_refuses_credentials_says_so(void **state)
{
	struct proxy_talk *talk = begin(SOCKS, &ada, &web);
	struct fault fault;

	(void)state;
	assert_int_equal(feed_slowly(talk, "\5\2\1\1", 4, &fault), RC_DENIED);
	assert_non_null(strstr(fault.text, "does not accept the credentials"));
	assert_null(strstr(fault.text, "se:cret"));
	proxy_talk_free(talk);
}

static void test_a_connection_that_breaks_names_the_proxy(void **state)
{
	struct proxy_talk *talk = begin(SOCKS, NULL, &web);
	struct fault fault;

	(void)state;
	proxy_talk_broken(talk, "connection closed", &fault);
	assert_int_equal(fault.code, REASON_PROXY);
	assert_string_equal(fault.text,
	    "web-03: proxy 10.0.0.9:1080 did not open a way to 10.0.0.3:10933: "
	    "connection closed");
	proxy_talk_free(talk);
}

static void test_only_two_schemes_with_a_port_are_proxies(void **state)
{
	static const char *const bad[] = { "", "10.0.0.9:3128",
		"https://10.0.0.9:3128", "http://10.0.0.9", "http://",
		"socks5://10.0.0.9:0", "http://ada:pw@10.0.0.9:3128",
		"http://10.0.0.9:3128/" };
	struct proxy proxy;
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (proxy_parse(bad[i], &proxy, &fault) == RC_OK)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(fault.code, REASON_BAD_CONFIG);
	}
	assert_int_equal(
	    proxy_parse("socks5://[fd00::9]:1080", &proxy, NULL), RC_OK);
	assert_int_equal(proxy.kind, PROXY_SOCKS5);
	assert_string_equal(proxy.at.host, "fd00::9");
}

static void test_credentials_are_one_line_and_never_repeated(void **state)
{
	static const char *const bad[] = { "", "SECRET", ":SECRET",
		"SECRET:", "SECRET:a\nb", "SEC\x01RET:x" };
	struct proxy_credentials c;
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (proxy_credentials_parse(
			bad[i], strlen(bad[i]), &c, &fault) == RC_OK)
			fail_msg("%s was taken", bad[i]);
		assert_null(strstr(fault.text, "SECRET"));
	}
	assert_int_equal(
	    proxy_credentials_parse("ada:se:cret\r\n", 13, &c, NULL), RC_OK);
	assert_string_equal(c.user, "ada");
	assert_string_equal(c.password, "se:cret");
}

static void test_credentials_that_others_can_read_are_refused(void **state)
{
	char path[] = "/tmp/proxy-test-XXXXXX";
	int fd = mkstemp(path);
	struct proxy_credentials c;
	struct fault fault;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, "ada:pw\n", 7), RC_OK);
	assert_int_equal(proxy_credentials_read(path, &c, &fault), RC_OK);
	assert_string_equal(c.password, "pw");
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(proxy_credentials_read(path, &c, &fault), RC_DENIED);
	assert_non_null(strstr(fault.text, "chmod 600"));
	(void)close(fd);
	(void)unlink(path);
	assert_int_equal(proxy_credentials_read(path, &c, &fault), RC_NOTFOUND);
}

static void test_hosts_domains_and_networks_are_exempt(void **state)
{
	static const char *const rules[] = { "db-01", ".lan.example",
		"10.1.0.0/16", "fd00::/9", "192.168.1.7", "0.0.0.0/33",
		"10.9.0.0/", "10.8.0.0/8x" };
	static const char *const in[] = { "DB-01", "a.lan.example",
		"A.B.LAN.EXAMPLE", "10.1.255.3", "fd7f::1", "192.168.1.7" };
	static const char *const out[] = { "db-012", "lan.example",
		"xlan.example", "10.2.0.1", "fd80::1", "192.168.1.70",
		"1.2.3.4", "10.9.0.0", "10.8.0.1" };
	size_t count = sizeof(rules) / sizeof(rules[0]);

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		if (!proxy_is_exempt(rules, count, in[i]))
			fail_msg("%s goes by the proxy", in[i]);
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		if (proxy_is_exempt(rules, count, out[i]))
			fail_msg("%s goes without", out[i]);
}

static void test_memory_that_is_short_is_told(void **state)
{
	struct proxy proxy;
	struct proxy_talk *talk;

	(void)state;
	assert_int_equal(proxy_parse(HTTP, &proxy, NULL), RC_OK);
	alloc_fail_at(0);
	assert_int_equal(
	    proxy_talk_new(&proxy, &ada, &web, "x", &talk), RC_NOMEM);
	alloc_never_fail();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_asks_with_the_name_unresolved),
		cmocka_unit_test(
		    test_http_sends_basic_credentials_and_brackets),
		cmocka_unit_test(test_the_longest_of_everything_fits),
		cmocka_unit_test(
		    test_http_refusals_name_proxy_target_and_status),
		cmocka_unit_test(test_what_is_no_http_is_refused_at_once),
		cmocka_unit_test(test_an_answer_of_more_than_8_kib_is_refused),
		cmocka_unit_test(test_a_word_after_the_answer_is_one_too_many),
		cmocka_unit_test(test_socks_without_credentials_by_ipv4),
		cmocka_unit_test(test_socks_with_credentials_by_name),
		cmocka_unit_test(test_socks_by_ipv6),
		cmocka_unit_test(test_socks_refusals_say_why),
		cmocka_unit_test(test_socks_that_refuses_credentials_says_so),
		cmocka_unit_test(test_a_connection_that_breaks_names_the_proxy),
		cmocka_unit_test(test_only_two_schemes_with_a_port_are_proxies),
		cmocka_unit_test(
		    test_credentials_are_one_line_and_never_repeated),
		cmocka_unit_test(
		    test_credentials_that_others_can_read_are_refused),
		cmocka_unit_test(test_hosts_domains_and_networks_are_exempt),
		cmocka_unit_test(test_memory_that_is_short_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
