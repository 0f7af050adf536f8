// A process to be read. Each argument says one thing that it does.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

volatile unsigned long ticks;
volatile unsigned long handled;
volatile unsigned long made;
volatile unsigned long released;
char text[] = "what stands in the memory of the target";
volatile int ready;
char *lazy;
static int lazy_fd;

static void on_signal(int number) {
    (void)number;
    __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

static void *spin(void *unused) {
    for (;;)
        ticks++;
    return unused;
}

static void *nothing(void *unused) {
    __atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
    usleep(200);
    return unused;
}

// Threads that come and go all the time.
static void *make(void *unused) {
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, nothing, NULL) == 0)
            pthread_detach(thread);
        usleep(20);
    }
    return unused;
}

// Sleeps in the kernel, not to be interrupted, while the child lives: until a test ends it.
static void *wait_for_child(void *unused) {
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sleep(600);
        _exit(0);
    }
    for (;;) {
        released++;
        usleep(1000);
    }
    return unused;
}

// A page that does not come until SIGUSR2 does.
static void make_lazy(void) {
    lazy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    lazy_fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register page = {.range = {(unsigned long)lazy, 4096},
                                   .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (lazy_fd < 0 || ioctl(lazy_fd, UFFDIO_API, &api) || ioctl(lazy_fd, UFFDIO_REGISTER, &page)) {
        perror("userfaultfd");
        exit(3);
    }
}

static void serve_lazy(int number) {
    (void)number;
    struct uffdio_zeropage page = {.range = {(unsigned long)lazy, 4096}};
    ioctl(lazy_fd, UFFDIO_ZEROPAGE, &page);
}

// A page of a file.
static void map_file(const char *path) {
    int file = open(path, O_RDONLY);
    lazy = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    if (lazy == MAP_FAILED) {
        perror(path);
        exit(3);
    }
}

static void start(void *(*run)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, NULL) != 0)
        abort();
}

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "spin"))
            start(spin);
        else if (!strcmp(arguments[i], "make"))
            start(make);
        else if (!strcmp(arguments[i], "vfork"))
            start(wait_for_child);
        else if (!strcmp(arguments[i], "signals"))
            signal(SIGRTMIN + 1, on_signal);
        else if (!strcmp(arguments[i], "lazy")) {
            make_lazy();
            signal(SIGUSR2, serve_lazy);
        } else if (!strcmp(arguments[i], "map"))
            map_file(arguments[++i]);
        else if (!strcmp(arguments[i], "end-leader")) {
            ready = 1;
            pthread_exit(NULL);
        }
    }
    ready = 1;
    for (;;)
        pause();
}
