#include <stdio.h>

int main(void)
{
	(void)printf("longarm-tentacle %s\n", LONGARM_VERSION);
	return 0;
}
