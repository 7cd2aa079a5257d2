/*
 * Loaded into a program before all libraries (LD_PRELOAD): holds the thread that opens, for the GATE_AT-th time, a file whose path
 * contains GATE_ON, as a file system that does not answer would. It makes the file GATE.met and waits as long as the file GATE is there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int (*real_open)(const char *, int, ...);
static const char *gate, *on;
static int left;

__attribute__((constructor)) static void start(void) {
  *(void **)&real_open = dlsym(RTLD_NEXT, "open");
  const char *at = getenv("GATE_AT");
  gate = getenv("GATE");
  on = getenv("GATE_ON");
  left = at == NULL ? 1 : atoi(at);
}

static void hold(const char *path) {
  if (gate == NULL || on == NULL || path == NULL || strstr(path, on) == NULL) return;
  if (__sync_sub_and_fetch(&left, 1) != 0) return;
  char met[4096];
  snprintf(met, sizeof met, "%s.met", gate);
  int fd = real_open(met, O_WRONLY | O_CREAT, 0600);
  if (fd >= 0) close(fd);
  while (access(gate, F_OK) == 0) usleep(20000);
}

static int opened(const char *path, int flags, mode_t mode) {
  hold(path);
  return real_open(path, flags, mode);
}

#define OPEN(name)                              \
  int name(const char *path, int flags, ...) {  \
    mode_t mode = 0;                            \
    if (flags & (O_CREAT | O_TMPFILE)) {        \
      va_list rest;                             \
      va_start(rest, flags);                    \
      mode = va_arg(rest, mode_t);              \
      va_end(rest);                             \
    }                                           \
    return opened(path, flags, mode);           \
  }
OPEN(open)
OPEN(open64)
