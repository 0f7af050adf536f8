// Threads with a plan, for tests/sampler.rs: what each of them does is known beforehand.
//
// It says "ready" when it waits to be sampled, goes on when it is told to (a line on its standard input), says "done"
// when its plan is over, and ends after another line.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
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

static void milliseconds(int n) {
    struct timespec t = {n / 1000, n % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static void start(void *(*what)(void *), void *argument) {
    pthread_t t;
    if (pthread_create(&t, NULL, what, argument)) exit(3);
    pthread_detach(t);
}

// spin THREADS: each thread runs until the end.
static void *burner(void *seconds) {
    burn(*(double *)seconds);
    return NULL;
}

static void spin(int threads) {
    static double forever = 1e9;
    for (int i = 0; i < threads; i++) start(burner, &forever);
    say("ready");
    wait_for_line();
}

// late THREADS: the same, and one more thread when it is told to go on.
static void late(int threads) {
    static double forever = 1e9;
    spin(threads);
    start(burner, &forever);
    say("done");
    wait_for_line();
}

// plan: threads that sleep, wait for a byte of a pipe, wait for a lock, and compete for a CPU. All of them wait on
// a barrier before and after.
static pthread_barrier_t before, after;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int bytes[2];

static void *sleeps(void *unused) {
    pthread_barrier_wait(&before);
    for (int i = 0; i < 40; i++) milliseconds(5);
    pthread_barrier_wait(&after);
    return unused;
}

static void *reads(void *unused) {
    char byte;
    pthread_barrier_wait(&before);
    for (int i = 0; i < 30; i++)
        if (read(bytes[0], &byte, 1) != 1) exit(4);
    pthread_barrier_wait(&after);
    return unused;
}

static void *writes(void *unused) {
    pthread_barrier_wait(&before);
    for (int i = 0; i < 30; i++) {
        milliseconds(7);
        if (write(bytes[1], "x", 1) != 1) exit(4);
    }
    pthread_barrier_wait(&after);
    return unused;
}

static void *locks(void *unused) {
    pthread_barrier_wait(&before);
    for (int i = 0; i < 20; i++) {
        pthread_mutex_lock(&lock);
        milliseconds(4);
        pthread_mutex_unlock(&lock);
    }
    pthread_barrier_wait(&after);
    return unused;
}

static void *competes(void *unused) {
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    sched_setaffinity(0, sizeof first, &first);
    pthread_barrier_wait(&before);
    burn(0.3);
    pthread_barrier_wait(&after);
    return unused;
}

static void plan(void) {
    void *(*all[])(void *) = {sleeps, reads, writes, locks, locks, competes, competes};
    int count = sizeof all / sizeof *all;
    pthread_barrier_init(&before, NULL, count + 1);
    // One more than there are, so that the threads wait there until the end.
    pthread_barrier_init(&after, NULL, count + 1);
    if (pipe(bytes)) exit(4);
    for (int i = 0; i < count; i++) start(all[i], NULL);
    milliseconds(50);
    say("ready");
    wait_for_line();
    pthread_barrier_wait(&before);
    wait_for_line();
}

// short COUNT MICROSECONDS: threads that use so much CPU time each, one after another.
static void short_threads(int count, int microseconds) {
    double each = microseconds / 1e6;
    say("ready");
    wait_for_line();
    for (int i = 0; i < count; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, burner, &each)) exit(3);
        pthread_join(t, NULL);
    }
    say("done");
    wait_for_line();
}

// changes: a thread with a name, a child process that runs, too, a mapping that can be executed.
static void *is_named(void *unused) {
    prctl(PR_SET_NAME, "a \x1b[1m name");
    burn(0.01);
    return unused;
}

static void changes(void) {
    pthread_t t;
    say("ready");
    wait_for_line();
    if (pthread_create(&t, NULL, is_named, NULL)) exit(3);
    pthread_join(t, NULL);
    pid_t child = fork();
    if (!child) {
        burn(0.2);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(code, 4096);
    burn(0.1);
    say("done");
    wait_for_line();
}

// naps: a thread that sleeps for half a millisecond again and again, and two that hand a byte to each other.
__attribute__((noinline)) void *nap(void *unused) {
    struct timespec t = {0, 500000};
    for (;;) nanosleep(&t, NULL);
    return unused;
}

static int there[2], back[2];

__attribute__((noinline)) void *pings(void *unused) {
    char byte = 0;
    struct timespec t = {0, 300000};
    for (;;) {
        nanosleep(&t, NULL);
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) exit(4);
    }
    return unused;
}

__attribute__((noinline)) void *pongs(void *unused) {
    char byte;
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1);
    return unused;
}

static void naps(void) {
    if (pipe(there) || pipe(back)) exit(4);
    start(nap, NULL);
    start(pings, NULL);
    start(pongs, NULL);
    say("ready");
    wait_for_line();
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "spin")) spin(atoi(argv[2]));
    else if (!strcmp(what, "late")) late(atoi(argv[2]));
    else if (!strcmp(what, "plan")) plan();
    else if (!strcmp(what, "short")) short_threads(atoi(argv[2]), atoi(argv[3]));
    else if (!strcmp(what, "changes")) changes();
    else if (!strcmp(what, "naps")) naps();
    else if (!strcmp(what, "exec")) {
        say("ready");
        wait_for_line();
        execl("/proc/self/exe", argv[0], "spin", "1", NULL);
    } else return 2;
    return 0;
}
