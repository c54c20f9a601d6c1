/* Networks, IPv4 mapped into IPv6. See config.h. */
#include "config/config.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>

int cidr_parse(Slice text, Cidr *ret_cidr)
{
    Slice address, bits_text;
    char copy[INET6_ADDRSTRLEN];
    Cidr cidr = {.bits = 128};
    uint64_t bits;
    bool has_bits = slice_cut(text, '/', &address, &bits_text);
    if (address.len == 0 || address.len >= sizeof(copy) || memchr(address.ptr, '\0', address.len))
        return -EINVAL;
    memcpy(copy, address.ptr, address.len);
    copy[address.len] = '\0';
    unsigned prefix = 0;
    if (inet_pton(AF_INET, copy, cidr.address + 12) == 1) {
        cidr.address[10] = cidr.address[11] = 0xFF;
        prefix = 96;
    } else if (inet_pton(AF_INET6, copy, cidr.address) != 1) {
        return -EINVAL;
    }
    if (has_bits) {
        if (text_parse_u64(bits_text, 128 - prefix, &bits))
            return -EINVAL;
        cidr.bits = (uint8_t)(prefix + bits);
    }
    for (unsigned i = cidr.bits; i < 128; i++) /* 192.0.2.7/24 is 192.0.2.0/24 */
        cidr.address[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
    *ret_cidr = cidr;
    return 0;
}

bool cidr_contains(const Cidr *cidr, const uint8_t address[16])
{
    unsigned whole = cidr->bits / 8, rest = cidr->bits % 8;
    if (memcmp(cidr->address, address, whole) != 0)
        return false;
    return rest == 0 || ((cidr->address[whole] ^ address[whole]) & (uint8_t)(0xFFu << (8 - rest))) == 0;
}
