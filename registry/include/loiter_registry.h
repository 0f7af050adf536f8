/* Writes the exported task registry (FORMAT.md, version 1.0) from C, so that loiter sees the tasks of
 * the program. One header, no library: C11, GCC or Clang, 64-bit little-endian Linux.
 *
 *     LOITER_REGISTRY_DEFINE("my-server", LOITER_EVENT_LOOP)      in one source file of each image
 *
 *     static const loiter_location here = LOITER_LOCATION("accepting");
 *     loiter_task *task = loiter_spawn("connection", LOITER_LOCATION_HERE(), parent_id);
 *     loiter_running(task);
 *     loiter_waiting(task, LOITER_READ, (void *)(intptr_t)fd);
 *     loiter_end(task);
 *
 * One owner at a time for each task: calls for the same task must not overlap. Every function takes a
 * NULL task and does nothing with it: loiter_spawn returns NULL when the limit is reached, and counts
 * it. Spawning and ending take no lock; memory comes from mmap, in chunks that are kept.
 *
 * License: MIT OR Apache-2.0 */
#ifndef LOITER_REGISTRY_H
#define LOITER_REGISTRY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOITER_CHUNKS 24
#define LOITER_CHAIN_SLOTS 13
#define LOITER_FIRST_CHUNK 1024u
#define LOITER_NO_SLOT 255
#define LOITER_ABSENT 0xffffffffu
#define LOITER_LIST_END 0xffffffffu

/* runtime_kind */
enum {
    LOITER_OTHER = 0,
    LOITER_TOKIO = 1,
    LOITER_THREAD_POOL = 2,
    LOITER_ACTORS = 3,
    LOITER_EXECUTOR = 4,
    LOITER_FIBERS = 5,
    LOITER_EVENT_LOOP = 6
};

/* state */
enum {
    LOITER_STATE_FREE = 0,
    LOITER_STATE_CREATED = 1,
    LOITER_STATE_RUNNING = 2,
    LOITER_STATE_WAITING = 3,
    LOITER_STATE_FINISHED = 4,
    LOITER_STATE_READY = 5
};

/* kind */
enum {
    LOITER_KIND_ASYNC = 0,
    LOITER_KIND_BLOCKING = 1,
    LOITER_KIND_THREAD = 2,
    LOITER_KIND_ACTOR = 3,
    LOITER_KIND_FIBER = 4,
    LOITER_KIND_LOCAL = 5,
    LOITER_KIND_CALLBACK = 6,
    LOITER_KIND_INNER = 7
};

/* wait_reason */
enum {
    LOITER_UNKNOWN = 0,
    LOITER_CHANNEL_SEND = 1,
    LOITER_CHANNEL_RECEIVE = 2,
    LOITER_LOCK = 3,
    LOITER_READ_LOCK = 4,
    LOITER_WRITE_LOCK = 5,
    LOITER_SEMAPHORE = 6,
    LOITER_NOTIFICATION = 7,
    LOITER_JOIN = 8,
    LOITER_SLEEP = 9,
    LOITER_READ = 10,
    LOITER_WRITE = 11,
    LOITER_IO = 12,
    LOITER_BARRIER = 13,
    LOITER_SELECT = 14,
    LOITER_YIELD = 15,
    LOITER_BLOCKING_CALL = 16,
    LOITER_WORK = 17
};

/* A place in the source; static, never changed. */
typedef struct loiter_location {
    const char *file;
    const char *name;
    uint32_t file_len;
    uint32_t name_len;
    uint32_t line;
    uint32_t column;
    uint64_t flags;
} loiter_location;

/* For the initialiser of a static loiter_location. `text` is a string literal. */
#define LOITER_LOCATION(text) \
    { __FILE__, text, sizeof(__FILE__) - 1, sizeof(text) - 1, __LINE__, 0, 0 }

/* An address of a static loiter_location of this line, without a name (GNU C). */
#define LOITER_LOCATION_HERE() \
    (__extension__({ static const loiter_location loiter_here = LOITER_LOCATION(""); &loiter_here; }))

