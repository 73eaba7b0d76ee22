/*
 * serve.h - the running server: everything started in order, and stopped in
 * the opposite one.
 *
 * Once it is ready, DIR/addresses (0600) tells what it really listens at, for
 * ports that the kernel chose:
 *
 *     {"pid": 4711, "link": "0.0.0.0:10943", "http": "[::]:8443",
 *      "http_port": 8443, "url": "https://longarm.example:8443"}
 *
 * and systemd hears READY=1.
 */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

#include "server/settings.h"

/*
 * Runs until TERM or INT.  RC_OK: stopped as told.  RC_NOTFOUND: no cluster
 * there yet; else *fault says what failed.
 */
MUST_CHECK enum rc server_serve(const struct server_settings *settings,
    const struct fleet_settings *fleet, struct fault *fault);

#endif
