/* The walls around purser-rotate: the folders in which the token and the journal lie, the hosts' ports, a
 * terminal; nothing is executed any more. */
#pragma once

#include "ipc/rotate.h"

/* Once what it is told is read and its command's child is there, before the first foreign byte. Makes the
 * journal's folder. -errno with a sentence; what may be missing is a warning. */
int walls_enter(const RotateSetup *setup, Fault *fault) MUST_USE;
