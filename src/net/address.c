/* What kind of address it is. See address.h; the networks are those of the IANA special-purpose registries.
 */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Network {
    uint8_t bytes[16];
    uint8_t bits;
    AddressKind kind;
} Network;

#define V4(a, b, c, d, bits, kind)                                                                           \
    {                                                                                                        \
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d}, 96 + (bits), kind                              \
    }

/* The first that contains the address decides. */
static const Network ipv4[] = {
    V4(0, 0, 0, 0, 8, ADDRESS_NEVER),          /* this network, unspecified */
    V4(169, 254, 0, 0, 16, ADDRESS_NEVER),     /* link-local, most clouds' metadata */
    V4(100, 100, 100, 200, 32, ADDRESS_NEVER), /* metadata (Alibaba) */
    V4(192, 0, 0, 192, 32, ADDRESS_NEVER),     /* metadata (Oracle) */
    V4(168, 63, 129, 16, 32, ADDRESS_NEVER),   /* metadata (Azure's wire server) */
    V4(224, 0, 0, 0, 4, ADDRESS_NEVER),        /* multicast */
    V4(255, 255, 255, 255, 32, ADDRESS_NEVER), V4(10, 0, 0, 0, 8, ADDRESS_PRIVATE),
    V4(100, 64, 0, 0, 10, ADDRESS_PRIVATE), /* CGNAT */
    V4(127, 0, 0, 0, 8, ADDRESS_PRIVATE),      V4(172, 16, 0, 0, 12, ADDRESS_PRIVATE),
    V4(192, 0, 0, 0, 24, ADDRESS_PRIVATE),     V4(192, 0, 2, 0, 24, ADDRESS_PRIVATE),
    V4(192, 88, 99, 0, 24, ADDRESS_PRIVATE),   V4(192, 168, 0, 0, 16, ADDRESS_PRIVATE),
    V4(198, 18, 0, 0, 15, ADDRESS_PRIVATE),    V4(198, 51, 100, 0, 24, ADDRESS_PRIVATE),
    V4(203, 0, 113, 0, 24, ADDRESS_PRIVATE),   V4(240, 0, 0, 0, 4, ADDRESS_PRIVATE),
};

static const Network ipv6[] = {
    {{0}, 128, ADDRESS_NEVER},
    {{[15] = 1}, 128, ADDRESS_PRIVATE},
    {{0xfe, 0x80}, 10, ADDRESS_NEVER},
    {{0xff}, 8, ADDRESS_NEVER},
    {{0xfd, 0x00, 0x0e, 0xc2}, 32, ADDRESS_NEVER}, /* metadata (AWS fd00:ec2::254) */
    {{0xfd, 0x20, 0x00, 0xce}, 32, ADDRESS_NEVER}, /* metadata (Google fd20:ce::254) */
    {{0xfc}, 7, ADDRESS_PRIVATE},
    {{0xfe, 0xc0}, 10, ADDRESS_PRIVATE},
    {{0x01}, 8, ADDRESS_PRIVATE},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_PRIVATE},
    {{0x20, 0x01}, 23, ADDRESS_PRIVATE},
    {{0x3f, 0xff}, 20, ADDRESS_PRIVATE},
    {{0x5f, 0x00}, 16, ADDRESS_PRIVATE},
    {{0}, 8, ADDRESS_PRIVATE}, /* what is left of ::/8 is nobody's */
};

/* Where an IPv6 network carries an IPv4 address: its 4 bytes begin at `at`. */
static const struct {
    uint8_t bytes[16];
    uint8_t bits, at;
    bool inverted;
} embedding[] = {
    {{0}, 96, 12, false},                                  /* ::a.b.c.d, compatible */
    {{[8] = 0xff, [9] = 0xff}, 96, 12, false},             /* ::ffff:0:a.b.c.d, translated */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12, false},             /* NAT64 */
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, 12, false}, /* NAT64, local use */
    {{0x20, 0x02}, 16, 2, false},                          /* 6to4 */
    {{0x20, 0x01, 0x00, 0x00}, 32, 12, true},              /* Teredo */
};

static bool within(const uint8_t address[16], const uint8_t network[16], unsigned bits)
{
    if (memcmp(address, network, bits / 8) != 0) /* not secret */
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || ((address[bits / 8] ^ network[bits / 8]) >> (8 - rest)) == 0;
}

