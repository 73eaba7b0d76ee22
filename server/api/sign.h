/*
 * sign.h - a request to join that a person brought, on its way from the API to
 * the fleet.
 */
#ifndef SERVER_API_SIGN_H
#define SERVER_API_SIGN_H

#include "common/join_file.h"
#include "server/store/token.h"

struct api_sign {
	struct join_request request;
	struct store_token grant; /* what it may become */
	char who[STORE_WHO_SIZE];
};

void api_sign_free(struct api_sign *sign); /* NULL is fine */

#endif
