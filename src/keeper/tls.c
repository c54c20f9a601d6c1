/* TLS towards one source. See tls.h. */
#include "keeper/tls.h"

#include "base/io.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define MAX_ROOTS (4u << 20)

/* Each certificate of a PEM bundle that can be read; how many. */
static size_t add_certificates(X509_STORE *store, Slice pem)
{
    size_t n = 0;
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *certificate;
    while (bio && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        n += X509_STORE_add_cert(store, certificate) == 1;
        X509_free(certificate);
    }
    BIO_free(bio);
    ERR_clear_error();
    return n;
}

static int load_store(int *fd, X509_STORE **ret_store, const char *what, Refused *refused)
{
    CLEANUP_BUF Buf pem = BUF_INIT(MAX_ROOTS);
    int r = *fd < 0 ? -EBADF : io_read_all(*fd, &pem);
    X509_STORE *store = X509_STORE_new();
    if (r == 0 && store && add_certificates(store, buf_slice(&pem)) > 0) {
        fd_close(fd);
        *ret_store = store;
        return 0;
    }
    X509_STORE_free(store);
    refused_set(refused, REFUSAL_UPSTREAM_CERTIFICATE, "%s holds no certificate to verify an upstream with",
                what);
    return -EINVAL;
}

static int find_store(Keeper *keeper, Upstream *upstream, X509_STORE **ret_store, Refused *refused)
{
    if (upstream->source.ca_file[0]) {
        CLEANUP_MEM char *what =
            mem_printf("the caFile %s of source %s", upstream->source.ca_file, upstream->source.name);
        return load_store(&upstream->ca_fd, ret_store, what, refused);
    }
    if (!keeper->roots) {
        int r = load_store(&keeper->ca_fd, &keeper->roots, "the system's CA bundle", refused);
        if (r)
            return r;
    }
    X509_STORE_up_ref(keeper->roots);
    *ret_store = keeper->roots;
    return 0;
}

/* A session is kept for the host's next connection; the newest one wins. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    Endpoint *endpoint = SSL_get_app_data(ssl);
    if (endpoint->use == HOST_ARTIFACT) /* many hosts behind one pattern */
        return 0;
    SSL_SESSION_free(endpoint->session);
    endpoint->session = session;
    return 1;
}

/* Whose certificate it is that was not taken. Nothing of it is escaped here (refused_set() does that): it is
 * searched first, since who was sent the token before may be called by it now. */
static void note_issuer(Endpoint *endpoint, const X509 *certificate)
{
    const unsigned long escapes = ASN1_STRFLGS_ESC_2253 | ASN1_STRFLGS_ESC_CTRL | ASN1_STRFLGS_ESC_MSB;
    const Live *live = endpoint->upstream->live;
    BIO *bio = BIO_new(BIO_s_mem());
    char name[4096];
    int len = 0;
    if (bio && certificate &&
        X509_NAME_print_ex(bio, X509_get_issuer_name(certificate), 0, XN_FLAG_RFC2253 & ~escapes) > 0)
        len = BIO_read(bio, name, sizeof(name));
    if (len > 0 && live) {
        endpoint->upstream->keeper->opened = true;
        scrub_whole(live->forms, name, (size_t)len);
    }
    snprintf(endpoint->issuer, sizeof(endpoint->issuer), "%.*s", len > 0 ? len : 0, name);
    BIO_free(bio);
}

/* Changes nothing about it: what OpenSSL has found, it has found. */
static int on_verify(int sound, X509_STORE_CTX *verifying)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(verifying, SSL_get_ex_data_X509_STORE_CTX_idx());
    Endpoint *endpoint = SSL_get_app_data(ssl);
    if (!sound) {
        validity_note(&endpoint->validity, verifying);
        note_issuer(endpoint, X509_STORE_CTX_get_current_cert(verifying));
    }
    return sound;
}

int tls_prepare(Keeper *keeper, Upstream *upstream, Refused *ret_refused)
{
    if (upstream->tls)
        return 0;
    X509_STORE *store = NULL;
    int r = find_store(keeper, upstream, &store, ret_refused);
    if (r)
        return r;
    static const unsigned char http[] = "\x08http/1.1";
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(tls, http, sizeof(http) - 1) != 0) {
        SSL_CTX_free(tls);
        X509_STORE_free(store);
        refused_set(ret_refused, REFUSAL_INTERNAL, "OpenSSL could not be set up");
        return -ENOMEM;
    }
    SSL_CTX_set_cert_store(tls, store);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, on_verify);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Released buffers: nothing of a request or an answer waits in an idle connection, nor 34 kB for each. */
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls, 1); /* a record's head and body in one system call */
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, keep_session);
    upstream->tls = tls;
    return 0;
}

SSL *tls_client(Endpoint *endpoint, const char *host, int fd)
{
    unsigned char literal[16];
    bool is_address = inet_pton(AF_INET, host, literal) == 1 || inet_pton(AF_INET6, host, literal) == 1;
    SSL *ssl = SSL_new(endpoint->upstream->tls);
    if (!ssl)
        return NULL;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int ok = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host)
                        : SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
    SSL_set_app_data(ssl, endpoint);
    if (ok && endpoint->session && SSL_SESSION_is_resumable(endpoint->session))
        SSL_set_session(ssl, endpoint->session);
    if (!ok || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

void tls_explain(const char *host, SSL *ssl, Refused *ret_refused)
{
    const Endpoint *endpoint = SSL_get_app_data(ssl);
    char when[2 * SKEW_TEXT];
    long verify = SSL_get_verify_result(ssl);
    switch (verify) {
    case X509_V_OK:
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        refused_set(ret_refused, REFUSAL_UPSTREAM_CERTIFICATE,
                    "the upstream's certificate is for another name than %s", host);
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        refused_set(ret_refused, REFUSAL_UPSTREAM_CERTIFICATE,
                    "the certificate of %s has expired or is not yet valid%s", host,
                    validity_text(when, &endpoint->validity, &endpoint->upstream->keeper->skew));
        return;
    default:
        refused_set(
            ret_refused, REFUSAL_UPSTREAM_CERTIFICATE,
            "the certificate of %s comes from an unknown issuer (%s): %s; a private CA is named by the "
            "source's caFile",
            host, endpoint->issuer, X509_verify_cert_error_string(verify));
        return;
    }
    unsigned long error = ERR_peek_last_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    refused_set(ret_refused, REFUSAL_UPSTREAM_TLS, "the TLS handshake with %s failed: %s", host,
                reason ? reason : "the connection was closed");
}

void tls_done(Upstream *upstream)
{
    for (size_t i = 0; i < source_hosts(&upstream->source); i++)
        SSL_SESSION_free(STEAL(upstream->endpoint[i].session));
    SSL_CTX_free(STEAL(upstream->tls));
}
