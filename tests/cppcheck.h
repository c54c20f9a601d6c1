/* What cppcheck does not find by itself: it reads no system headers, and these are loops. */
#define TAILQ_FOREACH(var, head, field) for ((var) = (head)->tqh_first; (var); (var) = (var)->field.tqe_next)
#define LIST_FOREACH(var, head, field)  for ((var) = (head)->lh_first; (var); (var) = (var)->field.le_next)
