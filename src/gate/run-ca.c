/* The run's certificate authority and its leaves. See run-ca.h. */
#include "gate/run-ca.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

#define EARLY_SECONDS 300 /* clocks of containers differ a little */

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, full length */
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return ok;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
    bool ok = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

/* A DNS name, or an address with its mask as a name constraint has it (`mask`) or alone as a SAN has it. */
static GENERAL_NAME *general_name(const char *name, bool address, bool mask)
{
    unsigned char bytes[32];
    if (mask && name[0] == '*') /* a constraint means what lies beneath as well */
        name += 2;
    int len = (int)strlen(name);
    if (address) {
        len = inet_pton(AF_INET, name, bytes) == 1 ? 4 : inet_pton(AF_INET6, name, bytes) == 1 ? 16 : 0;
        memset(bytes + len, 0xff, (size_t)len);
        if (mask)
            len *= 2;
    }
    GENERAL_NAME *general = GENERAL_NAME_new();
    ASN1_STRING *text = address ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (!general || !text || ASN1_STRING_set(text, address ? (const void *)bytes : name, len) != 1) {
        GENERAL_NAME_free(general);
        ASN1_STRING_free(text);
        return NULL;
    }
    GENERAL_NAME_set0_value(general, address ? GEN_IPADD : GEN_DNS, text);
    return general;
}

/* Everything of one type: the empty DNS name, or the /0 network of `len` / 2 bytes. */
static GENERAL_NAME *everything(int type, int len)
{
    static const unsigned char zeros[32];
    GENERAL_NAME *general = GENERAL_NAME_new();
    ASN1_STRING *text = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (!general || !text || ASN1_STRING_set(text, zeros, len) != 1) {
        GENERAL_NAME_free(general);
        ASN1_STRING_free(text);
        return NULL;
    }
    GENERAL_NAME_set0_value(general, type, text);
    return general;
}

static bool push_subtree(STACK_OF(GENERAL_SUBTREE) * *list, GENERAL_NAME *base)
{
    if (!*list)
        *list = sk_GENERAL_SUBTREE_new_null();
    GENERAL_SUBTREE *subtree = GENERAL_SUBTREE_new();
    if (!base || !*list || !subtree || !sk_GENERAL_SUBTREE_push(*list, subtree)) {
        GENERAL_SUBTREE_free(subtree);
        GENERAL_NAME_free(base);
        return false;
    }
    GENERAL_NAME_free(subtree->base);
    subtree->base = base;
    return true;
}

static bool add_constraints(X509 *certificate, const HostList *hosts)
{
    NAME_CONSTRAINTS *constraints = NAME_CONSTRAINTS_new();
    bool ok = constraints, dns = false, v4 = false, v6 = false;
    for (size_t i = 0; ok && i < hosts->n; i++) {
        const Host *host = &hosts->host[i];
        ok = push_subtree(&constraints->permittedSubtrees, general_name(host->name, host->address, true));
        if (!host->address)
            dns = true;
        else if (strchr(host->name, ':'))
            v6 = true;
        else
            v4 = true;
    }
    if (ok && !dns)
        ok = push_subtree(&constraints->excludedSubtrees, everything(GEN_DNS, 0));
    /* A permitted address of one family closes the other as well, but not every verifier reads it so. */
    if (ok && !v4)
        ok = push_subtree(&constraints->excludedSubtrees, everything(GEN_IPADD, 8));
    if (ok && !v6)
        ok = push_subtree(&constraints->excludedSubtrees, everything(GEN_IPADD, 32));
    ok = ok && X509_add1_ext_i2d(certificate, NID_name_constraints, constraints, 1, X509V3_ADD_DEFAULT) == 1;
    NAME_CONSTRAINTS_free(constraints);
    return ok;
}

static bool set_name(X509_NAME *name, const char *organisation, const char *common)
{
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)organisation, -1, -1,
                                      0) == 1 &&
           (!common || X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common,
                                                  -1, -1, 0) == 1);
}

static X509 *new_certificate(EVP_PKEY *key, int64_t lifetime_us)
{
    X509 *certificate = X509_new();
    if (certificate && X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -EARLY_SECONDS) &&
        X509_time_adj_ex(X509_getm_notAfter(certificate), (int)(lifetime_us / 1000000 / 86400),
                         (long)(lifetime_us / 1000000 % 86400), NULL) &&
        X509_set_pubkey(certificate, key) == 1)
        return certificate;
    X509_free(certificate);
    return NULL;
}

static X509 *make_ca(const HostList *hosts, const char *run, int64_t lifetime_us, EVP_PKEY *key)
{
    X509 *ca = new_certificate(key, lifetime_us);
    char common[64]; /* the most that X.520 allows */
    snprintf(common, sizeof(common), "purser run %.50s", run);
    if (ca && set_name(X509_get_subject_name(ca), "purser", common) &&
        X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1 &&
        add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(ca, ca, NID_key_usage, "critical,keyCertSign") &&
        add_extension(ca, ca, NID_subject_key_identifier, "hash") && add_constraints(ca, hosts) &&
        X509_sign(ca, key, EVP_sha256()))
        return ca;
    X509_free(ca);
    return NULL;
}

