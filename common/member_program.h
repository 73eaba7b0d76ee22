/*
 * member_program.h - what the commands of relays and tentacles have in common:
 * run, join, status, doctor, leave, config check, config show.
 */
#ifndef COMMON_MEMBER_PROGRAM_H
#define COMMON_MEMBER_PROGRAM_H

#include "common/config_command.h"
#include "common/output.h"
#include "common/settings.h"
#include "proto/kind.h"

struct member_program {
	enum peer_role role;
	const char *name; /* "longarm-tentacle" */
	/* Settings; its section `program` has the keys state and advertise. */
	struct config_program config;
	/*
	 * Serve on this loop until it is stopped.  Not COMMAND_OK: *fault says
	 * why it did not begin, or is empty when that was logged.
	 */
	enum command_exit (*serve)(
	    struct loop *loop, const struct config *c, struct fault *fault);
};

#define MEMBER_STATE_OPTION                                                    \
	{                                                                      \
		.name = "state", .argument = "DIR",                            \
		.help = "State directory (setting: state)"                     \
	}

#define MEMBER_JOIN_OPTIONS                                                    \
	{ .name = "token-file",                                                \
		.argument = "FILE",                                            \
		.help = "The token; - reads standard input" },                 \
	    { .name = "request",                                               \
		    .argument = "FILE",                                        \
		    .help = "Without a network: write a request there, to be " \
			    "signed on the server" },                          \
	    { .name = "answer",                                                \
		    .argument = "FILE",                                        \
		    .help = "Take the server's answer to that request" },      \
	    { .name = "advertise",                                             \
		    .argument = "HOST:PORT",                                   \
		    .help = "Where to dial this one (setting: advertise)" },   \
	{                                                                      \
		.name = "timeout", .argument = "DURATION",                     \
		.help =                                                        \
		    "Limit of one attempt (default 30s); when given, also "    \
		    "of waiting for approval"                                  \
	}

/* HOST:PORT... is optional: other peers than those it joined through. */
#define MEMBER_DOCTOR_ARGUMENTS "[HOST:PORT...]"
#define MEMBER_DOCTOR_OPTION                                                   \
	{                                                                      \
		.name = "token-file", .argument = "FILE",                      \
		.help =                                                        \
		    "Before joining: try this token at HOST:PORT; - reads "    \
		    "standard input"                                           \
	}
#define MEMBER_DOCTOR_DETAILS                                                  \
	"Checks settings, state directory, disk, identity, clock, proxy, and " \
	"of each peer name, connection, TLS and identity.  It dials as the "   \
	"program would and stops before the first word, so a program that "    \
	"runs is not disturbed.  HOST:PORT: look at these instead.\n\n"        \
	"Exit code 1: something here is wrong; 9: a peer cannot be reached."

enum command_exit member_run(
    const struct member_program *p, const struct command_line *line);
/* HOST:PORT... of line are servers or relays. */
enum command_exit member_join(
    const struct member_program *p, const struct command_line *line);
enum command_exit member_status(
    const struct member_program *p, const struct command_line *line);
/* COMMAND_MACHINE_UNREACHABLE: all is well here, but not with a peer. */
enum command_exit member_doctor(
    const struct member_program *p, const struct command_line *line);
enum command_exit member_leave(
    const struct member_program *p, const struct command_line *line);

#endif
