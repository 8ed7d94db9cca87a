/* Preloaded into a process, kills it at its n-th file operation under a folder: a write is done by
   half, anything else not at all. Covers what TensorFlow and Python ask of libc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long fatal, count;

void kill_at(const char *path, long number) {
  fatal = number;
  count = 0;
  strncpy(folder, path, sizeof folder - 1);
}

long operations(void) { return count; }

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static int inside(const char *path) {
  return folder[0] && path && !strncmp(path, folder, strlen(folder));
}

static int inside_fd(int fd) {
  char link[64], path[PATH_MAX];
  if (!folder[0]) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return inside(path);
}

static int inside_at(int fd, const char *path) {
  return path && path[0] == '/' ? inside(path) : inside_fd(fd);
}

static int is_fatal(int is_inside) {
  return is_inside && __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) == fatal;
}

#define REAL(name) __typeof__(name) *real = dlsym(RTLD_NEXT, #name)

#define WRAP(result, name, parameters, arguments, is_inside) \
  result name parameters {                                   \
    REAL(name);                                              \
    if (is_fatal(is_inside)) die();                          \
    return real arguments;                                   \
  }

WRAP(int, rename, (const char *a, const char *b), (a, b), inside(a))
WRAP(int, renameat, (int d, const char *a, int e, const char *b), (d, a, e, b), inside_at(d, a))
WRAP(int, unlink, (const char *a), (a), inside(a))
WRAP(int, unlinkat, (int d, const char *a, int f), (d, a, f), inside_at(d, a))
WRAP(int, mkdir, (const char *a, mode_t m), (a, m), inside(a))
WRAP(int, mkdirat, (int d, const char *a, mode_t m), (d, a, m), inside_at(d, a))
WRAP(int, rmdir, (const char *a), (a), inside(a))
WRAP(int, fsync, (int f), (f), inside_fd(f))
WRAP(int, fdatasync, (int f), (f), inside_fd(f))
WRAP(int, truncate, (const char *a, off_t n), (a, n), inside(a))
WRAP(int, truncate64, (const char *a, off64_t n), (a, n), inside(a))
WRAP(int, ftruncate, (int f, off_t n), (f, n), inside_fd(f))
WRAP(int, ftruncate64, (int f, off64_t n), (f, n), inside_fd(f))
WRAP(FILE *, fopen, (const char *a, const char *m), (a, m), !strchr(m, 'r') && inside(a))
WRAP(FILE *, fopen64, (const char *a, const char *m), (a, m), !strchr(m, 'r') && inside(a))
WRAP(int, fflush, (FILE *f), (f), f && inside_fd(fileno(f)))
WRAP(int, fclose, (FILE *f), (f), inside_fd(fileno(f)))

#define OPEN(name)                                                              \
  int name(const char *path, int flags, ...) {                                  \
    REAL(name);                                                                 \
    va_list more;                                                               \
    va_start(more, flags);                                                      \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;     \
    va_end(more);                                                               \
    if (is_fatal((flags & (O_WRONLY | O_RDWR | O_CREAT)) && inside(path))) die(); \
    return real(path, flags, mode);                                             \
  }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  if (is_fatal(inside_fd(fd))) {
    real(fd, data, size / 2);
    die();
  }
  return real(fd, data, size);
}

size_t fwrite(const void *data, size_t size, size_t number, FILE *file) {
  REAL(fwrite);
  if (is_fatal(inside_fd(fileno(file)))) {
    real(data, 1, size * number / 2, file);
    int (*flush)(FILE *) = dlsym(RTLD_NEXT, "fflush");
    flush(file);
    die();
  }
  return real(data, size, number, file);
}
