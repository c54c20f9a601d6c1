/* The load generator of the benchmarks: keep-alive HTTP/1.1 GETs over a unix socket, TCP, or TLS through
 * CONNECT, one thread a connection, each waiting for its answer before it asks again. Both purser and the
 * peer are driven by it: as a retriever of a run (purser), or on its own (peer).
 *
 *   load SPEC...        SPEC is TRANSPORT:CONNECTIONS:REQUESTS, TRANSPORT unix, tcp or proxy
 *
 * Each SIGUSR1 runs the next SPEC and prints one line, and a last one ends it; without LOAD_WAIT in the
 * environment all run at once. The line: "load SPEC seconds=S p50=US p99=US failed=N first=NS", where first
 * is the monotonic time of the first answer. "ready" comes first. Where to go stands in the environment:
 *   LOAD_UNIX (or PURSER_SOCKET)      path of the unix socket
 *   LOAD_TCP (or BENCH_API_URL)       http://ADDRESS:PORT[/base]
 *   LOAD_PROXY (or HTTPS_PROXY)       http://[user:password@]ADDRESS:PORT, and SSL_CERT_FILE what to verify
 * with LOAD_HOST                         host name behind the proxy LOAD_BASE, LOAD_PATH              what
 * precedes the path on unix ("/bench"); the path BENCH_TOKEN                       sent as a bearer token
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

typedef struct Link {
    int fd;
    SSL *tls; /* NULL: plain */
    char in[65536];
    size_t have;
} Link;

typedef struct Job {
    const char *transport;
    char request[4096];
    size_t request_len;
    long requests;
    atomic_long next;
    atomic_long failed;
    uint32_t *us; /* one latency a request */
    _Atomic int64_t first;
} Job;

static SSL_CTX *tls_context;

static int64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static const char *setting(const char *name, const char *other)
{
    const char *value = getenv(name);
    return value || !other ? value : getenv(other);
}

static ssize_t link_read(Link *link, char *to, size_t room)
{
    return link->tls ? SSL_read(link->tls, to, (int)room) : read(link->fd, to, room);
}

