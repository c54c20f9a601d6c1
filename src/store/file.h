/* Tokens in files of their own, as the supervisor opens them (files.h): also a Secret that is mounted into a
 * pod, which changes by the swap of a symbolic link. No hosts come with them. */
#pragma once

#include "store/files.h"
#include "store/store.h"

Store *store_file_new(StoreFiles *files); /* borrowed */
