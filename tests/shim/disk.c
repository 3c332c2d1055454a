/* Watches what a process does to the files below one folder, and makes their disk slow, broken or dishonest.
 *
 * Loaded with LD_PRELOAD. The environment says what it does:
 *
 *   DISK_FOLDER    the folder whose files count; everything else passes untouched
 *   DISK_EVENTS    a file that gets one line for each write and each sync, once it is over:
 *                  <write|sync> <begin ns> <end ns> <offset> <bytes> <errno> <path>
 *                  The times are CLOCK_MONOTONIC, which all processes of a machine share. A sync's bytes are the file's
 *                  size when it began. A call in which the process was killed has the errno -1.
 *   DISK_DELAY_US  how long each sync takes longer
 *   DISK_LIES      present: syncs do nothing, leave no line, and report success
 *   DISK_FAULT     <sync|write|call>:<errno>:<part of the path>, where a call is either; armed while the file DISK_ARMED
 *                  exists; that file holds how many calls still pass. The call that fails removes it. A sync that fails has
 *                  not synced; a write that fails has written half. With errno 0 the process is killed there instead.
 *   DISK_FROM      present: calls count from the first write on that holds this text
 *
 * The system calls are made directly, so nothing here depends on the order in which libraries are loaded. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *folder, *armed, *fault_path, *from;
static int events = -1, lies, fault_errno, fault_on_sync, fault_on_write;
static long delay_us;
static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;
static long passed;
/* Whether the write with which calls begin to count has come: never taken back, set by whichever thread. */
static atomic_int begun;
/* A write that was cut in half fails when its rest comes. */
static int torn_fd = -1;

__attribute__((constructor)) static void read_environment(void) {
    folder = getenv("DISK_FOLDER");
    const char *path = getenv("DISK_EVENTS");
    if (path)
        events = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    lies = getenv("DISK_LIES") != NULL;
    if (getenv("DISK_DELAY_US"))
        delay_us = atol(getenv("DISK_DELAY_US"));
    armed = getenv("DISK_ARMED");
    from = getenv("DISK_FROM");
    begun = from == NULL;
    char *fault = getenv("DISK_FAULT");
    if (fault && armed) {
        int on_call = strncmp(fault, "call:", 5) == 0;
        fault_on_sync = on_call || strncmp(fault, "sync:", 5) == 0;
        fault_on_write = on_call || strncmp(fault, "write:", 6) == 0;
        char *rest = strchr(fault, ':') + 1;
        fault_errno = (int)strtol(rest, &rest, 10);
        fault_path = rest + 1;
    }
}

static long now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

/* The path of an open file, if it counts; that of a folder ends with a slash. */
static int counts(int fd, char *path) {
    char link[32];
    struct stat about;
    if (!folder)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 2);
    if (length <= 0 || path[0] != '/')
        return 0;
    if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode))
        path[length++] = '/';
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static void tell(const char *what, long begin, off_t offset, long bytes, int error, const char *path) {
    char line[PATH_MAX + 128];
    int length =
        snprintf(line, sizeof line, "%s %ld %ld %ld %ld %d %s\n", what, begin, now_ns(), (long)offset, bytes, error, path);
    if (events >= 0)
        syscall(SYS_write, events, line, length);
}

/* Notes for people, RocksDB's and the program's, which nothing relies on. */
static int is_chatter(const char *path) {
    const char *name = strrchr(path, '/');
    return strcmp(name, "/LOG") == 0 || strcmp(name, "/node.log") == 0;
}

/* Calls count from the first write on that holds the text. */
static void begin_with(const void *bytes, size_t count) {
    if (!begun && memmem(bytes, count, from, strlen(from)))
        begun = 1;
}

