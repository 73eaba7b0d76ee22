/* fuzz: common proto */
/* about: common/proxy.c */
#include "common/proxy.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void try_settings(const uint8_t *data, size_t len)
{
	char text[300];
	const char *rules[1] = { text };
	struct proxy_credentials credentials;
	struct proxy proxy;
	size_t n = len < sizeof(text) - 1 ? len : sizeof(text) - 1;

	memcpy(text, data, n);
	text[n] = '\0';
	if (proxy_parse(text, &proxy, NULL) == RC_OK)
		assert(proxy.at.port != 0);
	if (proxy_credentials_parse(
		(const char *)data, len, &credentials, NULL) == RC_OK)
		assert(credentials.user[0] != '\0');
	(void)proxy_is_exempt(rules, 1, "10.1.2.3");
	(void)proxy_is_exempt(rules, 1, "fd00::1");
}

/* The whole answer at once, or byte by byte: the verdict is the same. */
static enum rc talk(const struct proxy *proxy,
    const struct proxy_credentials *credentials, const uint8_t *data,
    size_t len, size_t step)
{
	static const struct endpoint target = { "web-03.example", 10933 };
	struct fault fault = { .code = REASON_NONE };
	struct proxy_talk *t;
	enum rc rc = RC_AGAIN;

	if (proxy_talk_new(proxy, credentials, &target, "x", &t) != RC_OK)
		return RC_NOMEM;
	for (size_t at = 0; at < len && rc != RC_DENIED; at += step) {
		size_t n = len - at < step ? len - at : step;

		rc = proxy_talk_feed(t, data + at, n, &fault);
		if (step == 1)
			proxy_talk_sent(t, proxy_talk_output(t).len);
	}
	if (rc == RC_DENIED)
		assert(fault.code == REASON_PROXY);
	proxy_talk_free(t);
	return rc;
}

/* The first byte chooses proxy and credentials. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct proxy_credentials known = { "ada", "secret" };
	const struct proxy_credentials *credentials;
	struct proxy proxy = { .at = { "10.0.0.9", 3128 } };
	enum rc slow, fast;

	if (len == 0)
		return 0;
	if (data[0] == 's') {
		try_settings(data + 1, len - 1);
		return 0;
	}
	proxy.kind = (data[0] & 1) != 0 ? PROXY_SOCKS5 : PROXY_HTTP;
	credentials = (data[0] & 2) != 0 ? &known : NULL;
	slow = talk(&proxy, credentials, data + 1, len - 1, 1);
	fast = talk(&proxy, credentials, data + 1, len - 1, len);
	assert(slow == fast);
	return 0;
}
