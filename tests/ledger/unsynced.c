// A disk that loses what was not synced. Preloaded into a process, it keeps beside one folder what a power failure
// would leave of it: the content of each file as of its last fsync, and the folder's names as of the folder's own.
//
//   UNSYNCED_FOLDER   the folder, an absolute path without links; files right inside it are watched
//   UNSYNCED_SHADOW   where to keep data/INODE (synced content), hold/INODE (a link, so that no inode number is
//                     used twice) and names (lines "INODE NAME")
//
// Nothing is synced for real. fsync and fdatasync are all that is replaced: names and content are taken by inode, so
// renames, unlinks and ways of opening need no watching.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kPath = 4096 };

static void fail(const char* what) {
  perror(what);
  _exit(97);
}

static int open_or_fail(const char* path, int flags) {
  int fd = open(path, flags | O_CLOEXEC, 0600);
  if (fd < 0) fail(path);
  return fd;
}

static void copy(int from, const char* path) {
  char scratch[kPath + 16], buffer[1 << 16];
  snprintf(scratch, sizeof scratch, "%s.%d", path, (int)getpid());
  int to = open_or_fail(scratch, O_WRONLY | O_CREAT | O_TRUNC);
  ssize_t count;
  while ((count = read(from, buffer, sizeof buffer)) > 0)
    if (write(to, buffer, (size_t)count) != count) fail(scratch);
  if (count < 0) fail("read");
  close(to);
  if (rename(scratch, path) != 0) fail(path);
}

static void hold(const char* shadow, const char* path, ino_t inode) {
  char kept[kPath];
  snprintf(kept, sizeof kept, "%s/hold/%lu", shadow, (unsigned long)inode);
  (void)!link(path, kept);  // there already, or the file has no name any more
}

static void keep_content(const char* shadow, const char* path, ino_t inode) {
  char target[kPath];
  int from = open(path, O_RDONLY | O_CLOEXEC);
  if (from < 0) return;  // unlinked: no name can lead to it
  hold(shadow, path, inode);
  snprintf(target, sizeof target, "%s/data/%lu", shadow, (unsigned long)inode);
  copy(from, target);
  close(from);
}

static void keep_names(const char* shadow, const char* folder) {
  char path[kPath], scratch[kPath];
  snprintf(scratch, sizeof scratch, "%s/names.%d", shadow, (int)getpid());
  FILE* names = fopen(scratch, "w");
  DIR* entries = opendir(folder);
  if (names == NULL || entries == NULL) fail(folder);
  struct dirent* entry;
  struct stat status;
  while ((entry = readdir(entries)) != NULL) {
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode)) continue;
    hold(shadow, path, status.st_ino);
    fprintf(names, "%lu %s\n", (unsigned long)status.st_ino, entry->d_name);
  }
  closedir(entries);
  fclose(names);
  snprintf(path, sizeof path, "%s/names", shadow);
  if (rename(scratch, path) != 0) fail(path);
}

static void keep(int fd) {
  const char *folder = getenv("UNSYNCED_FOLDER"), *shadow = getenv("UNSYNCED_SHADOW");
  if (folder == NULL || shadow == NULL) fail("unsynced: no folder");
  char link[64], path[kPath], lock[kPath];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  struct stat status;
  if (length < 0 || fstat(fd, &status) != 0) return;
  path[length] = 0;
  size_t prefix = strlen(folder);
  if (strncmp(path, folder, prefix) != 0 || (path[prefix] != 0 && path[prefix] != '/')) return;
  snprintf(lock, sizeof lock, "%s/lock", shadow);
  int locked = open_or_fail(lock, O_RDWR | O_CREAT);
  if (flock(locked, LOCK_EX) != 0) fail(lock);
  if (S_ISDIR(status.st_mode)) keep_names(shadow, folder);
  if (S_ISREG(status.st_mode)) keep_content(shadow, path, status.st_ino);
  close(locked);
}

int fsync(int fd) {
  keep(fd);
  return 0;
}

int fdatasync(int fd) {
  keep(fd);
  return 0;
}
