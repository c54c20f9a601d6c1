/* Rotations beside the supervisor. See rotate-watch.h. */
#include "supervisor/rotate-watch.h"

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "rotate/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define ASK ".ask"

/* What is asked of one source. */
typedef struct Asked {
    uint64_t number; /* 0: nothing is */
    AgentWord word;
    bool held; /* its requests were told to wait */
} Asked;

struct RotateWatch {
    const State *state;
    const Config *config;
    KeeperLink *keeper;
    int dir_fd, fd;
    struct event *event;
    Asked *asked; /* one per source */
};

static void say(const RotateWatch *watch, uint32_t source, AgentWord word)
{
    char text[AGENT_LINE + 1], name[300];
    agent_line_put(&(AgentLine){watch->asked[source].number, word}, text);
    snprintf(name, sizeof(name), "%s.said", watch->config->source[source].name);
    int r = io_replace(watch->dir_fd, name, (Slice){text, AGENT_LINE}, 0600);
    if (r)
        log_warning("%s cannot be written: %s; the rotation goes on without.", name, strerror(-r));
}

static int tell_keeper(RotateWatch *watch, uint32_t source, uint16_t type)
{
    unsigned char room[8];
    WireWriter wire = WIRE_WRITER(room);
    Fault fault;
    wire_put_u32(&wire, source);
    int r = role_send_wire(&watch->keeper->role, type, &wire, NULL, 0, &fault);
    if (r)
        log_warning("%s", fault.text);
    return r;
}

static void release(RotateWatch *watch, uint32_t source)
{
    Asked *asked = &watch->asked[source];
    if (asked->held && tell_keeper(watch, source, IPC_KEEPER_GO_ON) == 0)
        log_info("%s: its requests go on.", watch->config->source[source].name);
    *asked = (Asked){0};
}

/* Whether somebody lives who has asked. */
static bool is_locked(int fd)
{
    bool locked = flock(fd, LOCK_SH | LOCK_NB) < 0;
    if (!locked)
        flock(fd, LOCK_UN);
    return locked;
}

static void carry_out(RotateWatch *watch, uint32_t source, const AgentLine *line)
{
    static const uint16_t type[] = {IPC_KEEPER_HOLD, IPC_KEEPER_READ, IPC_KEEPER_GO_ON};
    Asked *asked = &watch->asked[source];
    if (line->word > AGENT_GO_ON || line->number == asked->number)
        return;
    asked->number = line->number;
    asked->word = line->word;
    asked->held |= line->word == AGENT_HOLD;
    say(watch, source, AGENT_SAYS_HEARD);
    if (line->word == AGENT_HOLD)
        log_info("%s: its token is being replaced; its requests wait for that.",
                 watch->config->source[source].name);
    if (tell_keeper(watch, source, type[line->word]) != 0) {
        say(watch, source, AGENT_SAYS_FAILED);
    } else if (line->word == AGENT_GO_ON) {
        asked->held = false;
        say(watch, source, AGENT_SAYS_DONE);
    }
}

static void look_at(RotateWatch *watch, uint32_t source, const char *name)
{
    char text[AGENT_LINE];
    AgentLine line;
    struct stat status;
    CLEANUP_FD int fd = openat(watch->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        !is_locked(fd)) {
        release(watch, source);
        return;
    }
    ssize_t n = pread(fd, text, sizeof(text), 0);
    if (n > 0 && agent_line_get((Slice){text, (size_t)n}, &line) == 0)
        carry_out(watch, source, &line);
}

static void look(RotateWatch *watch, const char *name)
{
    size_t len = strlen(name), end = strlen(ASK);
    if (len <= end || strcmp(name + len - end, ASK) != 0)
        return;
    CLEANUP_MEM char *source = mem_dup(name, len - end);
    int32_t index = config_find_source(watch->config, source);
    if (index >= 0)
        look_at(watch, (uint32_t)index, name);
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
    RotateWatch *watch = context;
    char room[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;
    (void)what;
    while ((n = read(fd, room, sizeof(room))) > 0)
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)(room + at);
            at += (ssize_t)(sizeof(*event) + event->len);
            if (event->len)
                look(watch, event->name);
        }
}

/* One that began before this purser did. */
static void look_at_all(RotateWatch *watch)
{
    DIR *dir = fdopendir(openat(watch->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        look(watch, entry->d_name);
    closedir(dir);
}

static int open_all(RotateWatch *watch)
{
    CLEANUP_MEM char *path = mem_printf("%s/rotate", watch->state->path);
    if (mkdirat(watch->state->fd, "rotate", 0700) < 0 && errno != EEXIST)
        return -errno;
    watch->dir_fd = openat(watch->state->fd, "rotate", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    bool watches = watch->dir_fd >= 0 && watch->fd >= 0 &&
                   inotify_add_watch(watch->fd, path, IN_MODIFY | IN_CLOSE_WRITE) >= 0;
    return watches ? 0 : -errno;
}

RotateWatch *rotate_watch_new(struct event_base *base, const State *state, const Config *config,
                              KeeperLink *keeper)
{
    RotateWatch *watch = MEM_NEW(RotateWatch);
    *watch = (RotateWatch){.state = state, .config = config, .keeper = keeper, .dir_fd = -1, .fd = -1};
    watch->asked = MEM_NEW_ARRAY(Asked, config->n_source ? config->n_source : 1);
    int r = open_all(watch);
    if (r) {
        log_warning("Rotations beside this purser cannot be heard: %s. They wait longer.", strerror(-r));
        return rotate_watch_free(watch);
    }
    watch->event = event_new(base, watch->fd, EV_READ | EV_PERSIST, on_event, watch);
    event_add(watch->event, NULL);
    look_at_all(watch);
    return watch;
}

RotateWatch *rotate_watch_free(RotateWatch *watch)
{
    if (!watch)
        return NULL;
    if (watch->event)
        event_free(watch->event);
    fd_close(&watch->dir_fd);
    fd_close(&watch->fd);
    mem_free(watch->asked);
    mem_free(watch);
    return NULL;
}

int rotate_watch_answer(RotateWatch *watch, const IpcRecord *record)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    uint32_t source = wire_get_u32(&wire);
    bool well = wire_get_bool(&wire);
    if (wire_finish(&wire) || !watch || source >= watch->config->n_source)
        return -EPROTO;
    const Asked *asked = &watch->asked[source];
    bool answers =
        asked->number && asked->word == (record->type == IPC_KEEPER_HELD ? AGENT_HOLD : AGENT_READ);
    if (answers)
        say(watch, source, well ? AGENT_SAYS_DONE : AGENT_SAYS_FAILED);
    return 0;
}
