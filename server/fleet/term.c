#include "server/fleet/term.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define PROOF_LEN (TERM_LEN - TERM_ID_LEN)

enum rc term_make(const struct wrap_key *master,
    const struct msg_incarnation *incarnation, const uint8_t id[TERM_ID_LEN],
    uint8_t out[TERM_LEN])
{
	uint8_t said[128] = { 0 }, mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int n = snprintf((char *)said, sizeof(said) - TERM_ID_LEN,
	    "longarm term 1 %llu %s ", (unsigned long long)incarnation->secs,
	    incarnation->random);

	memcpy(said + n, id, TERM_ID_LEN);
	if (HMAC(EVP_sha256(), master->key, sizeof(master->key), said,
		(size_t)n + TERM_ID_LEN, mac, &len) == NULL ||
	    len < PROOF_LEN)
		return RC_CRYPTO;
	memcpy(out, id, TERM_ID_LEN);
	memcpy(out + TERM_ID_LEN, mac, PROOF_LEN);
	return RC_OK;
}

bool term_is_ours(const struct wrap_key *master,
    const struct msg_incarnation *incarnation, struct bytes term)
{
	uint8_t ours[TERM_LEN];

	return term.len == TERM_LEN &&
	       term_make(master, incarnation, term.p, ours) == RC_OK &&
	       CRYPTO_memcmp(ours, term.p, TERM_LEN) == 0;
}
