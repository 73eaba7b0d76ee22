#include "server/api/http_head.h"

#include <string.h>
#include <strings.h>

static const char *const methods[HTTP_METHOD_COUNT] = {
	[HTTP_METHOD_GET] = "GET",
	[HTTP_METHOD_HEAD] = "HEAD",
	[HTTP_METHOD_POST] = "POST",
	[HTTP_METHOD_PUT] = "PUT",
	[HTTP_METHOD_DELETE] = "DELETE",
};

/* Headers that must not be sent twice: they frame, direct or authorise. */
enum single {
	SINGLE_HOST,
	SINGLE_CONTENT_LENGTH,
	SINGLE_TRANSFER_ENCODING,
	SINGLE_AUTHORIZATION,
	SINGLE_CONTENT_TYPE,
	SINGLE_IDEMPOTENCY_KEY,
	SINGLE_IF_MATCH,
	SINGLE_EXPECT,
	SINGLE_CONNECTION,
	SINGLE_UPGRADE,
	SINGLE_COUNT
};

static const char *const single_names[SINGLE_COUNT] = {
	[SINGLE_HOST] = "host",
	[SINGLE_CONTENT_LENGTH] = "content-length",
	[SINGLE_TRANSFER_ENCODING] = "transfer-encoding",
	[SINGLE_AUTHORIZATION] = "authorization",
	[SINGLE_CONTENT_TYPE] = "content-type",
	[SINGLE_IDEMPOTENCY_KEY] = "idempotency-key",
	[SINGLE_IF_MATCH] = "if-match",
	[SINGLE_EXPECT] = "expect",
	[SINGLE_CONNECTION] = "connection",
	[SINGLE_UPGRADE] = "upgrade",
};

struct fields {
	struct http_text single[SINGLE_COUNT];
	int count;
};

const char *http_method_name(enum http_method method)
{
	return (unsigned)method < HTTP_METHOD_COUNT ? methods[method] : "?";
}

/* ---- scanning ---- */

void http_scan_reset(struct http_scan *scan)
{
	scan->state = HTTP_SCAN_HEAD;
	scan->why = NULL;
	scan->status = 0;
	scan->len = 0;
}

static void scan_bad(struct http_scan *scan, int status, const char *why)
{
	scan->state = HTTP_SCAN_BAD;
	scan->status = status;
	scan->why = why;
}

static void scan_byte(struct http_scan *scan, uint8_t c)
{
	const char *head = scan->head;
	size_t len = scan->len;

	if (len == HTTP_HEAD_MAX) {
		scan_bad(scan, 431, "the headers are longer than 16 KiB");
		return;
	}
	if (c == '\0') {
		scan_bad(scan, 400, "a NUL in the headers");
		return;
	}
	if (c == '\n' && (len == 0 || head[len - 1] != '\r')) {
		scan_bad(scan, 400, "a line that ends in LF without CR");
		return;
	}
	if (c != '\n' && len > 0 && head[len - 1] == '\r') {
		scan_bad(scan, 400, "a CR without LF");
		return;
	}
	if ((c == ' ' || c == '\t') && (len == 0 || head[len - 1] == '\n')) {
		scan_bad(scan, 400, "a folded header line");
		return;
	}
	scan->head[scan->len++] = (char)c;
	if (scan->len >= 4 && memcmp(head + scan->len - 4, "\r\n\r\n", 4) == 0)
		scan->state = HTTP_SCAN_DONE;
}

size_t http_scan_feed(struct http_scan *scan, const uint8_t *data, size_t len)
{
	size_t used = 0;

	while (used < len && scan->state == HTTP_SCAN_HEAD)
		scan_byte(scan, data[used++]);
	return used;
}

/* ---- characters ---- */