static bool link_write(Link *link, const char *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = link->tls ? SSL_write(link->tls, bytes + done, (int)(len - done))
                              : write(link->fd, bytes + done, len - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* Reads one answer; true when it is whole and its status is `status`. An answer to CONNECT has no body. */
static bool read_answer(Link *link, const char *status, bool body)
{
    char *end = NULL;
    link->have = 0;
    while (!end) {
        if (link->have == sizeof(link->in) - 1)
            return false;
        ssize_t n = link_read(link, link->in + link->have, sizeof(link->in) - 1 - link->have);
        if (n <= 0)
            return false;
        link->have += (size_t)n;
        link->in[link->have] = 0;
        end = strstr(link->in, "\r\n\r\n");
    }
    bool good = strncmp(link->in + strlen("HTTP/1.1 "), status, 3) == 0;
    char *length = strcasestr(link->in, "\r\nContent-Length:");
    if (!body)
        return good;
    if (!length || length > end)
        return false;
    size_t left = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
    size_t got = link->have - (size_t)(end + 4 - link->in);
    while (got < left) {
        ssize_t n = link_read(link, link->in, sizeof(link->in) - 1);
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return good;
}

static int dial_unix(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* "http://[user:password@]127.0.0.1:1234/..." */
static int dial_url(const char *url)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    const char *at = strchr(url, '@');
    at = at ? at + 1 : url + strlen("http://");
    if (sscanf(at, "%63[0-9.]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &to.sin_addr) != 1) {
        errno = EINVAL;
        die(url);
    }
    to.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        return fd;
    }
    close(fd);
    return -1;
}

static bool open_tunnel(Link *link, const char *proxy, const char *host)
{
    char head[1024], userinfo[256], basic[512] = "";
    if (sscanf(proxy, "http://%255[^@/]@", userinfo) == 1 && strchr(proxy, '@')) {
        char text[400];
        EVP_EncodeBlock((unsigned char *)text, (unsigned char *)userinfo, (int)strlen(userinfo));
        snprintf(basic, sizeof(basic), "Proxy-Authorization: Basic %s\r\n", text);
    }
    int n =
        snprintf(head, sizeof(head), "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n%s\r\n", host, host, basic);
    if (!link_write(link, head, (size_t)n) || !read_answer(link, "200", false))
        return false;
    link->tls = SSL_new(tls_context);
    SSL_set_fd(link->tls, link->fd);
    SSL_set_tlsext_host_name(link->tls, host);
    SSL_set1_host(link->tls, host);
    return SSL_connect(link->tls) == 1;
}

static bool link_open(Link *link, const char *transport)
{
    link->tls = NULL;
    if (strcmp(transport, "unix") == 0)
        link->fd = dial_unix(setting("LOAD_UNIX", "PURSER_SOCKET"));
    else if (strcmp(transport, "tcp") == 0)
        link->fd = dial_url(setting("LOAD_TCP", "BENCH_API_URL"));
    else
        link->fd = dial_url(setting("LOAD_PROXY", "HTTPS_PROXY"));
    if (link->fd < 0)
        return false;
    const struct timeval patience = {.tv_sec = 20};
    setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return strcmp(transport, "proxy") != 0 ||
           open_tunnel(link, setting("LOAD_PROXY", "HTTPS_PROXY"), setting("LOAD_HOST", NULL));
}

static void link_close(Link *link)
{
    SSL_free(link->tls);
    link->tls = NULL;
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}

static void *drive(void *context)
{
    Job *job = context;
    Link *link = calloc(1, sizeof(*link));
    if (!link)
        die("memory");
    link->fd = -1;
    for (long at; (at = atomic_fetch_add(&job->next, 1)) < job->requests;) {
        int64_t began = now_ns(), zero = 0;
        bool good = (link->fd >= 0 || link_open(link, job->transport)) &&
                    link_write(link, job->request, job->request_len) && read_answer(link, "200", true);
        int64_t ended = now_ns();
        job->us[at] = (uint32_t)((ended - began) / 1000);
        if (!good) {
            if (atomic_fetch_add(&job->failed, 1) == 0)
                fprintf(stderr, "load: the first answer that was none: %.*s\n", (int)link->have, link->in);
            link_close(link);
            if (atomic_load(&job->failed) > 5) /* each may have waited 20 s, and one is too many already */
                break;
            continue;
        }
        atomic_compare_exchange_strong(&job->first, &zero, ended);
    }
    link_close(link);
    free(link);
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void make_request(Job *job)
{
    const char *token = setting("BENCH_TOKEN", NULL), *path = setting("LOAD_PATH", NULL), *base = "";
    const char *host = "localhost";
    if (strcmp(job->transport, "unix") == 0) {
        base = setting("LOAD_BASE", NULL);
    } else if (strcmp(job->transport, "tcp") == 0) {
        const char *slash = strchr(setting("LOAD_TCP", "BENCH_API_URL") + strlen("http://"), '/');
        base = slash;
    } else {
        host = setting("LOAD_HOST", NULL);
    }
    int n = snprintf(job->request, sizeof(job->request),
                     "GET %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nUser-Agent: load\r\n"
                     "Accept: application/json\r\n\r\n",
                     base ? base : "", path ? path : "/", host, token ? token : "none");
    if (n < 0 || (size_t)n >= sizeof(job->request)) {
        errno = EMSGSIZE;
        die("request");
    }
    job->request_len = (size_t)n;
}

static void run_spec(const char *spec)
{
    Job job = {0};
    char transport[16];
    int connections;
    if (sscanf(spec, "%15[a-z]:%d:%ld", transport, &connections, &job.requests) != 3 || connections < 1 ||
        connections > 1024 || job.requests < 1) {
        errno = EINVAL;
        die(spec);
    }
    job.transport = transport;
    job.us = calloc((size_t)job.requests, sizeof(*job.us));
    pthread_t *thread = calloc((size_t)connections, sizeof(*thread));
    if (!job.us || !thread)
        die("memory");
    make_request(&job);
    int64_t began = now_ns();
    for (int i = 0; i < connections; i++)
        if (pthread_create(&thread[i], NULL, drive, &job))
            die("thread");
    for (int i = 0; i < connections; i++)
        pthread_join(thread[i], NULL);
    double seconds = (double)(now_ns() - began) / 1e9;
    qsort(job.us, (size_t)job.requests, sizeof(*job.us), by_size);
    printf("load %s seconds=%.6f p50=%u p99=%u failed=%ld first=%lld\n", spec, seconds,
           job.us[job.requests / 2], job.us[job.requests * 99 / 100], atomic_load(&job.failed),
           (long long)atomic_load(&job.first));
    free(job.us);
    free(thread);
}

static void set_up_tls(void)
{
    tls_context = SSL_CTX_new(TLS_client_method());
    const char *roots = getenv("SSL_CERT_FILE");
    SSL_CTX_set_verify(tls_context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(tls_context, TLS1_3_VERSION);
    if (roots && SSL_CTX_load_verify_locations(tls_context, roots, NULL) != 1)
        die(roots);
}

int main(int argc, char **argv)
{
    sigset_t go;
    int ignored;
    bool wait = getenv("LOAD_WAIT");
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    sigprocmask(SIG_BLOCK, &go, NULL);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc && !tls_context; i++)
        if (strncmp(argv[i], "proxy:", strlen("proxy:")) == 0)
            set_up_tls();
    if (wait)
        printf("ready\n");
    for (int i = 1; i < argc; i++) {
        if (wait)
            sigwait(&go, &ignored);
        run_spec(argv[i]);
    }
    if (wait)
        sigwait(&go, &ignored);
    return 0;
}