/* An entry: a registered task. */
typedef struct loiter_task {
    uint32_t seq;
    uint32_t generation;
    uint64_t id;
    uint64_t parent_id;
    uint64_t spawned_ns;
    uint64_t location;
    uint64_t type_name;
    uint64_t name;
    uint32_t type_name_len;
    uint32_t name_len;
    uint32_t poll_seq;
    uint32_t state;
    uint64_t polls;
    uint64_t last_poll_start_ns;
    uint64_t last_poll_end_ns;
    uint64_t wait_address;
    uint64_t wait_location;
    uint32_t wait_reason;
    uint32_t thread;
    uint64_t busy_ns;
    uint64_t task_header;
    uint32_t kind;
    uint32_t next_free;
    uint32_t chain_seq;
    uint16_t chain_lost;
    uint8_t chain_last;
    uint8_t chain_used;
    uint64_t chain[LOITER_CHAIN_SLOTS];
} __attribute__((aligned(64))) loiter_task;

/* The header. */
typedef struct loiter_registry {
    char magic[8];
    uint16_t major, minor;
    uint32_t header_size, entry_size, location_size, n_fields, n_location_fields;
    uint32_t field_off[32];
    uint32_t location_off[8];
    uint32_t first_chunk_entries, n_chunks, chain_slots, runtime_kind, clock_id, poll_clock_id, flags, pid;
    const char *name;
    uint32_t name_len, epoch;
    const char *producer;
    uint32_t producer_len, entry_limit;
    struct loiter_registry *next_registry;
    loiter_task *chunk[LOITER_CHUNKS];
    uint64_t reserved[7];
    uint64_t spawned __attribute__((aligned(64)));
    uint64_t finished __attribute__((aligned(64)));
    uint64_t dropped __attribute__((aligned(64)));
    uint64_t strings_dropped;
    uint32_t high_water;
    uint64_t free_list __attribute__((aligned(64))); /* tag << 32 | entry number */
} __attribute__((aligned(64))) loiter_registry;

_Static_assert(sizeof(loiter_location) == 40, "FORMAT.md");
_Static_assert(sizeof(loiter_task) == 256, "FORMAT.md");
_Static_assert(offsetof(loiter_task, poll_seq) == 64, "FORMAT.md");
_Static_assert(offsetof(loiter_task, chain) == 152, "FORMAT.md");
_Static_assert(sizeof(loiter_registry) == 768, "FORMAT.md");
_Static_assert(offsetof(loiter_registry, chunk) == 264, "FORMAT.md");
_Static_assert(offsetof(loiter_registry, high_water) == 656, "FORMAT.md");
_Static_assert(offsetof(loiter_registry, free_list) == 704, "FORMAT.md");

/* The registry of this image; hidden, so that each shared library has its own. */
extern loiter_registry loiter_main_registry __attribute__((visibility("hidden")));

#define LOITER_OFF(field) (uint32_t)offsetof(loiter_task, field)
#define LOITER_PLACE_OFF(field) (uint32_t)offsetof(loiter_location, field)
#define LOITER_PRODUCER "loiter_registry.h 1.0"

#define LOITER_REGISTRY_INIT(text, kind_of_runtime) \
    { \
        .magic = {'L', 'O', 'I', 'T', 'E', 'R', 'R', 'G'}, .major = 1, .minor = 0, \
        .header_size = sizeof(loiter_registry), .entry_size = sizeof(loiter_task), \
        .location_size = sizeof(loiter_location), .n_fields = 27, .n_location_fields = 7, \
        .field_off = {LOITER_OFF(seq), LOITER_OFF(generation), LOITER_OFF(id), LOITER_OFF(parent_id), \
                      LOITER_OFF(spawned_ns), LOITER_OFF(location), LOITER_OFF(type_name), \
                      LOITER_OFF(name), LOITER_OFF(type_name_len), LOITER_OFF(name_len), \
                      LOITER_OFF(poll_seq), LOITER_OFF(state), LOITER_OFF(polls), \
                      LOITER_OFF(last_poll_start_ns), LOITER_OFF(last_poll_end_ns), \
                      LOITER_OFF(wait_address), LOITER_OFF(wait_location), LOITER_OFF(wait_reason), \
                      LOITER_OFF(thread), LOITER_OFF(busy_ns), LOITER_OFF(task_header), \
                      LOITER_OFF(kind), LOITER_OFF(next_free), LOITER_OFF(chain_seq), \
                      LOITER_OFF(chain_lost), LOITER_OFF(chain_last), LOITER_OFF(chain), \
                      LOITER_ABSENT, LOITER_ABSENT, LOITER_ABSENT, LOITER_ABSENT, LOITER_ABSENT}, \
        .location_off = {LOITER_PLACE_OFF(file), LOITER_PLACE_OFF(name), LOITER_PLACE_OFF(file_len), \
                         LOITER_PLACE_OFF(name_len), LOITER_PLACE_OFF(line), \
                         LOITER_PLACE_OFF(column), LOITER_PLACE_OFF(flags), LOITER_ABSENT}, \
        .first_chunk_entries = LOITER_FIRST_CHUNK, .n_chunks = LOITER_CHUNKS, \
        .chain_slots = LOITER_CHAIN_SLOTS, .runtime_kind = kind_of_runtime, \
        .clock_id = CLOCK_MONOTONIC_COARSE, .poll_clock_id = CLOCK_MONOTONIC_COARSE, \
        .name = text, .name_len = sizeof(text) - 1, .producer = LOITER_PRODUCER, \
        .producer_len = sizeof(LOITER_PRODUCER) - 1, .entry_limit = 1u << 20, \
        .free_list = LOITER_LIST_END, \
    }

