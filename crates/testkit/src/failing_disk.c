/* A disk that fails on purpose: preloaded into a process, it stands between that process and libc's file calls.
 *
 * Only what happens below SESSILE_DISK_DIR counts: calls on a descriptor are judged by the file it is open on, calls on
 * a name by that name. What a process does by system calls of its own (none of ours changes a file that way) is not
 * seen.
 *
 *   SESSILE_DISK_DIR     an absolute path without symbolic links
 *   SESSILE_DISK_REPORT  a file of sizeof(struct report) bytes that is mapped: the counts outlive the process, and
 *                        whoever writes to it decides at which call the disk begins to fail, before or meanwhile
 *   SESSILE_DISK_MODE    eio | enospc | short (the call itself writes half; EIO after) | once (EIO, then all is well
 *                        again) | hang (no call returns while one is to fail) | read, hang-read (EIO, no call returns
 *                        while one is to fail; reads are counted instead of changes)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct report {
    _Atomic uint64_t calls;  /* counted so far */
    _Atomic uint64_t failed; /* of these, how many failed */
    _Atomic uint64_t at;     /* the number of the call that fails, from 1; 0: none does */
    char first[488];         /* the first that failed: its name and its file */
};

static struct report *report;
static char root[PATH_MAX];
static size_t root_length;
static enum { EIO_ON, ENOSPC_ON, SHORT_THEN_EIO, EIO_ONCE, HANG } mode;
static int reads; /* whether reads count, and not changes */

static ssize_t (*libc_write)(int, const void *, size_t);
static ssize_t (*libc_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*libc_read)(int, void *, size_t);

__attribute__((constructor)) static void begin(void) {
    libc_write = dlsym(RTLD_NEXT, "write");
    libc_pwrite = dlsym(RTLD_NEXT, "pwrite");
    libc_read = dlsym(RTLD_NEXT, "read");
    const char *dir = getenv("SESSILE_DISK_DIR"), *file = getenv("SESSILE_DISK_REPORT");
    const char *how = getenv("SESSILE_DISK_MODE");
    if (!dir || !file || strlen(dir) >= sizeof root) return;
    int fd = (int)open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) return;
    strcpy(root, dir);
    root_length = strlen(root);
    if (how && !strcmp(how, "enospc")) mode = ENOSPC_ON;
    if (how && !strcmp(how, "short")) mode = SHORT_THEN_EIO;
    if (how && !strcmp(how, "once")) mode = EIO_ONCE;
    if (how && !strcmp(how, "hang")) mode = HANG;
    if (how && !strcmp(how, "hang-read")) mode = HANG;
    reads = how && strstr(how, "read");
    report = mapped;
}

