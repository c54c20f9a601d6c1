#include "clerk/sink.h"
RowSink *sink_postgres_new(const ClerkSetup *setup, SinkCredential *credential, void *userdata)
{
    (void)setup, (void)credential, (void)userdata;
    return NULL;
}
