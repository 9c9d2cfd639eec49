// Writes down what a program does to an outbox, in its order: preloaded, beside SQLite, which knows nothing of it.
//
// A record is op (1 byte), file (1 byte), offset and length (8 bytes each, little-endian), then so many bytes. Ops: w a
// write, t a truncation to `offset`, s a sync, u the file is gone. Files: d the outbox, l its WAL, a what was acknowledged.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char files[1024];
static int tape = -1;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static char file_of(const char *path) {
  size_t length = strlen(path);
  if (length > 7 && !strcmp(path + length - 7, ".outbox")) return 'd';
  if (length > 11 && !strcmp(path + length - 11, ".outbox-wal")) return 'l';
  if (length > 5 && !strcmp(path + length - 5, ".acks")) return 'a';
  return 0;
}

static void record(char op, char file, int64_t offset, int64_t length, const void *bytes) {
  static ssize_t (*real_write)(int, const void *, size_t);
  if (!real_write) real_write = real("write");
  if (tape < 0) {
    int (*real_open)(const char *, int, ...) = real("open");
    tape = real_open(getenv("TAPE"), O_WRONLY | O_CREAT | O_APPEND, 0600);
  }
  char head[18] = {op, file};
  memcpy(head + 2, &offset, 8);
  memcpy(head + 10, &length, 8);
  if (real_write(tape, head, 18) != 18 || (length && real_write(tape, bytes, length) != length)) abort();
}

static int opened(const char *path, int fd) {
  if (fd >= 0 && fd < 1024) files[fd] = file_of(path);
  return fd;
}

#define OPEN(name)                                            \
  int name(const char *path, int flags, ...) {                \
    va_list more;                                             \
    va_start(more, flags);                                    \
    mode_t mode = va_arg(more, mode_t);                       \
    va_end(more);                                             \
    int (*next)(const char *, int, ...) = real(#name);        \
    return opened(path, next(path, flags, mode));             \
  }
OPEN(open)
OPEN(open64)

#define PWRITE(name, kind)                                                    \
  ssize_t name(int fd, const void *bytes, size_t length, kind offset) {       \
    ssize_t (*next)(int, const void *, size_t, kind) = real(#name);           \
    pthread_mutex_lock(&turn);                                                \
    ssize_t done = next(fd, bytes, length, offset);                           \
    if (done > 0 && fd < 1024 && files[fd]) record('w', files[fd], offset, done, bytes); \
    pthread_mutex_unlock(&turn);                                              \
    return done;                                                              \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *bytes, size_t length) {
  ssize_t (*next)(int, const void *, size_t) = real("write");
  pthread_mutex_lock(&turn);
  ssize_t done = next(fd, bytes, length);
  if (done > 0 && fd >= 0 && fd < 1024 && files[fd]) record('w', files[fd], -1, done, bytes);
  pthread_mutex_unlock(&turn);
  return done;
}

#define TRUNCATE(name, kind)                                       \
  int name(int fd, kind length) {                                  \
    int (*next)(int, kind) = real(#name);                          \
    pthread_mutex_lock(&turn);                                     \
    int done = next(fd, length);                                   \
    if (!done && fd < 1024 && files[fd]) record('t', files[fd], length, 0, 0); \
    pthread_mutex_unlock(&turn);                                   \
    return done;                                                   \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                           \
  int name(int fd) {                                         \
    int (*next)(int) = real(#name);                          \
    pthread_mutex_lock(&turn);                               \
    int done = next(fd);                                     \
    if (!done && fd < 1024 && files[fd]) record('s', files[fd], 0, 0, 0); \
    pthread_mutex_unlock(&turn);                             \
    return done;                                             \
  }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
  int (*next)(const char *) = real("unlink");
  pthread_mutex_lock(&turn);
  int done = next(path);
  if (!done && file_of(path)) record('u', file_of(path), 0, 0, 0);
  pthread_mutex_unlock(&turn);
  return done;
}
