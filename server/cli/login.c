#include "server/cli/login.h"

#include "common/fs.h"
#include "common/hex.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (16u << 10)
#define KEY_MAX  512

/* This program has one thread and never sets any. */
static const char *environment(const char *name)
{
	return getenv(name); /* NOLINT(concurrency-mt-unsafe) */
}

void login_clear(struct login *login)
{
	secret_free(login->key);
	*login = (struct login){ 0 };
}

static enum rc wrong(struct fault *fault, const char *what)
{
	fault_set(fault, REASON_BAD_CONFIG, "", "login: %s", what);
	return RC_PROTO;
}

enum rc login_parse_url(
    const char *text, char out[LOGIN_URL_SIZE], struct fault *fault)
{
	const char *host = text + 8;
	size_t len;
	int n;

	if (strncmp(text, "https://", 8) != 0)
		return wrong(fault, "the URL must begin with https://");
	len = strlen(host);
	while (len > 0 && host[len - 1] == '/')
		len--;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)host[i];

		if (!isalnum(c) && strchr(".-_:[]", c) == NULL)
			return wrong(
			    fault, "the URL must be https://HOST[:PORT]");
	}
	if (len == 0)
		return wrong(fault, "the URL has no host");
	/* A colon after any bracket begins a port. */
	n = snprintf(out, LOGIN_URL_SIZE, "https://%.*s%s", (int)len, host,
	    memchr(host, ':', len) == NULL || host[len - 1] == ']' ? ":8443"
								   : "");
	return n > 0 && n < LOGIN_URL_SIZE
	           ? RC_OK
	           : wrong(fault, "the URL is too long");
}

enum rc login_parse_pin(
    const char *text, uint8_t out[LOGIN_PIN_SIZE], struct fault *fault)
{
	if (strncmp(text, "sha256:", 7) == 0)
		text += 7;
	if (hex_decode(text, out, LOGIN_PIN_SIZE) != RC_OK)
		return wrong(
		    fault, "ca_pin must be sha256: and 64 hexadecimal digits");
	return RC_OK;
}

void login_format_pin(
    const uint8_t pin[LOGIN_PIN_SIZE], char out[LOGIN_PIN_TEXT])
{
	(void)snprintf(out, LOGIN_PIN_TEXT, "sha256:");
	hex_encode(pin, LOGIN_PIN_SIZE, out + 7);
}

/* A key is one word. */
static enum rc take_key(
    const char *text, size_t len, struct login *out, struct fault *fault)
{
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && text[i] != '.')
			return wrong(fault, "the key is no API key");
	}
	if (len == 0 || len > KEY_MAX)
		return wrong(fault, "the key is no API key");
	secret_free(out->key);
	out->key = NULL;
	return secret_new(text, len, &out->key);
}

enum rc login_parse(
    const char *text, size_t len, struct login *out, struct fault *fault)
{
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *url = json_string_value(json_object_get(root, "url"));
	const char *pin = json_string_value(json_object_get(root, "ca_pin"));
	const char *key = json_string_value(json_object_get(root, "key"));
	struct login login = { 0 };
	enum rc rc = RC_OK;

	if (root == NULL)
		rc = wrong(fault, "the file is not JSON");
	else if (url == NULL || key == NULL)
		rc = wrong(fault, "the file needs url and key");
	if (rc == RC_OK)
		rc = login_parse_url(url, login.url, fault);
	if (rc == RC_OK && pin != NULL) {
		rc = login_parse_pin(pin, login.pin, fault);
		login.pinned = true;
	}
	if (rc == RC_OK)
		rc = take_key(key, strlen(key), &login, fault);
	json_decref(root);
	if (rc != RC_OK) {
		login_clear(&login);
		return rc;
	}
	*out = login;
	return RC_OK;
}

enum rc login_path(char out[LOGIN_PATH_SIZE], struct fault *fault)
{
	const char *file = environment("LONGARM_LOGIN");
	const char *config = environment("XDG_CONFIG_HOME");
	const char *home = environment("HOME");
	int n;

