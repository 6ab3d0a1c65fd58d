#!/usr/bin/env python3
"""Runs the program of a systemd unit under what the unit forbids, where systemd itself does not run.

    confine.py ROOT UNIT-FILE INSTANCE STATE-DIRECTORY

ROOT is where the programs were installed (DESTDIR). Applied as systemd would: the filter of system calls with its groups
(expanded by systemd-analyze), address families, no memory that is writable and executable, no new privileges, no capabilities,
another user than root, Environment= (the caller's variables win, as an EnvironmentFile would), LimitNOFILE=, UMask=. What needs a
mount namespace is left out: ProtectSystem= and its like.
"""
import ctypes
import os
import resource
import shlex
import socket
import subprocess
import sys

NOBODY = 65534
SCMP_ACT_ALLOW = 0x7FFF0000
SCMP_ACT_ERRNO = 0x00050000
SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ = 4, 7
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 38, 24
PROT_WRITE, PROT_EXEC = 2, 4
EPERM, EAFNOSUPPORT = 1, 97


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def settings(path):
    """The lines of [Service]: name → values in their order."""
    found, section = {}, None
    for line in open(path, encoding="utf-8"):
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and line[0] not in "#;":
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def group(name):
    text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], check=True, capture_output=True, text=True).stdout
    members = [line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(expand(member) for member in members))


def expand(name):
    return group(name) if name.startswith("@") else {name}


def allowed_calls(lines):
    allowed = set()
    for line in lines:
        names = set().union(*(expand(name) for name in line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed | group("@default") | {"execve"}  # which systemd never takes away


class Filter:
    """One seccomp filter; several add up, the strictest answer counts."""

    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Compare)]
    lib.seccomp_load.argtypes = [ctypes.c_void_p]

    def __init__(self, default):
        self.context = self.lib.seccomp_init(default)
        assert self.context

    def add(self, action, name, *compares):
        number = self.lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # not of this machine
        array = (Compare * len(compares))(*compares)
        status = self.lib.seccomp_rule_add_array(self.context, action, number, len(compares), array)
        assert status == 0, (name, status)

    def load(self):
        status = self.lib.seccomp_load(self.context)
        assert status == 0, status


def forbid(unit):
    if unit.get("MemoryDenyWriteExecute") == ["yes"]:
        memory = Filter(SCMP_ACT_ALLOW)
        both = PROT_WRITE | PROT_EXEC
        memory.add(SCMP_ACT_ERRNO | EPERM, "mmap", Compare(2, SCMP_CMP_MASKED_EQ, both, both))
        memory.add(SCMP_ACT_ERRNO | EPERM, "mprotect", Compare(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC))
    families = [getattr(socket, name) for name in unit["RestrictAddressFamilies"][0].split()]
    sockets = Filter(SCMP_ACT_ALLOW)
    for family in set(range(48)) - set(families):
        sockets.add(SCMP_ACT_ERRNO | EAFNOSUPPORT, "socket", Compare(0, SCMP_CMP_EQ, family))
    calls = Filter(SCMP_ACT_ERRNO | EPERM)
    assert unit["SystemCallErrorNumber"] == ["EPERM"]
    for name in allowed_calls(unit["SystemCallFilter"]):
        calls.add(SCMP_ACT_ALLOW, name)
    libc = ctypes.CDLL(None)
    if os.geteuid() == 0:
        for capability in range(64):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    sockets.load()
    if unit.get("MemoryDenyWriteExecute") == ["yes"]:
        memory.load()
    calls.load()


def main():
    root, path, instance, state = sys.argv[1:]
    unit = settings(path)
    environment = {}
    for line in unit.get("Environment", []):
        for word in shlex.split(line):
            name, value = word.split("=", 1)
            environment[name] = value.replace("%S", state).replace("%i", instance)
    environment.update(os.environ)
    os.umask(int(unit["UMask"][0], 8))
    files = min(int(unit["LimitNOFILE"][0]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    [command] = unit["ExecStart"]
    arguments = shlex.split(command)
    forbid(unit)
    os.execve(root + arguments[0], arguments, environment)


main()