static bool is_token(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum rc http_unescape(
    struct http_text text, bool plus_is_space, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '%') {
			int high = -1, low = -1;

			if (i + 2 < text.len) {
				high = hex_digit(text.ptr[i + 1]);
				low = hex_digit(text.ptr[i + 2]);
			}
			if (high < 0 || low < 0)
				return RC_PROTO;
			c = (unsigned char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c < 0x20 || c == 0x7f)
			return RC_PROTO;
		if (n + 1 >= size)
			return RC_LIMIT;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return RC_OK;
}

static bool text_is(struct http_text text, const char *want)
{
	return text.len == strlen(want) &&
	       strncasecmp(text.ptr, want, text.len) == 0;
}

/* ---- request line ---- */

static enum rc refuse(
    struct http_head *out, struct fault *fault, int status, const char *why)
{
	out->status = status;
	fault_set(fault, REASON_PROTOCOL, "", "request refused: %s", why);
	return RC_PROTO;
}

/* No part may be empty, "." or "..", except that "/" alone is a path. */
static bool parts_are_plain(const char *path)
{
	const char *part = path + 1;

	if (path[0] != '/')
		return false;
	if (*part == '\0')
		return true;
	for (;;) {
		size_t len = strcspn(part, "/");

		if (len == 0 || (len == 1 && part[0] == '.') ||
		    (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (part[len] == '\0')
			return true;
		part += len + 1;
	}
}

/* "%2F" would make two readings of one path. */
static bool has_escaped_slash(struct http_text path)
{
	for (size_t i = 0; i + 2 < path.len; i++) {
		if (path.ptr[i] != '%')
			continue;
		if (strncasecmp(path.ptr + i, "%2f", 3) == 0 ||
		    strncasecmp(path.ptr + i, "%5c", 3) == 0)
			return true;
	}
	return false;
}

static enum rc parse_target(
    struct http_text target, struct http_head *out, struct fault *fault)
{
	struct http_text path = target, query = { target.ptr, 0 };
	const char *mark;
	char scratch[HTTP_TARGET_MAX + 1];

	if (target.len > HTTP_TARGET_MAX)
		return refuse(out, fault, 414, "the path is over 2 KiB");
	for (size_t i = 0; i < target.len; i++) {
		unsigned char c = (unsigned char)target.ptr[i];

		if (c <= 0x20 || c >= 0x7f || c == '#' || c == '\\')
			return refuse(out, fault, 400,
			    "a character in the "
			    "path must be escaped");
	}
	mark = memchr(target.ptr, '?', target.len);
	if (mark != NULL) {
		path.len = (size_t)(mark - target.ptr);
		query.ptr = mark + 1;
		query.len = target.len - path.len - 1;
	}
	if (has_escaped_slash(path))
		return refuse(out, fault, 400, "an escaped slash in the path");
	if (http_unescape(path, false, out->path, sizeof(out->path)) != RC_OK)
		return refuse(out, fault, 400, "a bad escape in the path");
	if (!parts_are_plain(out->path))
		return refuse(out, fault, 400,
		    "the path has an empty or dot "
		    "part, or no leading slash");
	if (http_unescape(query, true, scratch, sizeof(scratch)) != RC_OK)
		return refuse(out, fault, 400, "a bad escape in the query");
	memcpy(out->query, query.ptr, query.len);
	out->query[query.len] = '\0';
	return RC_OK;
}

static enum rc parse_method(
    struct http_text word, struct http_head *out, struct fault *fault)
{
	for (int i = 0; i < HTTP_METHOD_COUNT; i++) {
		if (word.len == strlen(methods[i]) &&
		    memcmp(word.ptr, methods[i], word.len) == 0) {
			out->method = (enum http_method)i;
			return RC_OK;
		}
	}
	return refuse(out, fault, 405,
	    "the method is none of GET, HEAD, POST, "
	    "PUT, DELETE");
}

/* METHOD SP target SP HTTP/1.x */
static enum rc parse_request_line(
    struct http_text line, struct http_head *out, struct fault *fault)
{
	const char *first = memchr(line.ptr, ' ', line.len);
	const char *end = line.ptr + line.len;
	const char *second;
	struct http_text version;
	enum rc rc;

	if (first == NULL)
		return refuse(out, fault, 400, "a malformed request line");
	second = memchr(first + 1, ' ', (size_t)(end - first - 1));
	if (second == NULL)
		return refuse(out, fault, 400, "a malformed request line");
	version.ptr = second + 1;
	version.len = (size_t)(end - version.ptr);
	if (version.len != 8 || (memcmp(version.ptr, "HTTP/1.1", 8) != 0 &&
				    memcmp(version.ptr, "HTTP/1.0", 8) != 0))
		return refuse(out, fault, 505, "only HTTP/1.1 is spoken here");
	rc = parse_method(
	    (struct http_text){ line.ptr, (size_t)(first - line.ptr) }, out,
	    fault);
	if (rc != RC_OK)
		return rc;
	return parse_target(
	    (struct http_text){ first + 1, (size_t)(second - first - 1) }, out,
	    fault);
}

/* ---- header lines ---- */

static enum rc note_single(struct fields *fields, struct http_text name,
    struct http_text value, struct http_head *out, struct fault *fault)
{
	for (int i = 0; i < SINGLE_COUNT; i++) {
		if (!text_is(name, single_names[i]))
			continue;
		if (fields->single[i].ptr != NULL) {
			out->status = 400;
			fault_set(fault, REASON_PROTOCOL, "",
			    "request refused: the header %s is there twice",
			    single_names[i]);
			return RC_PROTO;
		}
		fields->single[i] = value;
		return RC_OK;
	}
	return RC_OK;
}

static enum rc parse_field(struct http_text line, struct fields *fields,
    struct http_head *out, struct fault *fault)
{
	const char *colon = memchr(line.ptr, ':', line.len);
	struct http_text name, value;

	if (++fields->count > HTTP_FIELDS_MAX)
		return refuse(out, fault, 431, "more than 64 headers");
	if (colon == NULL || colon == line.ptr)
		return refuse(out, fault, 400, "a header line without a name");
	name.ptr = line.ptr;
	name.len = (size_t)(colon - line.ptr);
	for (size_t i = 0; i < name.len; i++) {
		if (!is_token((unsigned char)name.ptr[i]))
			return refuse(out, fault, 400,
			    "a header name with a forbidden character");
	}
	value.ptr = colon + 1;
	value.len = line.len - name.len - 1;
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return refuse(
			    out, fault, 400, "a control character in a header");
	}
	while (value.len > 0 && (*value.ptr == ' ' || *value.ptr == '\t')) {
		value.ptr++;
		value.len--;
	}
	while (value.len > 0 && (value.ptr[value.len - 1] == ' ' ||
				    value.ptr[value.len - 1] == '\t'))
		value.len--;
	return note_single(fields, name, value, out, fault);
}

static enum rc parse_length(
    struct http_text text, struct http_head *out, struct fault *fault)
{
	uint64_t value = 0;

	if (text.len == 0 || text.len > 18)
		return refuse(out, fault, 400, "a bad Content-Length");
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return refuse(out, fault, 400, "a bad Content-Length");
		value = value * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	out->content_length = value;
	return RC_OK;
}

static enum rc check_framing(
    const struct fields *fields, struct http_head *out, struct fault *fault)
{
	const struct http_text *single = fields->single;
	bool has_length = single[SINGLE_CONTENT_LENGTH].ptr != NULL;
	bool writes =
	    out->method == HTTP_METHOD_POST || out->method == HTTP_METHOD_PUT;
	enum rc rc;

	if (single[SINGLE_HOST].ptr == NULL)
		return refuse(out, fault, 400, "no Host header");
	if (single[SINGLE_UPGRADE].ptr != NULL)
		return refuse(out, fault, 400, "Upgrade is not spoken here");
	if (single[SINGLE_EXPECT].ptr != NULL &&
	    !text_is(single[SINGLE_EXPECT], "100-continue"))
		return refuse(out, fault, 417, "an unknown Expect header");
	if (single[SINGLE_TRANSFER_ENCODING].ptr != NULL && has_length)
		return refuse(out, fault, 400,
		    "both Content-Length and Transfer-Encoding");
	if (single[SINGLE_TRANSFER_ENCODING].ptr != NULL)
		return refuse(out, fault, 411,
		    "Transfer-Encoding; send a Content-Length instead");
	if (has_length) {
		rc = parse_length(single[SINGLE_CONTENT_LENGTH], out, fault);
		if (rc != RC_OK)
			return rc;
	}
	if (!writes && out->content_length > 0)
		return refuse(out, fault, 400, "this method takes no body");
	if (writes && !has_length)
		return refuse(out, fault, 411, "no Content-Length");
	return RC_OK;
}

/* One line without its CRLF; moves *at past it. */
static struct http_text next_line(const char *head, size_t len, size_t *at)
{
	struct http_text line = { head + *at, 0 };
	const char *end = memchr(line.ptr, '\r', len - *at);

	line.len = end != NULL ? (size_t)(end - line.ptr) : len - *at;
	*at += line.len + 2;
	if (*at > len)
		*at = len;
	return line;
}

enum rc http_head_parse(
    const char *head, size_t len, struct http_head *out, struct fault *fault)
{
	struct fields fields = { 0 };
	size_t at = 0;
	enum rc rc;

	*out = (struct http_head){ .status = 400 };
	if (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0)
		return refuse(out, fault, 400, "an unfinished head");
	rc = parse_request_line(next_line(head, len, &at), out, fault);
	while (rc == RC_OK && at < len) {
		struct http_text line = next_line(head, len, &at);

		if (line.len > 0)
			rc = parse_field(line, &fields, out, fault);
		else if (at < len)
			rc = refuse(out, fault, 400, "an empty line too early");
	}
	if (rc != RC_OK)
		return rc;
	out->authorization = fields.single[SINGLE_AUTHORIZATION];
	out->content_type = fields.single[SINGLE_CONTENT_TYPE];
	out->idempotency_key = fields.single[SINGLE_IDEMPOTENCY_KEY];
	out->if_match = fields.single[SINGLE_IF_MATCH];
	return check_framing(&fields, out, fault);
}
