"""What a forked process gives up for good before it runs anything of somebody's: part of each program that forks them."""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_VERSION_3 = 0x20080522
KEYCTL_JOIN_SESSION_KEYRING = 1
# C libraries have no function for keyctl(2).
KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}

libc = ctypes.CDLL(None, use_errno=True)
# Found and made before anything is forked: a copy of all that is touched for it would be each one's own.
capset, set_process, system_call = libc.capset, libc.prctl, libc.syscall
own_pid = os.getpid()
own_capabilities = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
no_capabilities = struct.pack("=6I", 0, 0, 0, 0, 0, 0)
keyctl = KEYCTL.get(os.uname().machine) if sys.maxsize > 2**32 else None


def checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def prctl(option, value):
    checked(set_process(option, ctypes.c_ulong(value), 0, 0, 0))


def drop_capabilities():
    """capset(2) with empty effective, permitted and inheritable sets; the ambient one goes with them."""
    checked(capset(own_capabilities, no_capabilities))


def leave_keyring():
    """
    Takes an empty session keyring: whoever has another's possesses the keys in it, of whatever user he is. Before the
    change of user, whose quota of keys could be less than its processes.
    """
    if keyctl is None or system_call(keyctl, KEYCTL_JOIN_SESSION_KEYRING, None) >= 0:
        return
    # A kernel or a container without keyrings has nothing to hide.
    if ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def become(user):
    """Sets groups, group and user, in this order, and leaves no way back."""
    os.setgroups(user["groups"])
    os.setresgid(user["gid"], user["gid"], user["gid"])
    os.setresuid(user["uid"], user["uid"], user["uid"])
    if os.getresuid() != (user["uid"],) * 3 or os.getresgid() != (user["gid"],) * 3:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    drop_capabilities()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
