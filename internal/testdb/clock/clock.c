// A server into which this is preloaded has a clock of its own: the machine's time of day, and so many nanoseconds more as are in the file that
// SQLLOCK_TEST_CLOCK names. Whoever writes there sets the clock, for all processes at once. It takes no lock and allocates nothing, because signal
// handlers of servers look at the clock too.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef long long nanoseconds;

static const nanoseconds second = 1000000000;
static volatile const nanoseconds *ahead;

__attribute__((constructor)) static void open_clock(void) {
	const char *path = getenv("SQLLOCK_TEST_CLOCK");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *mapped = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
	if (mapped == MAP_FAILED)
		abort();
	ahead = mapped;
	close(file);
}

// The constructors of other libraries may come first.
static nanoseconds offset(void) { return ahead ? *ahead : 0; }

static nanoseconds now(clockid_t clock) {
	struct timespec at;
	syscall(SYS_clock_gettime, clock, &at);
	return at.tv_sec * second + at.tv_nsec;
}

static struct timespec instant(nanoseconds at) { return (struct timespec){at / second, at % second}; }

int clock_gettime(clockid_t clock, struct timespec *at) {
	if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
		return syscall(SYS_clock_gettime, clock, at);
	*at = instant(now(clock) + offset());
	return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
	(void)zone;
	nanoseconds t = now(CLOCK_REALTIME) + offset();
	*at = (struct timeval){t / second, t % second / 1000};
	return 0;
}

time_t time(time_t *at) {
	time_t t = (now(CLOCK_REALTIME) + offset()) / second;
	if (at)
		*at = t;
	return t;
}

// Who waits for a time of day wakes up when the clock says so, be it set meanwhile. What is before 2001 is no time of day, but one since the machine was
// started: that clock is never set.
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
	if (until->tv_sec < 1000000000)
		return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, until);
	const nanoseconds look = 20000000;
	for (;;) {
		nanoseconds left = until->tv_sec * second + until->tv_nsec - now(CLOCK_REALTIME) - offset();
		if (left <= 0)
			return ETIMEDOUT;
		struct timespec next = instant(now(CLOCK_MONOTONIC) + (left < look ? left : look));
		int answer = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &next);
		if (answer != ETIMEDOUT)
			return answer;
	}
}
