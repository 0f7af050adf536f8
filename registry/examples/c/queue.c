/* A small program whose tasks loiter can read: a producer, a worker that it started, and clients that
 * wait for one lock. Build: cc -std=gnu11 -I../../include queue.c -o queue. It says "ready" and waits
 * for the end of its input. "fork" as an argument has a child say "forked PID" and wait, too. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "loiter_registry.h"

LOITER_REGISTRY_DEFINE("queue", LOITER_EVENT_LOOP);

static int lock;
static const loiter_location filling = LOITER_LOCATION("filling the queue");
static const loiter_location writing = LOITER_LOCATION("writing an item");
static const loiter_location full = LOITER_LOCATION("the queue is full");

int main(int count, char **arguments) {
    loiter_task *producer = loiter_spawn("producer", LOITER_LOCATION_HERE(), 0);
    loiter_running(producer);
    loiter_task *worker = loiter_spawn("worker", LOITER_LOCATION_HERE(), loiter_id(producer));
    loiter_enter(producer, &filling);
    int inner = loiter_enter(producer, &writing);
    loiter_leave(producer, inner);
    loiter_enter(producer, &writing);
    loiter_waiting_text(producer, &full, &lock);

    loiter_running(worker);
    for (int i = 0; i < 2000; i++) {
        loiter_task *client = loiter_spawn("client", LOITER_LOCATION_HERE(), loiter_id(worker));
        loiter_running(client);
        loiter_waiting(client, LOITER_LOCK, &lock);
        if (i % 2)
            loiter_end(client);
    }
    if (count > 1 && strcmp(arguments[1], "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            loiter_spawn("of the child", LOITER_LOCATION_HERE(), 0);
            printf("forked %d\n", (int)getpid());
            fflush(stdout);
            while (getchar() != EOF) {}
            return 0;
        }
    }
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