static AddressKind look_up(const uint8_t address[16], const Network *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (within(address, list[i].bytes, list[i].bits))
            return list[i].kind;
    return ADDRESS_PUBLIC;
}

static AddressKind embedded_kind(const uint8_t address[16], unsigned at, bool inverted)
{
    uint8_t inner[16] = {[10] = 255, [11] = 255};
    for (unsigned i = 0; i < 4; i++)
        inner[12 + i] = inverted ? (uint8_t)~address[at + i] : address[at + i];
    AddressKind kind = look_up(inner, ipv4, COUNT_OF(ipv4));
    return kind == ADDRESS_PUBLIC ? ADDRESS_PRIVATE : kind;
}

AddressKind address_kind(const uint8_t address[16])
{
    static const uint8_t mapped[16] = {[10] = 255, [11] = 255};
    if (within(address, mapped, 96))
        return look_up(address, ipv4, COUNT_OF(ipv4));
    AddressKind kind = look_up(address, ipv6, COUNT_OF(ipv6));
    if (kind == ADDRESS_NEVER ||
        (address[15] == 1 && kind == ADDRESS_PRIVATE && within(address, ipv6[1].bytes, 128)))
        return kind;
    for (size_t i = 0; i < COUNT_OF(embedding); i++)
        if (within(address, embedding[i].bytes, embedding[i].bits))
            return embedded_kind(address, embedding[i].at, embedding[i].inverted);
    return kind;
}

bool address_allowed(const uint8_t address[16], const Cidr *allow, size_t n_allow)
{
    AddressKind kind = address_kind(address);
    if (kind != ADDRESS_PRIVATE)
        return kind == ADDRESS_PUBLIC;
    for (size_t i = 0; i < n_allow; i++)
        if (within(address, allow[i].address, allow[i].bits > 128 ? 128 : allow[i].bits))
            return true;
    return false;
}

int address_from_sockaddr(const struct sockaddr *from, socklen_t len, uint8_t ret_address[16])
{
    if (from->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)from;
        memset(ret_address, 0, 10);
        ret_address[10] = ret_address[11] = 255;
        memcpy(ret_address + 12, &in->sin_addr, 4);
        return 0;
    }
    if (from->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in = (const void *)from;
        memcpy(ret_address, &in->sin6_addr, 16);
        return 0;
    }
    return -EAFNOSUPPORT;
}

char *address_text(char out[static 64], const uint8_t address[16])
{
    static const uint8_t mapped[16] = {[10] = 255, [11] = 255};
    bool v4 = within(address, mapped, 96);
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, out, 64))
        snprintf(out, 64, "?");
    return out;
}

static bool parse_address(const char *text, uint8_t ret_address[16])
{
    uint8_t address[16] = {[10] = 255, [11] = 255};
    if (inet_pton(AF_INET, text, address + 12) != 1 && inet_pton(AF_INET6, text, address) != 1)
        return false;
    memcpy(ret_address, address, 16);
    return true;
}

static bool entry_network(const char *entry, const uint8_t address[16])
{
    char text[64];
    const char *slash = strchr(entry, '/');
    size_t len = slash ? (size_t)(slash - entry) : strlen(entry);
    uint8_t network[16];
    if (len >= sizeof(text))
        return false;
    memcpy(text, entry, len);
    text[len] = 0;
    if (!parse_address(text, network))
        return false;
    unsigned long bits = slash ? strtoul(slash + 1, NULL, 10) + (strchr(text, ':') ? 0 : 96) : 128;
    return bits <= 128 && within(address, network, (unsigned)bits);
}

static bool entry_name(const char *entry, const char *host)
{
    if (entry[0] == '.')
        entry++;
    size_t n = strlen(entry), len = strlen(host);
    if (n == 0 || len < n || !slice_equal_nocase((Slice){host + len - n, n}, (Slice){entry, n}))
        return false;
    return len == n || host[len - n - 1] == '.';
}

bool address_bypasses_proxy(const char *host, char *const *no_proxy, size_t n_no_proxy)
{
    uint8_t address[16];
    bool literal = parse_address(host, address);
    for (size_t i = 0; i < n_no_proxy; i++) {
        if (strcmp(no_proxy[i], "*") == 0)
            return true;
        if (literal ? entry_network(no_proxy[i], address) : entry_name(no_proxy[i], host))
            return true;
    }
    return false;
}