static bool add_subject_name(X509 *leaf, const char *name, bool address)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *general = general_name(name, address, false);
    bool ok = names && general && sk_GENERAL_NAME_push(names, general) > 0;
    if (!ok)
        GENERAL_NAME_free(general);
    ok = ok && X509_add1_ext_i2d(leaf, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

X509 *run_ca_leaf(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *leaf_key, const char *name, bool address)
{
    X509 *leaf = new_certificate(leaf_key, 0);
    if (leaf && X509_set1_notAfter(leaf, X509_get0_notAfter(ca)) == 1 &&
        set_name(X509_get_subject_name(leaf), "purser", NULL) &&
        X509_set_issuer_name(leaf, X509_get_subject_name(ca)) == 1 &&
        add_extension(leaf, ca, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(leaf, ca, NID_key_usage, "critical,digitalSignature") &&
        add_extension(leaf, ca, NID_ext_key_usage, "serverAuth") &&
        add_extension(leaf, ca, NID_subject_key_identifier, "hash") &&
        add_extension(leaf, ca, NID_authority_key_identifier, "keyid:always") &&
        add_subject_name(leaf, name, address) && X509_sign(leaf, ca_key, EVP_sha256()))
        return leaf;
    X509_free(leaf);
    return NULL;
}

static EVP_PKEY *ahead[2];

void run_ca_keys_ahead(void)
{
    for (size_t i = 0; i < COUNT_OF(ahead); i++)
        ahead[i] = ahead[i] ? ahead[i] : EVP_EC_gen("P-256");
}

int run_ca_make(const HostList *hosts, const char *run, int64_t lifetime_us, RunCa *ret_ca,
                EVP_PKEY **ret_ca_key, Fault *fault)
{
    run_ca_keys_ahead();
    EVP_PKEY *key = STEAL(ahead[0]);
    RunCa ca = {.leaf_key = STEAL(ahead[1]), .leaf = MEM_NEW_ARRAY(X509 *, hosts->n), .n_leaf = hosts->n};
    bool ok = key && ca.leaf_key && (ca.certificate = make_ca(hosts, run, lifetime_us, key));
    for (size_t i = 0; ok && i < hosts->n; i++)
        if (hosts->host[i].tls)
            ok = (ca.leaf[i] = run_ca_leaf(ca.certificate, key, ca.leaf_key, hosts->host[i].name,
                                           hosts->host[i].address));
    if (ok && ret_ca_key)
        *ret_ca_key = key;
    else
        EVP_PKEY_free(key); /* OpenSSL wipes the number */
    if (!ok) {
        run_ca_done(&ca);
        return fault_set(fault, -ENOMEM,
                         "the run's certificate authority cannot be made; check that the machine's "
                         "OpenSSL works (openssl ecparam -name P-256 -genkey)");
    }
    *ret_ca = ca;
    return 0;
}

/* Only http/1.1 is spoken here; a client that offers other protocols alone is told so by the alert. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *len,
                           const unsigned char *offer, unsigned int offer_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)out, len, ours, sizeof(ours) - 1, offer, offer_len) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* SNI, when there is one, is the host of the CONNECT (promise 6). */
static int check_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)arg;
    const char *authority = SSL_get_app_data(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!name || slice_equal_nocase(slice_of(name), slice_of(authority)))
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *new_context(X509 *leaf, EVP_PKEY *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate(context, leaf) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, check_server_name);
    return context;
}

int run_ca_contexts(const RunCa *ca, HostList *hosts, Fault *fault)
{
    for (size_t i = 0; i < hosts->n; i++)
        if (ca->leaf[i] && !(hosts->host[i].tls_context = new_context(ca->leaf[i], ca->leaf_key)))
            return fault_set(fault, -ENOMEM, "TLS for %s cannot be set up", hosts->host[i].name);
    return 0;
}

int run_ca_pem(const RunCa *ca, Buf *ret_pem)
{
    BIO *memory = BIO_new(BIO_s_mem());
    char *text;
    int r = -ENOMEM;
    if (memory && PEM_write_bio_X509(memory, ca->certificate) == 1) {
        long len = BIO_get_mem_data(memory, &text);
        r = buf_append(ret_pem, text, (size_t)len);
    }
    BIO_free(memory);
    return r;
}

void run_ca_done(RunCa *ca)
{
    for (size_t i = 0; i < ca->n_leaf; i++)
        X509_free(ca->leaf[i]);
    mem_free(ca->leaf);
    X509_free(ca->certificate);
    EVP_PKEY_free(ca->leaf_key);
    *ca = (RunCa){0};
}
