// Loaded before the C library (LD_PRELOAD) to change what a process sees of its machine:
//
//   TORTURE_CLOCK=FILE   the wall clock runs by the decimal seconds in FILE ahead of the real one,
//                        read anew at every call; the monotonic clock is left alone
//   TORTURE_NO_SYNC=1    fsync and fdatasync do nothing and succeed

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// The functions of the next library in order, under the names that this one takes over.
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long ahead(void) {
  const char *path = getenv("TORTURE_CLOCK");
  char text[32] = {0};
  if (path == NULL) return 0;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = NEXT(clock_gettime)(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += ahead();
  }
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int result = NEXT(gettimeofday)(now, zone);
  if (result == 0) now->tv_sec += ahead();
  return result;
}

time_t time(time_t *result) {
  time_t now = NEXT(time)(NULL) + ahead();
  if (result != NULL) *result = now;
  return now;
}

int fsync(int file) {
  return getenv("TORTURE_NO_SYNC") != NULL ? 0 : NEXT(fsync)(file);
}

int fdatasync(int file) {
  return getenv("TORTURE_NO_SYNC") != NULL ? 0 : NEXT(fdatasync)(file);
}
