// A thread whose stack is known: begin, outer three times, middle, leaf; or begin, sorts, qsort, compare.
// It is built without frame pointers.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile uint64_t sink;

__attribute__((noinline)) uint64_t leaf(uint64_t x) {
    for (uint64_t i = 1; i; i++) x = x * 6364136223846793005u + i;
    return x;
}

__attribute__((noinline)) uint64_t middle(uint64_t x) {
    // A frame whose size is known only as it runs.
    volatile char room[(x & 63) + 64];
    memset((char *)room, 1, sizeof room);
    uint64_t y = leaf(x) + room[x & 63];
    return y + 1;
}

__attribute__((noinline)) uint64_t outer(int n, uint64_t x) {
    uint64_t y = n > 1 ? outer(n - 1, x + 1) : middle(x);
    sink = y;
    return y + 1;
}

static __attribute__((noinline)) int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    for (int i = 0; i < 200; i++) sink += i;
    return (x > y) - (x < y);
}

__attribute__((noinline)) uint64_t sorts(uint64_t seed) {
    uint32_t numbers[256];
    for (int i = 0; i < 256; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        numbers[i] = seed >> 32;
    }
    qsort(numbers, 256, sizeof numbers[0], compare);
    return seed + numbers[0];
}

__attribute__((noinline)) void *begin(void *what) {
    if (!strcmp(what, "chain")) sink = outer(3, 5);
    for (uint64_t seed = 1;;) sink = seed = sorts(seed);
}

int main(int argc, char **argv) {
    pthread_t thread;
    if (argc < 2 || pthread_create(&thread, 0, begin, argv[1])) return 2;
    printf("ready\n");
    fflush(stdout);
    // It ends with the test.
    while (getchar() != EOF) {}
    return 0;
}
