/* In the place of a role of purser's: what it does stands beside it, in its own name with .py behind it. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    char self[4000], script[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return 126;
    self[n] = '\0';
    snprintf(script, sizeof(script), "%s.py", self);
    execl("/usr/bin/python3", "python3", "-I", script, (char *)NULL);
    return 127;
}
