#include "common/proxy.h"

#include "common/fs.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/*
 * HTTP:   STATUS --line--> HEADER --empty line--> OPEN
 * SOCKS5: METHOD --0x02--> AUTH --> REPLY --address read--> OPEN
 *            +-----0x00--------------^
 */
enum talk_state {
	TALK_STATUS,
	TALK_HEADER,
	TALK_METHOD,
	TALK_AUTH,
	TALK_REPLY,
	TALK_OPEN,
	TALK_FAILED,
};

#define OUTPUT_MAX 1536 /* CONNECT with the longest name and credentials */
#define LINE_MAX_  200  /* kept of the status line */

struct proxy_talk {
	enum talk_state state;
	struct proxy proxy;
	struct proxy_credentials credentials;
	struct endpoint target;
	char label[96];
	uint8_t out[OUTPUT_MAX];
	size_t out_len, out_sent;
	/* HTTP */
	char line[LINE_MAX_ + 1]; /* the status line */
	size_t line_len;          /* of the line that is being read */
	size_t answer_len;        /* of all lines */
	bool line_colon, line_cr;
	/* SOCKS5 */
	uint8_t in[4 + 1 + 255 + 2];
	size_t in_len;
};

/* --- Settings ------------------------------------------------------------- */

enum rc proxy_parse(const char *text, struct proxy *out, struct fault *fault)
{
	static const struct {
		const char *scheme;
		enum proxy_kind kind;
	} schemes[] = {
		{ "http://", PROXY_HTTP },
		{ "socks5://", PROXY_SOCKS5 },
	};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i].scheme);
		struct endpoint at;

		if (strncmp(text, schemes[i].scheme, len) != 0)
			continue;
		if (endpoint_parse(text + len, 0, &at, fault) != RC_OK)
			return RC_PROTO;
		*out = (struct proxy){ .kind = schemes[i].kind, .at = at };
		return RC_OK;
	}
	fault_set(fault, REASON_BAD_CONFIG, "",
	    "a proxy is http://HOST:PORT or socks5://HOST:PORT");
	return RC_PROTO;
}

void proxy_credentials_fini(struct proxy_credentials *credentials)
{
	OPENSSL_cleanse(credentials, sizeof(*credentials));
}

static bool is_word(const char *text, size_t len)
{
	if (len == 0 || len > PROXY_WORD_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	}
	return true;
}

enum rc proxy_credentials_parse(const char *text, size_t len,
    struct proxy_credentials *out, struct fault *fault)
{
	const char *colon;
	size_t user;

	*out = (struct proxy_credentials){ .user = "" };
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	colon = memchr(text, ':', len);
	user = colon != NULL ? (size_t)(colon - text) : 0;
	if (colon == NULL || !is_word(text, user) ||
	    !is_word(colon + 1, len - user - 1)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "must be one line, user:password, each of 1 to %d bytes "
		    "without control characters",
		    PROXY_WORD_MAX);
		return RC_PROTO;
	}
	memcpy(out->user, text, user);
	memcpy(out->password, colon + 1, len - user - 1);
	return RC_OK;
}

enum rc proxy_credentials_read(
    const char *path, struct proxy_credentials *out, struct fault *fault)
{
	struct fault why;
	struct stat st;
	uint8_t *text = NULL;
	size_t len = 0;
	enum rc rc;

	*out = (struct proxy_credentials){ .user = "" };
	rc = fs_read_file(path, PROXY_CREDENTIALS_MAX, &text, &len, fault);
	if (rc != RC_OK)
		return rc;
	if (stat(path, &st) != 0 || (st.st_mode & 077) != 0) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s: others can read these proxy credentials; remedy: "
		    "chmod 600",
		    path);
		rc = RC_DENIED;
	} else {
		rc =
		    proxy_credentials_parse((const char *)text, len, out, &why);
		if (rc != RC_OK)
			fault_set(fault, REASON_BAD_CONFIG, "", "%s: %s", path,
			    why.text);
	}
	OPENSSL_cleanse(text, len);
	free(text);
	return rc;
}

