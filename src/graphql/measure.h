/* Inside graphql/: spreads find their fragments, circles are found, and what each definition comes to once
 * its fragments are expanded is counted, without expanding them: each fragment is counted once. */
#pragma once

#include "graphql/parser.h"

void measure_document(Parser *parser, GraphqlDocument *document);
