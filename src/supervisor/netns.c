/* A network namespace of a run's own. See netns.h. */
#include "supervisor/netns.h"
#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int listen_on_loopback(int *ret_listener, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    CLEANUP_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 256) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return -errno;
    *ret_port = ntohs(address.sin_port);
    *ret_listener = fd_steal(&fd);
    return 0;
}

static int bring_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    CLEANUP_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return -errno;
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

int netns_listen(bool isolated, int *ret_listener, uint16_t *ret_port, int *ret_ns_fd, Fault *fault)
{
    CLEANUP_FD int home = -1, fresh = -1;
    int r = 0;
    if (isolated) {
        home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (home < 0 || unshare(CLONE_NEWNET) < 0)
            return fault_set(fault, -errno, "Cannot make a network namespace: %s.", strerror(errno));
        fresh = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        r = fresh < 0 ? -errno : bring_loopback_up();
    }
    if (!r)
        r = listen_on_loopback(ret_listener, ret_port);
    if (isolated && setns(home, CLONE_NEWNET) < 0) {
        /* A supervisor that is stuck in a run's namespace can do nothing right any more. */
        perror("purser: cannot return to its network namespace");
        abort();
    }
    if (r)
        return fault_set(fault, r, "Cannot listen on loopback: %s.", strerror(-r));
    *ret_ns_fd = fd_steal(&fresh);
    return 0;
}
