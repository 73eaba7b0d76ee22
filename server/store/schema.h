/* schema.h - the migrations' statements, each list ended by NULL. */
#ifndef SERVER_STORE_SCHEMA_H
#define SERVER_STORE_SCHEMA_H

#include <stddef.h>

extern const char *const schema_001[];
extern const char *const schema_002[];
extern const char *const schema_003[];
extern const char *const schema_004[];
extern const char *const schema_005[];
extern const char *const schema_006[];
extern const char *const schema_007[];
extern const char *const schema_008[];
extern const char *const schema_009[];
extern const char *const schema_010[];

#endif