/* --- Who is exempt -------------------------------------------------------- */

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool is_in_network(const char *rule, const char *host)
{
	const char *slash = strchr(rule, '/');
	uint8_t net[16], address[16];
	char text[INET6_ADDRSTRLEN], *end;
	int family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	unsigned long bits;
	size_t len = slash != NULL ? (size_t)(slash - rule) : 0;

	if (slash == NULL || len >= sizeof(text) || slash[1] < '0' ||
	    slash[1] > '9')
		return false;
	memcpy(text, rule, len);
	text[len] = '\0';
	bits = strtoul(slash + 1, &end, 10);
	if (*end != '\0' || bits > (family == AF_INET ? 32U : 128U))
		return false;
	return inet_pton(family, text, net) == 1 &&
	       inet_pton(family, host, address) == 1 &&
	       same_bits(net, address, (unsigned)bits);
}

bool proxy_is_exempt(const char *const *rules, size_t count, const char *host)
{
	size_t host_len = strlen(host);

	for (size_t i = 0; i < count; i++) {
		const char *rule = rules[i];
		size_t len = strlen(rule);

		if (strcasecmp(rule, host) == 0)
			return true;
		if (rule[0] == '.' && host_len > len &&
		    strcasecmp(host + host_len - len, rule) == 0)
			return true;
		if (is_in_network(rule, host))
			return true;
	}
	return false;
}

/* --- Telling -------------------------------------------------------------- */

static void tell(const struct proxy_talk *t, struct fault *fault,
    const char *what, const char *detail)
{
	char proxy[ENDPOINT_SIZE], target[ENDPOINT_SIZE];

	endpoint_format(&t->proxy.at, proxy);
	endpoint_format(&t->target, target);
	fault_set(fault, REASON_PROXY, "", "%s: proxy %s %s %s%s%s", t->label,
	    proxy, what, target, detail[0] != '\0' ? ": " : "", detail);
}

static enum rc refuse(struct proxy_talk *t, struct fault *fault,
    const char *what, const char *detail)
{
	t->state = TALK_FAILED;
	tell(t, fault, what, detail);
	return RC_DENIED;
}

void proxy_talk_broken(
    const struct proxy_talk *t, const char *text, struct fault *fault)
{
	tell(t, fault, "did not open a way to", text);
}

/* --- HTTP CONNECT --------------------------------------------------------- */

static void send_text(struct proxy_talk *t, const char *format, ...)
    PRINTF_LIKE(2, 3);

static void send_text(struct proxy_talk *t, const char *format, ...)
{
	size_t room = sizeof(t->out) - t->out_len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf((char *)t->out + t->out_len, room, format, args);
	va_end(args);
	/* OUTPUT_MAX is enough for the longest of everything. */
	if (n > 0 && (size_t)n < room)
		t->out_len += (size_t)n;
}