static int is_below(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* Where a descriptor leads; 0 if nowhere below the directory. */
static int fd_path(int fd, char *path) {
    char link[32];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    errno = saved;
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int at_path(int dir, const char *name, char *path) {
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return is_below(path);
    }
    char base[PATH_MAX];
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else if (!fd_path(dir, base)) {
        return 0;
    }
    if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    return is_below(path);
}

enum verdict { LET_PASS, FAIL, HALF };

/* Counts one call, and says what becomes of it. */
static enum verdict judge(const char *call, const char *path) {
    uint64_t number = atomic_fetch_add(&report->calls, 1) + 1;
    uint64_t fail_at = atomic_load(&report->at);
    if (!fail_at || number < fail_at || (mode == EIO_ONCE && number != fail_at)) return LET_PASS;
    atomic_fetch_add(&report->failed, 1);
    if (number == fail_at) snprintf(report->first, sizeof report->first, "%s %.400s", call, path + root_length);
    if (mode == SHORT_THEN_EIO && number == fail_at) return HALF;
    /* Whoever hangs is let go once no call is to fail any more. */
    while (mode == HANG && atomic_load(&report->at)) usleep(1000);
    if (mode == HANG) return LET_PASS;
    errno = mode == ENOSPC_ON ? ENOSPC : EIO;
    return FAIL;
}

static enum verdict change_fd(const char *call, int fd) {
    char path[PATH_MAX];
    if (!report || reads || !fd_path(fd, path)) return LET_PASS;
    return judge(call, path);
}

static enum verdict change_at(const char *call, int dir, const char *name) {
    char path[PATH_MAX];
    if (!report || reads || !at_path(dir, name, path)) return LET_PASS;
    return judge(call, path);
}

static enum verdict read_fd(const char *call, int fd) {
    char path[PATH_MAX];
    if (!report || !reads || !fd_path(fd, path)) return LET_PASS;
    return judge(call, path);
}

/* A call that cannot be done by half fails instead. */
static int fails(enum verdict verdict) {
    if (verdict == HALF) errno = EIO;
    return verdict != LET_PASS;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t size) {
    switch (change_fd("write", fd)) {
    case FAIL: return -1;
    case HALF: return libc_write(fd, bytes, size / 2);
    default: return libc_write(fd, bytes, size);
    }
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    switch (change_fd("pwrite", fd)) {
    case FAIL: return -1;
    case HALF: return libc_pwrite(fd, bytes, size / 2, offset);
    default: return libc_pwrite(fd, bytes, size, offset);
    }
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
    return pwrite(fd, bytes, size, offset);
}

/* Half of a vector is the first half of its first piece. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(writev);
    switch (change_fd("writev", fd)) {
    case FAIL: return -1;
    case HALF: return count > 0 ? libc_write(fd, pieces[0].iov_base, pieces[0].iov_len / 2) : 0;
    default: return real(fd, pieces, count);
    }
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset) {
    REAL(pwritev);
    switch (change_fd("pwritev", fd)) {
    case FAIL: return -1;
    case HALF: return count > 0 ? libc_pwrite(fd, pieces[0].iov_base, pieces[0].iov_len / 2, offset) : 0;
    default: return real(fd, pieces, count, offset);
    }
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset) {
    return pwritev(fd, pieces, count, offset);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags) {
    REAL(copy_file_range);
    return fails(change_fd("copy_file_range", out)) ? -1 : real(in, in_at, out, out_at, size, flags);
}

int fsync(int fd) {
    REAL(fsync);
    return fails(change_fd("fsync", fd)) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return fails(change_fd("fdatasync", fd)) ? -1 : real(fd);
}

int sync_file_range(int fd, off64_t from, off64_t size, unsigned flags) {
    REAL(sync_file_range);
    return fails(change_fd("sync_file_range", fd)) ? -1 : real(fd, from, size, flags);
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    return fails(change_fd("ftruncate", fd)) ? -1 : real(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    return ftruncate(fd, size);
}

int fallocate(int fd, int flags, off_t from, off_t size) {
    REAL(fallocate);
    return fails(change_fd("fallocate", fd)) ? -1 : real(fd, flags, from, size);
}

int fallocate64(int fd, int flags, off64_t from, off64_t size) {
    return fallocate(fd, flags, from, size);
}

/* This one returns its error instead of setting errno. */
int posix_fallocate(int fd, off_t from, off_t size) {
    REAL(posix_fallocate);
    return fails(change_fd("posix_fallocate", fd)) ? errno : real(fd, from, size);
}

int posix_fallocate64(int fd, off64_t from, off64_t size) {
    return posix_fallocate(fd, from, size);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return fails(change_at("rename", AT_FDCWD, from)) ? -1 : real(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    REAL(renameat);
    return fails(change_at("renameat", from_dir, from)) ? -1 : real(from_dir, from, to_dir, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    REAL(renameat2);
    return fails(change_at("renameat2", from_dir, from)) ? -1 : real(from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to) {
    REAL(link);
    return fails(change_at("link", AT_FDCWD, to)) ? -1 : real(from, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    REAL(linkat);
    return fails(change_at("linkat", to_dir, to)) ? -1 : real(from_dir, from, to_dir, to, flags);
}

int unlink(const char *path) {
    REAL(unlink);
    return fails(change_at("unlink", AT_FDCWD, path)) ? -1 : real(path);
}

int unlinkat(int dir, const char *path, int flags) {
    REAL(unlinkat);
    return fails(change_at("unlinkat", dir, path)) ? -1 : real(dir, path, flags);
}

int rmdir(const char *path) {
    REAL(rmdir);
    return fails(change_at("rmdir", AT_FDCWD, path)) ? -1 : real(path);
}

int mkdir(const char *path, mode_t permissions) {
    REAL(mkdir);
    return fails(change_at("mkdir", AT_FDCWD, path)) ? -1 : real(path, permissions);
}

int mkdirat(int dir, const char *path, mode_t permissions) {
    REAL(mkdirat);
    return fails(change_at("mkdirat", dir, path)) ? -1 : real(dir, path, permissions);
}

static int open_at(const char *call, int dir, const char *path, int flags, mode_t permissions) {
    static int (*real)(int, const char *, int, ...);
    if (!real) real = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");
    int changes = flags & (O_CREAT | O_TRUNC);
    if (changes && fails(change_at(call, dir, path))) return -1;
    return real(dir, path, flags, permissions);
}

/* The permissions are there only if a file may be made. */
#define PERMISSIONS(flags) \
    mode_t permissions = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        permissions = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    PERMISSIONS(flags)
    return open_at("open", AT_FDCWD, path, flags, permissions);
}

int open64(const char *path, int flags, ...) {
    PERMISSIONS(flags)
    return open_at("open", AT_FDCWD, path, flags | O_LARGEFILE, permissions);
}

int openat(int dir, const char *path, int flags, ...) {
    PERMISSIONS(flags)
    return open_at("openat", dir, path, flags, permissions);
}

int openat64(int dir, const char *path, int flags, ...) {
    PERMISSIONS(flags)
    return open_at("openat", dir, path, flags | O_LARGEFILE, permissions);
}

ssize_t read(int fd, void *bytes, size_t size) {
    return fails(read_fd("read", fd)) ? -1 : libc_read(fd, bytes, size);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset) {
    REAL(pread);
    return fails(read_fd("pread", fd)) ? -1 : real(fd, bytes, size, offset);
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t offset) {
    return pread(fd, bytes, size, offset);
}

ssize_t readv(int fd, const struct iovec *pieces, int count) {
    REAL(readv);
    return fails(read_fd("readv", fd)) ? -1 : real(fd, pieces, count);
}

ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t offset) {
    REAL(preadv);
    return fails(read_fd("preadv", fd)) ? -1 : real(fd, pieces, count, offset);
}

ssize_t preadv64(int fd, const struct iovec *pieces, int count, off64_t offset) {
    return preadv(fd, pieces, count, offset);
}