/* Whether this call is the one that fails. */
static int fails(int applies, const char *path) {
    int result = 0;
    if (!applies || !begun || !strstr(path, fault_path) || is_chatter(path))
        return 0;
    pthread_mutex_lock(&fault_lock);
    int file = syscall(SYS_openat, AT_FDCWD, armed, O_RDONLY | O_CLOEXEC, 0);
    if (file >= 0) {
        char text[32] = {0};
        if (syscall(SYS_read, file, text, sizeof text - 1) > 0 && passed++ >= atol(text)) {
            passed = 0;
            result = syscall(SYS_unlinkat, AT_FDCWD, armed, 0) == 0;
        }
        syscall(SYS_close, file);
    }
    pthread_mutex_unlock(&fault_lock);
    return result;
}

/* Dies where a failure would be told, if that is what was asked for. */
static void die_if_deadly(const char *what, long begin, off_t offset, long bytes, const char *path) {
    if (fault_errno)
        return;
    tell(what, begin, offset, bytes, -1, path);
    syscall(SYS_kill, getpid(), SIGKILL);
    /* The signal may find another thread first, and this one must not go on. */
    pause();
}

static int sync_file(long number, int fd) {
    char path[PATH_MAX];
    if (!counts(fd, path))
        return syscall(number, fd);
    if (lies)
        return 0;
    struct stat before = {0};
    long begin = now_ns();
    fstat(fd, &before);
    if (fails(fault_on_sync, path)) {
        die_if_deadly("sync", begin, 0, before.st_size, path);
        tell("sync", begin, 0, before.st_size, fault_errno, path);
        errno = fault_errno;
        return -1;
    }
    int result = syscall(number, fd);
    int error = result ? errno : 0;
    if (delay_us)
        usleep(delay_us);
    tell("sync", begin, 0, before.st_size, error, path);
    errno = error;
    return result;
}

int fdatasync(int fd) { return sync_file(SYS_fdatasync, fd); }

int fsync(int fd) { return sync_file(SYS_fsync, fd); }

/* It makes nothing durable by itself, so it leaves no line. */
int sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags) {
    char path[PATH_MAX];
    return lies && counts(fd, path) ? 0 : syscall(SYS_sync_file_range, fd, offset, bytes, flags);
}

static ssize_t refuse_write(const char *path, long begin, off_t offset) {
    die_if_deadly("write", begin, offset, 0, path);
    torn_fd = -1;
    tell("write", begin, offset, 0, fault_errno, path);
    errno = fault_errno;
    return -1;
}

/* offset < 0: where the file stands. */
static ssize_t write_file(int fd, const void *bytes, size_t count, off_t offset) {
    char path[PATH_MAX];
    int counted = counts(fd, path);
    long begin = counted ? now_ns() : 0;
    if (counted && torn_fd == fd)
        return refuse_write(path, begin, offset);
    if (counted && !is_chatter(path))
        begin_with(bytes, count);
    if (counted && fails(fault_on_write, path)) {
        torn_fd = fd;
        count /= 2;
    }
    /* Of a single byte there is no half. */
    if (counted && torn_fd == fd && count == 0)
        return refuse_write(path, begin, offset);
    ssize_t written = offset < 0 ? syscall(SYS_write, fd, bytes, count) : syscall(SYS_pwrite64, fd, bytes, count, offset);
    int error = written < 0 ? errno : 0;
    if (counted && torn_fd == fd)
        die_if_deadly("write", begin, offset, written, path);
    if (counted) {
        off_t at = offset < 0 ? syscall(SYS_lseek, fd, 0, SEEK_CUR) - (written > 0 ? written : 0) : offset;
        tell("write", begin, at, written, error, path);
    }
    errno = error;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t count) { return write_file(fd, bytes, count, -1); }

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return write_file(fd, bytes, count, offset); }

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) { return write_file(fd, bytes, count, offset); }

/* A short write is a good answer, so the first piece will do where the file counts. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    char path[PATH_MAX];
    if (!counts(fd, path))
        return syscall(SYS_writev, fd, pieces, count);
    for (int piece = 0; piece < count; piece++)
        if (pieces[piece].iov_len > 0)
            return write_file(fd, pieces[piece].iov_base, pieces[piece].iov_len, -1);
    return 0;
}
