/* The packet sink of rtpengine's kernel module, /proc/rtpengine, in user space: where no module can be loaded, rtpengine
 * (recording-method=proc) and rtpengine-recording run unchanged with this library preloaded.
 *
 * rtpengine hands each packet of a recorded call to the sink, and the recorder reads it there. Here every recorded stream
 * is a FIFO in packet mode, so that one write is one read, as in the module: SINK_DIR/CALL/STREAM. Nothing else of the
 * module is here; what asks to forward packets is refused, and rtpengine does that itself.
 *
 * gcc -shared -fPIC -I FOLDER_OF_XT_RTPENGINE_H, from the very version of rtpengine that is run. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "xt_RTPENGINE.h"

#define MODULE "/proc/rtpengine/"
#define MOST_CALLS 256
#define MOST_STREAMS 2048
#define PIPE_BYTES (1 << 20) /* 256 packets; the module's 10 are lost on a busy machine */

typedef int open_fn(const char *, int, ...);
typedef ssize_t read_fn(int, void *, size_t);
typedef ssize_t write_fn(int, const void *, size_t);

static open_fn *libc_open;
static read_fn *libc_read;
static write_fn *libc_write;

/* Index 0 of both stays unused: rtpengine's "none". */
static char calls[MOST_CALLS][256];
static struct stream { int writer; unsigned call; char name[256]; } streams[MOST_STREAMS];

static pthread_mutex_t tables = PTHREAD_MUTEX_INITIALIZER;
static int control = -1; /* the descriptor that messages of the daemon are written to */

__attribute__((constructor)) static void begin(void) {
  libc_open = (open_fn *) dlsym(RTLD_NEXT, "open");
  libc_read = (read_fn *) dlsym(RTLD_NEXT, "read");
  libc_write = (write_fn *) dlsym(RTLD_NEXT, "write");
}

static void in_sink(char path[PATH_MAX], const char *call, const char *stream) {
  const char *folder = getenv("SINK_DIR");
  snprintf(path, PATH_MAX, "%s/%s%s%s", folder ? folder : "/tmp", call, *stream ? "/" : "", stream);
}

static int add_call(struct rtpengine_call_info *asked) {
  char path[PATH_MAX];
  unsigned index = 1;
  while (index < MOST_CALLS && *calls[index]) index++;
  if (index == MOST_CALLS) return ENOSPC;
  snprintf(calls[index], sizeof calls[index], "%s", asked->call_id);
  in_sink(path, calls[index], "");
  if (mkdir(path, 0700) && errno != EEXIST) return errno;
  asked->call_idx = index;
  return 0;
}

static int add_stream(struct rtpengine_stream_info *asked) {
  char path[PATH_MAX];
  unsigned index = 1;
  if (asked->call_idx >= MOST_CALLS || !*calls[asked->call_idx]) return ENOENT;
  while (index < MOST_STREAMS && streams[index].writer) index++;
  if (index == MOST_STREAMS) return ENOSPC;
  struct stream *fresh = &streams[index];
  fresh->call = asked->call_idx;
  snprintf(fresh->name, sizeof fresh->name, "%s", asked->stream_name);
  in_sink(path, calls[fresh->call], fresh->name);
  unlink(path);
  if (mkfifo(path, 0600)) return errno;
  /* Open for reading as well, so that nobody waits for the recorder. Packet mode: fcntl(2) sets it, open(2) will not. */
  int writer = libc_open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (writer < 0) return errno;
  if (fcntl(writer, F_SETFL, O_NONBLOCK | O_DIRECT)) { close(writer); return errno; }
  fcntl(writer, F_SETPIPE_SZ, PIPE_BYTES);
  fresh->writer = writer;
  asked->stream_idx = index;
  return 0;
}

static int end_stream(unsigned index) {
  char path[PATH_MAX];
  if (index >= MOST_STREAMS || !streams[index].writer) return ENOENT;
  in_sink(path, calls[streams[index].call], streams[index].name);
  unlink(path);
  close(streams[index].writer); /* the end of the file, for the recorder */
  streams[index].writer = 0;
  return 0;
}

static int end_call(unsigned index) {
  char path[PATH_MAX];
  if (index >= MOST_CALLS || !*calls[index]) return ENOENT;
  for (unsigned i = 1; i < MOST_STREAMS; i++)
    if (streams[i].writer && streams[i].call == index) end_stream(i);
  in_sink(path, calls[index], "");
  rmdir(path);
  *calls[index] = 0;
  return 0;
}

static int pass_packet(const struct rtpengine_message *message, size_t bytes) {
  unsigned index = message->u.packet.stream_idx;
  if (index >= MOST_STREAMS || !streams[index].writer) return ENOENT;
  /* A full pipe loses the packet, as the module does. */
  if (libc_write(streams[index].writer, message->data, bytes) < 0)
    dprintf(STDERR_FILENO, "procsink: packet lost, errno %d\n", errno);
  return 0;
}

static int obey(struct rtpengine_message *message, size_t bytes) {
  switch (message->cmd) {
    case REMG_NOOP: /* the daemon asks whether both mean the same by a message */
      return message->u.noop.size == sizeof *message && message->u.noop.last_cmd == __REMG_LAST ? 0 : EMSGSIZE;
    case REMG_ADD_CALL: return add_call(&message->u.call);
    case REMG_DEL_CALL: return end_call(message->u.call.call_idx);
    case REMG_ADD_STREAM: return add_stream(&message->u.stream);
    case REMG_DEL_STREAM: return end_stream(message->u.stream.stream_idx);
    case REMG_PACKET: return pass_packet(message, bytes - sizeof *message);
    case REMG_DEL_TARGET: case REMG_GET_STATS: case REMG_GET_RESET_STATS: return 0;
    default: return EOPNOTSUPP;
  }
}

static ssize_t take_message(void *buffer, size_t bytes) {
  if (bytes < sizeof(struct rtpengine_message)) { errno = EIO; return -1; }
  pthread_mutex_lock(&tables);
  int failed = obey(buffer, bytes); /* the module answers in the same memory */
  pthread_mutex_unlock(&tables);
  if (failed) { errno = failed; return -1; }
  return (ssize_t) bytes;
}

int open(const char *path, int flags, ...) {
  va_list more;
  char fifo[PATH_MAX];
  va_start(more, flags);
  int mode = va_arg(more, int);
  va_end(more);
  if (strncmp(path, MODULE, strlen(MODULE))) return libc_open(path, flags, mode);
  const char *call = strstr(path, "/calls/");
  if (call) { /* the recorder reads a stream */
    in_sink(fifo, call + strlen("/calls/"), "");
    return libc_open(fifo, flags, mode);
  }
  const char *name = strrchr(path, '/') + 1;
  if (strcmp(name, "control")) { errno = ENOENT; return -1; }
  int handle = libc_open("/dev/null", O_RDWR | O_CLOEXEC);
  if (name != path + strlen(MODULE)) control = handle; /* of a table; the module's own only makes and removes tables */
  return handle;
}

ssize_t read(int handle, void *buffer, size_t bytes) {
  if (handle >= 0 && handle == control) return take_message(buffer, bytes);
  return libc_read(handle, buffer, bytes);
}

ssize_t write(int handle, const void *buffer, size_t bytes) {
  if (handle >= 0 && handle == control) return take_message((void *) buffer, bytes);
  return libc_write(handle, buffer, bytes);
}
