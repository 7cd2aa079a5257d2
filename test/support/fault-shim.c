/*
 * Loaded into a program before all libraries (LD_PRELOAD): makes the n-th system call that changes files below FAULT_ROOT fail,
 * and logs all of them to the file FAULT_LOG, for code such as SQLite's that does not write through src/base/file-io.ts.
 *
 * Told what to do by opening names that are not there: FAULT_ROOT/.arm/ERRNO/N, /.disarm (then "file exists" if one has failed),
 * /.mark/TEXT (a line of the log).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(type, name, ...) static type (*real_##name)(__VA_ARGS__)
REAL(int, open, const char *, int, ...);
REAL(int, close, int);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, ftruncate64, int, off64_t);
REAL(int, unlink, const char *);

static char root[4096];
static int log_fd = -1;
static int wanted_errno, countdown, has_failed;
static char *paths[4096];

__attribute__((constructor)) static void start(void) {
#define FIND(name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)
  FIND(open), FIND(close), FIND(write), FIND(pwrite64), FIND(fsync), FIND(fdatasync), FIND(ftruncate64), FIND(unlink);
  const char *given = getenv("FAULT_ROOT"), *log = getenv("FAULT_LOG");
  if (given != NULL) snprintf(root, sizeof root, "%s/", given);
  if (log != NULL) log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

/* The part of `path` below the root; NULL for others, and for what SQLite shares between processes and never relies on. */
static const char *below(const char *path) {
  size_t length = strlen(root);
  if (length == 0 || path == NULL) return NULL;
  if (strncmp(path, root, length - 1) != 0) return NULL;
  if (path[length - 1] == 0) return ".";
  size_t end = strlen(path);
  if (end > 4 && strcmp(path + end - 4, "-shm") == 0) return NULL;
  return path[length - 1] == '/' ? path + length : NULL;
}

static const char *name_of(int fd) { return fd >= 0 && fd < 4096 ? paths[fd] : NULL; }

static void note(const char *kind, const char *path, long long at, const void *data, size_t length) {
  if (log_fd < 0) return;
  char line[8192];
  int n = snprintf(line, sizeof line, "%s %lld %zu %s\n", kind, at, length, path);
  real_write(log_fd, line, n);
  if (length > 0) real_write(log_fd, data, length);
}

/* Whether this call is the one to fail. */
static int fails(void) {
  if (countdown == 0 || --countdown > 0) return 0;
  has_failed = 1;
  errno = wanted_errno;
  return 1;
}

static int told(const char *name) {
  if (sscanf(name, ".arm/%d/%d", &wanted_errno, &countdown) == 2) has_failed = 0;
  else if (strcmp(name, ".disarm") == 0) countdown = 0;
  else if (strncmp(name, ".mark/", 6) == 0) note("mark", name + 6, 0, NULL, 0);
  else return 0;
  errno = has_failed ? EEXIST : ENOENT;
  return 1;
}

static int open_any(const char *path, int flags, mode_t mode) {
  const char *name = below(path);
  if (name == NULL) return real_open(path, flags, mode);
  if (told(name)) return -1;
  struct stat info;
  int is_new = (flags & O_CREAT) != 0 && stat(path, &info) != 0;
  if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) != 0 && fails()) return -1;
  int fd = real_open(path, flags, mode);
  if (fd < 0 || fd >= 4096) return fd;
  free(paths[fd]);
  paths[fd] = strdup(name);
  if (is_new) note("create", name, 0, NULL, 0);
  else if (flags & O_TRUNC) note("truncate", name, 0, NULL, 0);
  return fd;
}

#define MODE \
  mode_t mode = 0; \
  if (flags & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE return open_any(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_any(path, flags | O_LARGEFILE, mode); }

int close(int fd) {
  if (fd >= 0 && fd < 4096) { free(paths[fd]); paths[fd] = NULL; }
  return real_close(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
  const char *name = name_of(fd);
  if (name == NULL) return real_pwrite64(fd, data, length, at);
  if (fails()) {
    /* a full disk takes a part of it, as it does in life */
    if (wanted_errno == ENOSPC && length > 1) real_pwrite64(fd, data, length / 2, at), errno = ENOSPC;
    return -1;
  }
  ssize_t written = real_pwrite64(fd, data, length, at);
  if (written > 0) note("write", name, at, data, written);
  return written;
}

ssize_t write(int fd, const void *data, size_t length) {
  const char *name = name_of(fd);
  if (name == NULL) return real_write(fd, data, length);
  off64_t at = lseek64(fd, 0, SEEK_CUR);
  return pwrite64(fd, data, length, at) < 0 ? -1 : (lseek64(fd, length, SEEK_CUR), (ssize_t)length);
}

int fsync(int fd) {
  const char *name = name_of(fd);
  if (name != NULL && fails()) return -1;
  int status = real_fsync(fd);
  if (status == 0 && name != NULL) note("sync", name, 0, NULL, 0);
  return status;
}

int fdatasync(int fd) { return name_of(fd) == NULL ? real_fdatasync(fd) : fsync(fd); }

int ftruncate64(int fd, off64_t bytes) {
  const char *name = name_of(fd);
  if (name != NULL && fails()) return -1;
  int status = real_ftruncate64(fd, bytes);
  if (status == 0 && name != NULL) note("truncate", name, bytes, NULL, 0);
  return status;
}

int unlink(const char *path) {
  const char *name = below(path);
  if (name != NULL && fails()) return -1;
  int status = real_unlink(path);
  if (status == 0 && name != NULL) note("remove", name, 0, NULL, 0);
  return status;
}