static void ask_http(struct proxy_talk *t)
{
	const struct proxy_credentials *c = &t->credentials;
	char plain[2 * PROXY_WORD_MAX + 2];
	uint8_t coded[4 * (sizeof(plain) / 3 + 1) + 1];
	char target[ENDPOINT_SIZE];
	int n;

	endpoint_format(&t->target, target);
	send_text(t, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", target, target);
	if (c->user[0] != '\0') {
		n = snprintf(
		    plain, sizeof(plain), "%s:%s", c->user, c->password);
		(void)EVP_EncodeBlock(coded, (const unsigned char *)plain, n);
		send_text(t, "Proxy-Authorization: Basic %s\r\n",
		    (const char *)coded);
		OPENSSL_cleanse(plain, sizeof(plain));
		OPENSSL_cleanse(coded, sizeof(coded));
	}
	send_text(t, "\r\n");
	t->state = TALK_STATUS;
}

/* "HTTP/1.1 403 Forbidden" -> 403; 0: it is no status line. */
static unsigned status_of(const char *line)
{
	unsigned status = 0;

	if (strncmp(line, "HTTP/1.", 7) != 0 ||
	    (line[7] != '0' && line[7] != '1') || line[8] != ' ')
		return 0;
	for (size_t i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return 0;
		status = 10 * status + (unsigned)(line[i] - '0');
	}
	return line[12] == ' ' || line[12] == '\0' ? status : 0;
}

static enum rc on_status(struct proxy_talk *t, struct fault *fault)
{
	unsigned status = status_of(t->line);

	if (status < 200 || status > 599)
		return refuse(t, fault, "does not speak HTTP, when asked for",
		    t->line_len > 0 ? "is it a SOCKS proxy?" : "");
	if (status >= 300)
		return refuse(t, fault, "refused CONNECT to", t->line + 9);
	t->state = TALK_HEADER;
	return RC_AGAIN;
}

static enum rc on_line(struct proxy_talk *t, struct fault *fault)
{
	enum rc rc = RC_AGAIN;

	if (t->state == TALK_STATUS)
		rc = on_status(t, fault);
	else if (t->line_len == 0)
		t->state = TALK_OPEN;
	else if (!t->line_colon)
		rc = refuse(
		    t, fault, "sent a broken HTTP header, when asked for", "");
	t->line_len = 0;
	t->line_colon = t->line_cr = false;
	return rc;
}

static enum rc on_http(struct proxy_talk *t, uint8_t c, struct fault *fault)
{
	if (++t->answer_len > PROXY_ANSWER_MAX)
		return refuse(t, fault, "answered more than 8 KiB about", "");
	if (t->line_cr != (c == '\n'))
		return refuse(t, fault, "does not speak HTTP, when asked for",
		    "line ends are CR LF");
	if (c == '\n')
		return on_line(t, fault);
	if (c == '\r') {
		t->line_cr = true;
		return RC_AGAIN;
	}
	if ((c < 0x20 && c != '\t') || c == 0x7f)
		return refuse(t, fault, "does not speak HTTP, when asked for",
		    "a control character");
	if (t->state == TALK_STATUS && t->line_len < LINE_MAX_) {
		t->line[t->line_len] = (char)c;
		t->line[t->line_len + 1] = '\0';
	}
	t->line_colon = t->line_colon || (c == ':' && t->line_len > 0);
	t->line_len++;
	return RC_AGAIN;
}

/* --- SOCKS5 --------------------------------------------------------------- */

static void send_bytes(struct proxy_talk *t, const void *data, size_t len)
{
	memcpy(t->out + t->out_len, data, len);
	t->out_len += len;
}

static void send_byte(struct proxy_talk *t, size_t byte)
{
	t->out[t->out_len++] = (uint8_t)byte;
}

static void ask_socks(struct proxy_talk *t)
{
	static const uint8_t with[] = { 5, 2, 0, 2 }, without[] = { 5, 1, 0 };

	if (t->credentials.user[0] != '\0')
		send_bytes(t, with, sizeof(with));
	else
		send_bytes(t, without, sizeof(without));
	t->state = TALK_METHOD;
}

static void ask_connect(struct proxy_talk *t)
{
	static const uint8_t head[] = { 5, 1, 0 };
	const char *host = t->target.host;
	uint8_t address[16];

	send_bytes(t, head, sizeof(head));
	if (inet_pton(AF_INET, host, address) == 1) {
		send_byte(t, 1);
		send_bytes(t, address, 4);
	} else if (inet_pton(AF_INET6, host, address) == 1) {
		send_byte(t, 4);
		send_bytes(t, address, 16);
	} else {
		send_byte(t, 3);
		send_byte(t, strlen(host));
		send_bytes(t, host, strlen(host));
	}
	send_byte(t, t->target.port >> 8);
	send_byte(t, t->target.port & 0xff);
	t->state = TALK_REPLY;
}

static void ask_auth(struct proxy_talk *t)
{
	const struct proxy_credentials *c = &t->credentials;

	send_byte(t, 1);
	send_byte(t, strlen(c->user));
	send_bytes(t, c->user, strlen(c->user));
	send_byte(t, strlen(c->password));
	send_bytes(t, c->password, strlen(c->password));
	t->state = TALK_AUTH;
}

static enum rc on_method(struct proxy_talk *t, struct fault *fault)
{
	bool can_auth = t->credentials.user[0] != '\0';

	if (t->in[0] != 5)
		return refuse(t, fault, "does not speak SOCKS5, when asked for",
		    t->in[0] == 'H' ? "is it an HTTP proxy?" : "");
	if (t->in_len < 2)
		return RC_AGAIN;
	t->in_len = 0;
	if (t->in[1] == 0)
		ask_connect(t);
	else if (t->in[1] == 2 && can_auth)
		ask_auth(t);
	else
		return refuse(t, fault, "refused CONNECT to",
		    can_auth ? "it takes neither our credentials nor none"
			     : "it wants credentials");
	return RC_AGAIN;
}

static enum rc on_auth(struct proxy_talk *t, struct fault *fault)
{
	if (t->in_len < 2)
		return RC_AGAIN;
	t->in_len = 0;
	if (t->in[0] != 1 || t->in[1] != 0)
		return refuse(t, fault, "refused CONNECT to",
		    "it does not accept the credentials");
	ask_connect(t);
	return RC_AGAIN;
}

static const char *reply_text(uint8_t code)
{
	static const char *const texts[] = {
		[1] = "general failure",
		[2] = "its rules do not allow it",
		[3] = "network unreachable",
		[4] = "host unreachable",
		[5] = "connection refused",
		[6] = "TTL expired",
		[7] = "it does not know the command",
		[8] = "it does not know the kind of address",
	};

	return code > 0 && code < sizeof(texts) / sizeof(texts[0])
	           ? texts[code]
	           : "an unknown code";
}

static enum rc on_reply(struct proxy_talk *t, struct fault *fault)
{
	size_t need = 4;

	if (t->in[0] != 5)
		return refuse(
		    t, fault, "does not speak SOCKS5, when asked for", "");
	if (t->in_len >= 2 && t->in[1] != 0)
		return refuse(
		    t, fault, "refused CONNECT to", reply_text(t->in[1]));
	if (t->in_len < 5)
		return RC_AGAIN;
	if (t->in[2] != 0 || (t->in[3] != 1 && t->in[3] != 3 && t->in[3] != 4))
		return refuse(
		    t, fault, "does not speak SOCKS5, when asked for", "");
	need += t->in[3] == 1 ? 4U : t->in[3] == 4 ? 16U : 1U + t->in[4];
	if (t->in_len < need + 2)
		return RC_AGAIN;
	t->state = TALK_OPEN;
	return RC_AGAIN;
}

/* Each step decides as soon as it can, so in never overflows. */
static enum rc on_socks(struct proxy_talk *t, uint8_t c, struct fault *fault)
{
	t->in[t->in_len++] = c;
	if (t->state == TALK_METHOD)
		return on_method(t, fault);
	if (t->state == TALK_AUTH)
		return on_auth(t, fault);
	return on_reply(t, fault);
}

/* --- The talk ------------------------------------------------------------- */

enum rc proxy_talk_new(const struct proxy *proxy,
    const struct proxy_credentials *credentials, const struct endpoint *target,
    const char *label, struct proxy_talk **out)
{
	struct proxy_talk *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return RC_NOMEM;
	t->proxy = *proxy;
	if (credentials != NULL)
		t->credentials = *credentials;
	t->target = *target;
	(void)snprintf(t->label, sizeof(t->label), "%s", label);
	if (proxy->kind == PROXY_HTTP)
		ask_http(t);
	else
		ask_socks(t);
	*out = t;
	return RC_OK;
}

void proxy_talk_free(struct proxy_talk *t)
{
	if (t == NULL)
		return;
	OPENSSL_cleanse(t, sizeof(*t));
	free(t);
}

struct bytes proxy_talk_output(const struct proxy_talk *t)
{
	return bytes_of(t->out + t->out_sent, t->out_len - t->out_sent);
}

void proxy_talk_sent(struct proxy_talk *t, size_t len)
{
	t->out_sent += len;
	if (t->out_sent < t->out_len)
		return;
	OPENSSL_cleanse(t->out, t->out_len);
	t->out_sent = t->out_len = 0;
}

enum rc proxy_talk_feed(
    struct proxy_talk *t, const uint8_t *data, size_t len, struct fault *fault)
{
	enum rc rc = RC_AGAIN;

	for (size_t i = 0; i < len && rc == RC_AGAIN; i++) {
		if (t->state == TALK_OPEN || t->state == TALK_FAILED)
			rc = refuse(
			    t, fault, "said more than its answer about", "");
		else if (t->proxy.kind == PROXY_HTTP)
			rc = on_http(t, data[i], fault);
		else
			rc = on_socks(t, data[i], fault);
	}
	if (rc == RC_AGAIN && t->state == TALK_OPEN)
		rc = RC_OK;
	return rc;
}
