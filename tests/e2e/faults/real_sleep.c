/* Debian's libfaketime takes every absolute time to be one of the wall clock: Python, which sleeps by the monotonic
   clock, gets EINVAL. Loaded before it, this sleeps as if it were not there; the monotonic clock is not faked. */
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    return syscall(SYS_clock_nanosleep, clock, flags, until, left) == 0 ? 0 : errno;
}
