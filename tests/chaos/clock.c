/* A wall clock that is off: LD_PRELOAD this, and CHAOS_CLOCK names a file of eight bytes, the seconds to add (int64).

   A real step moves the kernel's clock too, so waits that end at a wall-clock time are given to the kernel in its own
   time. Times below a billion seconds are of the monotonic clock and left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t none = 0;
static const volatile int64_t *off = &none;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) off = page;
    close(file);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *at) {
    static __typeof__(&clock_gettime) real;
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, at);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += *off;
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    REAL(gettimeofday);
    int failed = real(at, zone);
    if (!failed) at->tv_sec += *off;
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *at, int base) {
    REAL(timespec_get);
    int given = real(at, base);
    if (given == TIME_UTC) at->tv_sec += *off;
    return given;
}

static struct timespec kernel(const struct timespec *until) {
    struct timespec out = *until;
    if (out.tv_sec > 1000000000) out.tv_sec -= *off;
    return out;
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict t) {
    REAL(pthread_cond_timedwait);
    struct timespec until = kernel(t);
    return real(c, m, &until);
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict t) {
    REAL(cnd_timedwait);
    struct timespec until = kernel(t);
    return real(c, m, &until);
}

int sem_timedwait(sem_t *restrict s, const struct timespec *restrict t) {
    REAL(sem_timedwait);
    struct timespec until = kernel(t);
    return real(s, &until);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict m, const struct timespec *restrict t) {
    REAL(pthread_mutex_timedlock);
    struct timespec until = kernel(t);
    return real(m, &until);
}