/* Defines the registry of this image, and the note by which it is found. */
#define LOITER_REGISTRY_DEFINE(text, kind_of_runtime) \
    loiter_registry loiter_main_registry = LOITER_REGISTRY_INIT(text, kind_of_runtime); \
    __asm__(".pushsection .note.loiter.registry,\"a\",%note\n" \
            ".balign 4\n" \
            ".4byte 7\n" \
            ".4byte 8\n" \
            ".4byte 1\n" \
            ".ascii \"loiter\\0\\0\"\n" \
            ".8byte loiter_main_registry - .\n" \
            ".popsection\n")

/* All fields are stored with these, so that no store is torn or left out. */
#define LOITER_SET(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)
#define LOITER_GET(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)

static inline void loiter_begin_write(uint32_t *seq) {
    LOITER_SET(*seq, (LOITER_GET(*seq) + 1) | 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void loiter_end_write(uint32_t *seq) {
    __atomic_store_n(seq, LOITER_GET(*seq) + 1, __ATOMIC_RELEASE);
}

static inline uint64_t loiter_now(uint32_t clock) {
    struct timespec now = {0, 0};
    clock_gettime((clockid_t)clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* In the child of a fork: starts again from nothing. The parent's entries stay mapped. */
static inline void loiter_after_fork(void) {
    loiter_registry *r = &loiter_main_registry;
    LOITER_SET(r->epoch, r->epoch + 1);
    LOITER_SET(r->high_water, 0);
    for (int i = 0; i < LOITER_CHUNKS; i++)
        LOITER_SET(r->chunk[i], NULL);
    LOITER_SET(r->spawned, 0);
    LOITER_SET(r->finished, 0);
    LOITER_SET(r->dropped, 0);
    LOITER_SET(r->free_list, LOITER_LIST_END);
    __atomic_store_n(&r->pid, (uint32_t)getpid(), __ATOMIC_RELEASE);
}

static inline void loiter_start(loiter_registry *r) {
    static int watching;
    if (!__atomic_exchange_n(&watching, 1, __ATOMIC_ACQ_REL))
        pthread_atfork(NULL, NULL, loiter_after_fork);
    __atomic_store_n(&r->pid, (uint32_t)getpid(), __ATOMIC_RELEASE);
}

static inline uint32_t loiter_chunk_of(uint32_t number) {
    return 63u - (uint32_t)__builtin_clzll((uint64_t)number / LOITER_FIRST_CHUNK + 1);
}

static inline loiter_task *loiter_entry(loiter_registry *r, uint32_t number) {
    uint32_t chunk = loiter_chunk_of(number);
    loiter_task *start = chunk < LOITER_CHUNKS ? __atomic_load_n(&r->chunk[chunk], __ATOMIC_ACQUIRE) : NULL;
    return start ? start + (number - LOITER_FIRST_CHUNK * ((1u << chunk) - 1)) : NULL;
}

static inline int loiter_make_chunk(loiter_registry *r, uint32_t number) {
    uint32_t chunk = loiter_chunk_of(number);
    if (chunk >= LOITER_CHUNKS)
        return 0;
    if (__atomic_load_n(&r->chunk[chunk], __ATOMIC_ACQUIRE))
        return 1;
    size_t size = ((size_t)LOITER_FIRST_CHUNK << chunk) * sizeof(loiter_task);
    void *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    loiter_task *none = NULL;
    if (made == MAP_FAILED)
        return 0;
    if (!__atomic_compare_exchange_n(&r->chunk[chunk], &none, (loiter_task *)made, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        munmap(made, size);
    return 1;
}

/* The number of an entry that nobody uses, or LOITER_LIST_END. */
static inline uint32_t loiter_take(loiter_registry *r) {
    uint64_t old = __atomic_load_n(&r->free_list, __ATOMIC_ACQUIRE);
    while ((uint32_t)old != LOITER_LIST_END) {
        loiter_task *entry = loiter_entry(r, (uint32_t)old);
        if (!entry)
            return LOITER_LIST_END;
        uint64_t next = (((old >> 32) + 1) << 32) | LOITER_GET(entry->next_free);
        if (__atomic_compare_exchange_n(&r->free_list, &old, next, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return (uint32_t)old;
    }
    uint32_t number = LOITER_GET(r->high_water);
    do {
        if (number >= LOITER_GET(r->entry_limit) || !loiter_make_chunk(r, number))
            return LOITER_LIST_END;
    } while (!__atomic_compare_exchange_n(&r->high_water, &number, number + 1, 1, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return number;
}

/* Registers a task. `name` is kept by address: a literal, or text that is never changed or freed; NULL
 * for none. `parent` is the id of the task that started it, 0 for none. */
static inline loiter_task *loiter_spawn(const char *name, const loiter_location *location, uint64_t parent) {
    loiter_registry *r = &loiter_main_registry;
    if (!LOITER_GET(r->pid))
        loiter_start(r);
    uint32_t number = loiter_take(r);
    loiter_task *task = number == LOITER_LIST_END ? NULL : loiter_entry(r, number);
    if (!task) {
        __atomic_fetch_add(&r->dropped, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    uint64_t id = __atomic_fetch_add(&r->spawned, 1, __ATOMIC_RELAXED) + 1;
    LOITER_SET(task->next_free, number); /* while it is in use: its own number */
    loiter_begin_write(&task->poll_seq);
    LOITER_SET(task->state, LOITER_STATE_CREATED);
    LOITER_SET(task->polls, 0);
    LOITER_SET(task->last_poll_start_ns, 0);
    LOITER_SET(task->last_poll_end_ns, 0);
    LOITER_SET(task->wait_address, 0);
    LOITER_SET(task->wait_location, 0);
    LOITER_SET(task->wait_reason, 0);
    LOITER_SET(task->thread, 0);
    LOITER_SET(task->busy_ns, 0);
    loiter_end_write(&task->poll_seq);
    LOITER_SET(task->chain_last, LOITER_NO_SLOT);
    loiter_begin_write(&task->seq);
    LOITER_SET(task->id, id);
    LOITER_SET(task->parent_id, parent);
    LOITER_SET(task->spawned_ns, loiter_now(r->clock_id));
    LOITER_SET(task->location, (uint64_t)(uintptr_t)location);
    LOITER_SET(task->type_name, 0);
    LOITER_SET(task->type_name_len, 0);
    LOITER_SET(task->name, (uint64_t)(uintptr_t)name);
    LOITER_SET(task->name_len, name ? (uint32_t)strlen(name) : 0);
    LOITER_SET(task->task_header, 0);
    LOITER_SET(task->kind, r->runtime_kind == LOITER_FIBERS ? LOITER_KIND_FIBER : LOITER_KIND_ASYNC);
    loiter_end_write(&task->seq);
    return task;
}

/* The id of a task, 0 for NULL. */
static inline uint64_t loiter_id(const loiter_task *task) { return task ? LOITER_GET(task->id) : 0; }

/* Says what kind of task it is. */
static inline void loiter_kind(loiter_task *task, uint32_t kind) {
    if (!task)
        return;
    loiter_begin_write(&task->seq);
    LOITER_SET(task->kind, kind);
    loiter_end_write(&task->seq);
}

/* It begins to run, on this thread. */
static inline void loiter_running(loiter_task *task) {
    static __thread uint32_t thread;
    if (!task)
        return;
    if (!thread)
        thread = (uint32_t)syscall(SYS_gettid);
    loiter_begin_write(&task->poll_seq);
    LOITER_SET(task->state, LOITER_STATE_RUNNING);
    LOITER_SET(task->polls, task->polls + 1);
    LOITER_SET(task->last_poll_start_ns, loiter_now(loiter_main_registry.poll_clock_id));
    LOITER_SET(task->thread, thread);
    loiter_end_write(&task->poll_seq);
}

static inline void loiter_stopped(loiter_task *task, uint32_t state, uint32_t reason, const void *address,
                                  const loiter_location *text) {
    if (!task)
        return;
    uint64_t now = loiter_now(loiter_main_registry.poll_clock_id);
    loiter_begin_write(&task->poll_seq);
    if (task->state == LOITER_STATE_RUNNING) {
        uint64_t start = task->last_poll_start_ns;
        LOITER_SET(task->busy_ns, task->busy_ns + (now > start ? now - start : 0));
        LOITER_SET(task->last_poll_end_ns, now);
    }
    LOITER_SET(task->state, state);
    LOITER_SET(task->wait_reason, reason);
    LOITER_SET(task->wait_address, (uint64_t)(uintptr_t)address);
    LOITER_SET(task->wait_location, (uint64_t)(uintptr_t)text);
    loiter_end_write(&task->poll_seq);
}

/* It stopped running and waits for `address`, a lock or a queue or anything else (NULL: unknown). */
static inline void loiter_waiting(loiter_task *task, uint32_t reason, const void *address) {
    loiter_stopped(task, LOITER_STATE_WAITING, reason, address, NULL);
}

/* The same; the name of `text` is the reason in words. */
static inline void loiter_waiting_text(loiter_task *task, const loiter_location *text, const void *address) {
    loiter_stopped(task, LOITER_STATE_WAITING, LOITER_UNKNOWN, address, text);
}

/* It does not run, but could. */
static inline void loiter_ready(loiter_task *task) {
    loiter_stopped(task, LOITER_STATE_READY, LOITER_UNKNOWN, NULL, NULL);
}

/* Its work is over; it is seen as finished until loiter_end. */
static inline void loiter_finished(loiter_task *task) {
    loiter_stopped(task, LOITER_STATE_FINISHED, LOITER_UNKNOWN, NULL, NULL);
}

/* It goes into a place, which is inside the place where it was before. Returns what loiter_leave
 * takes. */
static inline int loiter_enter(loiter_task *task, const loiter_location *place) {
    if (!task)
        return -1;
    uint8_t around = task->chain_last;
    for (int slot = 0; slot < LOITER_CHAIN_SLOTS; slot++) {
        if (LOITER_GET(task->chain[slot]))
            continue;
        uint64_t serial = LOITER_GET(task->chain_seq) & 0xff;
        LOITER_SET(task->chain[slot], (uint64_t)(uintptr_t)place << 16 | (uint64_t)around << 8 | serial);
        __atomic_fetch_add(&task->chain_seq, 1, __ATOMIC_RELEASE);
        LOITER_SET(task->chain_last, (uint8_t)slot);
        return slot;
    }
    __atomic_fetch_add(&task->chain_lost, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&task->chain_seq, 1, __ATOMIC_RELEASE);
    return LOITER_CHAIN_SLOTS;
}

/* It leaves the place again: the one that it entered last. */
static inline void loiter_leave(loiter_task *task, int slot) {
    if (!task || slot < 0)
        return;
    if (slot >= LOITER_CHAIN_SLOTS) {
        __atomic_fetch_sub(&task->chain_lost, 1, __ATOMIC_RELAXED);
    } else {
        LOITER_SET(task->chain_last, (uint8_t)(LOITER_GET(task->chain[slot]) >> 8));
        __atomic_store_n(&task->chain[slot], 0, __ATOMIC_RELEASE);
    }
    __atomic_fetch_add(&task->chain_seq, 1, __ATOMIC_RELEASE);
}

/* The task is over: its entry goes to another one. `task` must not be used any more. A task from before
 * a fork must not be ended in the child. */
static inline void loiter_end(loiter_task *task) {
    loiter_registry *r = &loiter_main_registry;
    if (!task)
        return;
    uint32_t number = LOITER_GET(task->next_free);
    loiter_begin_write(&task->seq);
    LOITER_SET(task->id, 0);
    LOITER_SET(task->generation, task->generation + 1);
    loiter_end_write(&task->seq);
    loiter_begin_write(&task->poll_seq);
    LOITER_SET(task->state, LOITER_STATE_FREE);
    loiter_end_write(&task->poll_seq);
    LOITER_SET(task->chain_lost, 0);
    for (int slot = 0; slot < LOITER_CHAIN_SLOTS; slot++)
        if (LOITER_GET(task->chain[slot])) {
            LOITER_SET(task->chain[slot], 0);
            __atomic_fetch_add(&task->chain_seq, 1, __ATOMIC_RELEASE);
        }
    __atomic_fetch_add(&r->finished, 1, __ATOMIC_RELAXED);
    uint64_t old = __atomic_load_n(&r->free_list, __ATOMIC_RELAXED), head;
    do {
        LOITER_SET(task->next_free, (uint32_t)old);
        head = (((old >> 32) + 1) << 32) | number;
    } while (!__atomic_compare_exchange_n(&r->free_list, &old, head, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

#endif
