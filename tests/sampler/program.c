// Threads with a plan, for tests/sampler.rs: what each one does is known beforehand.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

// Uses CPU time, in a function of its own.
__attribute__((noinline)) void burn(double seconds) {
    double end = cpu_seconds() + seconds;
    volatile unsigned long x = 1;
    while (cpu_seconds() < end)
        for (int i = 0; i < 1000; i++) x = x * 6364136223846793005UL + 1;
}

static void say(const char *what) {
    printf("%s\n", what);
    fflush(stdout);
}

static void wait_for_line(void) {
    char line[64];
    if (!fgets(line, sizeof line, stdin)) exit(0);
}

static void *burner(void *seconds) {
    burn(*(double *)seconds);
    return NULL;
}

// spin THREADS: each thread runs until the end.
static int spin(int threads) {
    static double forever = 1e9;
    for (int i = 0; i < threads; i++) {
        pthread_t t;
        pthread_create(&t, NULL, burner, &forever);
    }
    say("ready");
    pause();
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "spin")) return spin(atoi(argv[2]));
    (void)wait_for_line;
    return 2;
}
