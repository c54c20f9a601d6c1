/* What libyaml could not read, said so that a person finds the place. Only src/yaml uses this. */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

#include <yaml.h>

/* Size and encoding, before libyaml sees it. 0, -EFBIG or -EINVAL with a sentence. */
int yaml_text_problem(const char *file, Slice text, size_t max_bytes, Fault *fault) MUST_USE;

/* Fills in the sentence of a parser that stopped; returns -EINVAL. */
int yaml_parser_problem(const char *file, Slice text, const yaml_parser_t *parser, Fault *fault);
