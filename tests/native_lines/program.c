// What tests/native_lines.rs samples. Lines that the test looks for have marks.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static inline __attribute__((always_inline)) void step(volatile unsigned long *x) {
    *x = *x * 6364136223846793005UL + 1; // inlined
}

__attribute__((noinline)) static void burn(void) {
    volatile unsigned long x = 1;
    for (;;) // loop
        step(&x); // call
}

static void clocks(void) {
    struct timespec now;
    for (;;) clock_gettime(CLOCK_MONOTONIC, &now);
}

// Runs code that was made at run time: push %rbp; mov %rsp,%rbp; two jumps that lead to each other.
static void generated(void) {
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xeb, 0x00, 0xeb, 0xfc};
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(memory, code, sizeof code);
    puts("ready");
    fflush(stdout);
    ((void (*)(void))memory)();
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "generated")) generated();
    puts("ready");
    fflush(stdout);
    if (argc > 1 && !strcmp(argv[1], "clocks")) clocks();
    burn();
    return 0;
}