	if (file != NULL && *file != '\0')
		n = snprintf(out, LOGIN_PATH_SIZE, "%s", file);
	else if (config != NULL && *config == '/')
		n = snprintf(out, LOGIN_PATH_SIZE, "%s/longarm/login", config);
	else if (home != NULL && *home == '/')
		n = snprintf(
		    out, LOGIN_PATH_SIZE, "%s/.config/longarm/login", home);
	else {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "login: HOME is not set; set LONGARM_LOGIN to a file");
		return RC_NOTFOUND;
	}
	return n > 0 && n < LOGIN_PATH_SIZE ? RC_OK
	                                    : wrong(fault, "path too long");
}

enum rc login_read(const char *path, struct login *out, struct fault *fault)
{
	struct secret *text = NULL;
	enum rc rc = secret_read(path, FILE_MAX, &text, fault);

	if (rc == RC_OK)
		rc = login_parse((const char *)secret_data(text),
		    secret_len(text), out, fault);
	secret_free(text);
	return rc;
}

/* The directory of path, made 0700 when it is missing. */
static enum rc make_dir(const char *path, struct fault *fault)
{
	char dir[LOGIN_PATH_SIZE];
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return RC_OK;
	*slash = '\0';
	if (environment("LONGARM_LOGIN") != NULL)
		return RC_OK; /* the caller's own place */
	return fs_make_private_dir(dir, fault);
}

enum rc login_write(
    const char *path, const struct login *login, struct fault *fault)
{
	char pin[LOGIN_PIN_TEXT];
	json_t *root = json_pack("{s:s, s:s}", "url", login->url, "key",
	    (const char *)secret_data(login->key));
	char *text;
	enum rc rc = RC_NOMEM;

	login_format_pin(login->pin, pin);
	if (login->pinned)
		(void)json_object_set_new(root, "ca_pin", json_string(pin));
	text = json_dumps(root, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
	json_decref(root);
	if (text == NULL)
		return RC_NOMEM;
	rc = make_dir(path, fault);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, text, strlen(text), 0600, fault);
	secret_wipe(text, strlen(text));
	free(text);
	return rc;
}

/* What the environment says goes over what the file says. */
static enum rc take_environment(struct login *login, struct fault *fault)
{
	const char *url = environment("LONGARM_URL");
	const char *pin = environment("LONGARM_CA_PIN");
	const char *file = environment("LONGARM_TOKEN_FILE");
	struct secret *key = NULL;
	enum rc rc = RC_OK;

	if (url != NULL && *url != '\0')
		rc = login_parse_url(url, login->url, fault);
	if (rc == RC_OK && pin != NULL && *pin != '\0') {
		rc = login_parse_pin(pin, login->pin, fault);
		login->pinned = true;
	}
	if (rc == RC_OK && file != NULL && *file != '\0') {
		rc = secret_read(file, KEY_MAX, &key, fault);
		if (rc == RC_OK)
			rc = take_key((const char *)secret_data(key),
			    secret_len(key), login, fault);
		secret_free(key);
	}
	return rc;
}

enum rc login_load(struct login *out, struct fault *fault)
{
	char path[LOGIN_PATH_SIZE];
	struct login login = { 0 };
	struct fault quiet = { 0 };
	enum rc rc = login_path(path, &quiet);

	if (rc == RC_OK)
		rc = login_read(path, &login, fault);
	if (rc == RC_NOTFOUND || rc == RC_IO) {
		fault_clear(fault);
		rc = RC_OK;
	}
	if (rc == RC_OK)
		rc = take_environment(&login, fault);
	if (rc == RC_OK && (login.url[0] == '\0' || login.key == NULL)) {
		fault_set(fault, REASON_NONE, "",
		    "not logged in: longarm login --file operator.login, or "
		    "set LONGARM_URL and LONGARM_TOKEN_FILE");
		rc = RC_NOTFOUND;
	}
	if (rc != RC_OK) {
		login_clear(&login);
		return rc;
	}
	*out = login;
	return RC_OK;
}
