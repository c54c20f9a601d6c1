/* Signing JSON Web Tokens with OpenSSL. See jwt.h. */
#include "base/json.h"
#include "base/mem.h"
#include "store/jwt.h"

#include <errno.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sodium.h>

#define MAX_SIGNATURE 1024
#define ES256_HALF    32

/* A key that asks for a passphrase has none here. */
static int no_passphrase(char *out, int size, int writing, void *context)
{
    (void)out, (void)size, (void)writing, (void)context;
    return -1;
}

static EVP_PKEY *read_key(const Sealed *sealed)
{
    size_t len = secret_len(sealed);
    char *pem = secret_alloc(len);
    EVP_PKEY *key = NULL;
    if (pem && secret_open(sealed, pem, len) == 0) {
        BIO *bio = BIO_new_mem_buf(pem, (int)len);
        key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
        BIO_free(bio);
    }
    secret_release(pem, len);
    return key;
}

static const char *algorithm(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= 2048 ? "RS256"
           : EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) == 256 ? "ES256"
                                                                       : NULL;
}

static int append_base64(Buf *out, const void *bytes, size_t len)
{
    size_t room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *at;
    int r = buf_reserve(out, room, &at);
    if (r)
        return r;
    sodium_bin2base64(at, room, bytes, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_commit(out, room - 1);
    return 0;
}

/* OpenSSL's signature is two numbers in DER; JOSE wants them side by side. */
static int flatten(unsigned char *signature, size_t *len)
{
    const unsigned char *at = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)*len);
    bool ok = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, ES256_HALF) == ES256_HALF &&
              BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + ES256_HALF, ES256_HALF) == ES256_HALF;
    ECDSA_SIG_free(pair);
    *len = 2 * ES256_HALF;
    return ok ? 0 : -EINVAL;
}

static int sign(EVP_PKEY *key, Slice text, unsigned char *out, size_t *len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(context, out, len, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(context);
    return !ok ? -EINVAL : EVP_PKEY_is_a(key, "EC") ? flatten(out, len) : 0;
}

static int put_head(Buf *text, const char *alg, const char *key_id)
{
    CLEANUP_BUF Buf head = BUF_INIT(1024);
    JsonWriter json = JSON_WRITER(&head);
    json_object_begin(&json, NULL);
    json_text(&json, "alg", alg);
    json_text(&json, "typ", "JWT");
    if (*key_id)
        json_text(&json, "kid", key_id);
    json_object_end(&json);
    int r = json_finish(&json);
    return r ? r : append_base64(text, head.data, head.len);
}

static int build(EVP_PKEY *key, const char *alg, const char *key_id, Slice claims, Buf *text)
{
    unsigned char signature[MAX_SIGNATURE];
    size_t len = sizeof(signature);
    int r = put_head(text, alg, key_id);
    r = r ? r : buf_append(text, ".", 1);
    r = r ? r : append_base64(text, claims.ptr, claims.len);
    r = r ? r : sign(key, buf_slice(text), signature, &len);
    r = r ? r : buf_append(text, ".", 1);
    return r ? r : append_base64(text, signature, len);
}

int jwt_sign(const Sealed *sealed, const char *key_id, Slice claims, Sealed **ret_jwt, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(SECRET_MAX_TOKEN);
    EVP_PKEY *key = read_key(sealed);
    const char *alg = key ? algorithm(key) : NULL;
    int r = alg ? build(key, alg, key_id, claims, &text) : -EINVAL;
    EVP_PKEY_free(key);
    if (!alg)
        return fault_set(
            fault, STORE_E_BAD_TOKEN,
            "what is kept is no private key that can sign: PEM without a passphrase, RSA of at least 2048 "
            "bits or EC P-256");
    r = r ? r : secret_seal(buf_slice(&text), ret_jwt);
    return r ? fault_set(fault, STORE_E_BAD_TOKEN, "the private key could not sign") : 0;
}

int jwt_fingerprint(const Sealed *sealed, char out[static 64])
{
    EVP_PKEY *key = read_key(sealed);
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int len = key ? i2d_PUBKEY(key, &der) : -1;
    bool ok = len > 0 && EVP_Digest(der, (size_t)len, digest, &n, EVP_sha256(), NULL) == 1;
    if (ok)
        sodium_bin2base64(out, 64, digest, n, sodium_base64_VARIANT_ORIGINAL);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    return ok ? 0 : -EINVAL;
}
