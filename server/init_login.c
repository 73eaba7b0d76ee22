/* init_login.c - operator.login, when what it says has changed. */
#include "server/init.h"

#include "common/certs.h"
#include "common/fs.h"
#include "common/hex.h"
#include "common/secret.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_MAX (64u << 10)

/* NULL: the file is gone, as it may be. */
static json_t *read_login(const char *path)
{
	struct fault fault;
	uint8_t *text = NULL;
	size_t len = 0;
	json_t *login;

	if (fs_read_file(path, LOGIN_MAX, &text, &len, &fault) != RC_OK)
		return NULL;
	login = json_loadb((const char *)text, len, 0, NULL);
	secret_wipe(text, len);
	free(text);
	return login;
}

static void write_login(const char *path, const json_t *login)
{
	char *text = json_dumps(login, JSON_INDENT(2));
	struct fault fault;

	if (text == NULL)
		return;
	(void)!fs_write_atomic(path, text, strlen(text), 0600, &fault);
	secret_wipe(text, strlen(text));
	free(text);
}

void init_login_port(const struct server_settings *settings, uint16_t port)
{
	char path[SERVER_PATH_SIZE], url[INIT_URL_SIZE + 8];
	struct fault fault;
	json_t *login = NULL;
	const char *old;
	size_t end;

	if (server_path(settings, "operator.login", path, &fault) == RC_OK)
		login = read_login(path);
	old = json_string_value(json_object_get(login, "url"));
	end = old != NULL ? strlen(old) : 0;
	if (end > 2 && end < INIT_URL_SIZE &&
	    strcmp(old + end - 2, ":0") == 0) {
		(void)snprintf(url, sizeof(url), "%.*s:%u", (int)(end - 2), old,
		    (unsigned)port);
		(void)json_object_set_new(login, "url", json_string(url));
		write_login(path, login);
	}
	json_decref(login);
}

static void set_root(json_t *login, X509 *root, const char *path)
{
	struct certs certs = { .count = 1, .cert = { root } };
	uint8_t hash[KEY_HASH_SIZE];
	char pin[(2 * KEY_HASH_SIZE) + 1], *pem = NULL;
	const char *old = json_string_value(json_object_get(login, "ca_pin"));
	size_t len = 0;

	if (old == NULL || certs_key_hash(root, hash) != RC_OK)
		return;
	hex_encode(hash, sizeof(hash), pin);
	if (strcmp(old, pin) == 0 || certs_pem(&certs, &pem, &len) != RC_OK)
		return;
	(void)json_object_set_new(login, "ca_pin", json_string(pin));
	(void)json_object_set_new(login, "ca", json_string(pem));
	write_login(path, login);
	free(pem);
}

void init_login_root(const struct server_settings *settings, X509 *root)
{
	char path[SERVER_PATH_SIZE];
	struct fault fault;
	json_t *login = NULL;

	if (server_path(settings, "operator.login", path, &fault) == RC_OK)
		login = read_login(path);
	if (login != NULL)
		set_root(login, root, path);
	json_decref(login);
}
