/* Replays corpus files through a fuzz target without libFuzzer, so that every
 * compiler and sanitizer build repeats what fuzzing once found. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int replay(const char *path)
{
	static uint8_t input[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t len;
	uint8_t *copy;

	if (f == NULL)
		return -1;
	len = fread(input, 1, sizeof(input), f);
	(void)fclose(f);
	/* An exact allocation, so that ASan sees a read past the end. */
	copy = malloc(len > 0 ? len : 1);
	if (copy == NULL)
		return -1;
	for (size_t i = 0; i < len; i++)
		copy[i] = input[i];
	(void)LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent **names;
	int count, done = 0;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
		return 2;
	}
	count = scandir(argv[1], &names, NULL, alphasort);
	if (count < 0) {
		perror(argv[1]);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		char path[4096];

		if (names[i]->d_name[0] != '.') {
			(void)snprintf(path, sizeof(path), "%s/%s", argv[1],
			    names[i]->d_name);
			if (replay(path) != 0) {
				perror(path);
				return 1;
			}
			done++;
		}
		free(names[i]);
	}
	free(names);
	if (done == 0) {
		(void)fprintf(stderr, "%s: empty corpus\n", argv[1]);
		return 1;
	}
	(void)printf("ok   %s (%d inputs)\n", argv[1], done);
	return 0;
}
