/* fuzz: common proto */
/* about: common/certs.c common/token.c */
#include "common/certs.h"
#include "common/key.h"
#include "common/token.h"
#include "common/wrap.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What parses once comes back the same from its own text. */
static void try_token(const char *text, size_t len)
{
	struct token token, again;
	struct fault fault;
	char out[TOKEN_TEXT_SIZE];

	if (token_parse(text, len, &token, &fault) != RC_OK)
		return;
	token_format(&token, out);
	assert(token_parse(out, strlen(out), &again, &fault) == RC_OK);
	assert(memcmp(&token, &again, sizeof(token)) == 0);
}

static void try_certificate(struct certs *list)
{
	char uri[CERTS_URI_SIZE], date[CERTS_DATE_SIZE];
	uint8_t hash[KEY_HASH_SIZE];
	struct spiffe id;
	struct fault fault;
	int64_t from = 0, until = 0;

	if (certs_uri(list->cert[0], uri, &fault) == RC_OK)
		assert(strlen(uri) > 0);
	if (certs_spiffe(list->cert[0], &id, &fault) == RC_OK)
		assert(id.role != ROLE_ANONYMOUS);
	if (certs_validity(list->cert[0], &from, &until) == RC_OK)
		certs_date(until, date);
	if (certs_key_hash(list->cert[0], hash) == RC_OK)
		assert(list->count > 0);
}

static void try_certificates(const uint8_t *data, size_t len, bool pem)
{
	struct certs list;
	struct fault fault;
	enum rc rc;

	certs_init(&list);
	rc = pem ? certs_add_pem(&list, (const char *)data, len, &fault)
	         : certs_add_der(&list, data, len, &fault);
	if (rc == RC_OK)
		try_certificate(&list);
	certs_fini(&list);
}

/* The first byte chooses the door. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	EVP_PKEY *key = NULL;
	struct wrap_key master;
	struct fault fault;
	uint8_t *out;

	if (len == 0)
		return 0;
	switch (data[0]) {
	case 't':
		try_token((const char *)data + 1, len - 1);
		break;
	case 'd':
	case 'p':
		try_certificates(data + 1, len - 1, data[0] == 'p');
		break;
	case 'r':
		if (key_from_csr(data + 1, len - 1, &key, &fault) == RC_OK)
			assert(key_is_allowed(key));
		EVP_PKEY_free(key);
		break;
	default:
		memset(&master, 0, sizeof(master));
		out = malloc(len);
		if (out != NULL &&
		    wrap_open(&master, "x", data, len, out, &fault) == RC_OK)
			abort(); /* a forgery */
		free(out);
		if (wrap_key_parse((const char *)data, len, &master, &fault) ==
		    RC_OK)
			assert(len > WRAP_KEY_SIZE);
	}
	return 0;
}
