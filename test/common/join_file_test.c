/* Requests and answers that people carry, as text. */
#include "common/join_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fill(struct join_request *r)
{
	*r = (struct join_request){ .role = ROLE_TENTACLE, .csr_len = 300 };
	(void)snprintf(r->hostname, sizeof(r->hostname), "web-01");
	(void)snprintf(r->version, sizeof(r->version), "1.2.3");
	(void)snprintf(r->listen, sizeof(r->listen), "10.0.0.3:10933");
	for (size_t i = 0; i < r->csr_len; i++)
		r->csr[i] = (uint8_t)(i * 7);
}

static char *format(const struct join_request *r)
{
	char *text = NULL;

	assert_int_equal(join_request_format(r, &text), RC_OK);
	return text;
}

static void test_a_request_comes_back_as_it_was(void **state)
{
	struct join_request r, back;
	struct fault fault;
	char *text;

	(void)state;
	fill(&r);
	text = format(&r);
	assert_int_equal(
	    join_request_parse(text, strlen(text), &back, &fault), RC_OK);
	assert_int_equal(back.role, ROLE_TENTACLE);
	assert_string_equal(back.hostname, "web-01");
	assert_string_equal(back.version, "1.2.3");
	assert_string_equal(back.listen, "10.0.0.3:10933");
	assert_int_equal(back.csr_len, r.csr_len);
	assert_memory_equal(back.csr, r.csr, r.csr_len);
	free(text);
	/* What nobody knows is left out. */
	r = (struct join_request){ .role = ROLE_RELAY, .csr_len = 1 };
	text = format(&r);
	assert_null(strstr(text, "listen"));
	assert_int_equal(
	    join_request_parse(text, strlen(text), &back, &fault), RC_OK);
	assert_int_equal(back.role, ROLE_RELAY);
	assert_string_equal(back.listen, "");
	free(text);
}

static void test_a_request_cut_or_damaged_is_refused_or_read(void **state)
{
	struct join_request r, back;
	char *text, *copy;
	size_t len;

	(void)state;
	fill(&r);
	text = format(&r);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		struct fault fault = { .code = REASON_NONE };
		enum rc rc = join_request_parse(text, i, &back, &fault);

		assert_true(rc == RC_PROTO || (i + 1 == len && rc == RC_OK));
		assert_true(rc == RC_OK || fault.code == REASON_BAD_CONFIG);
	}
	copy = malloc(len + 1);
	assert_non_null(copy);
	for (size_t i = 0; i < len; i++) {
		struct fault fault = { .code = REASON_NONE };

		memcpy(copy, text, len + 1);
		copy[i] ^= 0x15;
		if (join_request_parse(copy, len, &back, &fault) != RC_OK)
			assert_int_equal(fault.code, REASON_BAD_CONFIG);
	}
	free(copy);
	free(text);
}

static void expect_refused(const char *line, const char *word)
{
	struct join_request back;
	struct fault fault = { .code = REASON_NONE };
	char text[1024];

	(void)snprintf(text, sizeof(text),
	    "Longarm request to join\n%s\n-----BEGIN CERTIFICATE REQUEST-----\n"
	    "AAAA\n-----END CERTIFICATE REQUEST-----\n",
	    line);
	assert_int_equal(
	    join_request_parse(text, strlen(text), &back, &fault), RC_PROTO);
	if (strstr(fault.text, word) == NULL)
		fail_msg("%s: %s", line, fault.text);
}

static void test_each_wrong_line_is_named(void **state)
{
	char longer[400];

	(void)state;
	expect_refused("role: server", "role");
	expect_refused("role: king", "role");
	expect_refused("", "role");
	expect_refused("role: relay\nlisten: nowhere", "listen");
	expect_refused("role: relay\nhost: a\x1b[2J", "host");
	memset(longer, 'a', sizeof(longer));
	memcpy(longer, "role: relay\nversion: ", 21);
	longer[sizeof(longer) - 1] = '\0';
	expect_refused(longer, "version");
}

static void test_an_answer_comes_back_and_nothing_else_does(void **state)
{
	const uint8_t message[] = { 1, 2, 3, 0, 255 };
	struct fault fault = { .code = REASON_NONE };
	char *text = NULL;
	uint8_t *back = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(join_answer_format("web-01",
			     bytes_of(message, sizeof(message)), &text),
	    RC_OK);
	assert_non_null(strstr(text, "web-01"));
	assert_int_equal(
	    join_answer_parse(text, strlen(text), &back, &len, &fault), RC_OK);
	assert_int_equal(len, sizeof(message));
	assert_memory_equal(back, message, len);
	free(back);
	for (size_t i = 0; i + 2 < strlen(text); i++) {
		assert_int_equal(
		    join_answer_parse(text, i, &back, &len, &fault), RC_PROTO);
		assert_int_equal(fault.code, REASON_BAD_CONFIG);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_comes_back_as_it_was),
		cmocka_unit_test(
		    test_a_request_cut_or_damaged_is_refused_or_read),
		cmocka_unit_test(test_each_wrong_line_is_named),
		cmocka_unit_test(
		    test_an_answer_comes_back_and_nothing_else_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
