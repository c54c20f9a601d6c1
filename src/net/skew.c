/* Clocks that differ. See skew.h. */
#include "net/skew.h"

#include "base/clock.h"
#include "base/text.h"

#include <openssl/x509_vfy.h>
#include <stdio.h>

void skew_note(Skew *skew, const char *of, int64_t date)
{
    if (!date)
        return;
    skew->us = date - clock_wall();
    skew->known = true;
    snprintf(skew->of, sizeof(skew->of), "%s", of);
}

bool skew_matters(const Skew *skew)
{
    return skew->known && (skew->us > SKEW_MOST || skew->us < -SKEW_MOST);
}

char *skew_text(char out[static SKEW_TEXT], const Skew *skew)
{
    char much[24];
    bool behind = skew->us > 0;
    text_human_duration(much, (uint64_t)(behind ? skew->us : -skew->us));
    snprintf(out, SKEW_TEXT, "this machine's clock is %s %s that of %s", much, behind ? "behind" : "ahead of",
             skew->of);
    return out;
}

/* Not by the C library, which would look for a time zone's file. */
static int64_t take_time(const ASN1_TIME *time)
{
    struct tm tm;
    char text[64];
    int64_t us = 0;
    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return 0;
    int n = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return clock_parse((Slice){text, (size_t)n}, &us) ? 0 : us;
}

void validity_note(Validity *validity, X509_STORE_CTX *verifying)
{
    int error = X509_STORE_CTX_get_error(verifying);
    const X509 *certificate = X509_STORE_CTX_get_current_cert(verifying);
    if (!certificate || (error != X509_V_ERR_CERT_NOT_YET_VALID && error != X509_V_ERR_CERT_HAS_EXPIRED))
        return;
    *validity =
        (Validity){take_time(X509_get0_notBefore(certificate)), take_time(X509_get0_notAfter(certificate))};
}

static char *say_second(char out[static CLOCK_TEXT], int64_t us)
{
    return clock_format(out, us / CLOCK_SECOND * CLOCK_SECOND);
}

char *validity_text(char out[static 2 * SKEW_TEXT], const Validity *validity, const Skew *skew)
{
    int64_t now = clock_wall();
    bool early = now < validity->from;
    char day[CLOCK_TEXT], here[CLOCK_TEXT], clock[SKEW_TEXT] = "", what[320];
    out[0] = 0;
    if (!validity->from || !validity->until)
        return out;
    if (skew_matters(skew))
        snprintf(what, sizeof(what), "%s: set it right (NTP)", skew_text(clock, skew));
    else if (skew->known)
        snprintf(what, sizeof(what),
                 "that agrees with the clock of %s, so it is the certificate that must be replaced",
                 skew->of);
    else
        snprintf(what, sizeof(what),
                 "if that is wrong, set it right (NTP), else the certificate must be replaced");
    snprintf(out, 2 * SKEW_TEXT, ": it %s %s%s, and this machine's clock says %s; %s",
             early ? "is valid from" : "was valid until",
             say_second(day, early ? validity->from : validity->until), early ? " on" : "",
             say_second(here, now), what);
    return out;
}
