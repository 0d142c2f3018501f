"""A program whose operations on files hang at will, as on a network disk without its network: each is passed to this
process by a seccomp filter (user notification), which lets it run or leaves it waiting. A waiting thread can be killed.
Source: Linux, Documentation/userspace-api/seccomp_filter.rst, "Userspace Notification".
"""

import array
import ctypes
import fcntl
import platform
import select
import socket
import struct
import threading

# What opens, reads, writes, syncs, moves or looks at files and volumes, by the numbers of x86-64.
CALLS = {
    "open": 2, "stat": 4, "lstat": 6, "pread64": 17, "pwrite64": 18, "fsync": 74, "fdatasync": 75, "ftruncate": 77,
    "rename": 82, "mkdir": 83, "unlink": 87, "statfs": 137, "fstatfs": 138, "getdents64": 217, "openat": 257,
    "newfstatat": 262, "unlinkat": 263, "renameat": 264, "sync_file_range": 277, "fallocate": 285, "preadv": 295,
    "pwritev": 296, "renameat2": 316, "copy_file_range": 326, "statx": 332,
}  # fmt: skip

IS_POSSIBLE = platform.system() == "Linux" and platform.machine() == "x86_64"

_SECCOMP, _SET_FILTER, _NEW_LISTENER = 317, 1, 8
_NO_NEW_PRIVILEGES = 38
_NOTIFY, _ALLOW = 0x7FC00000, 0x7FFF0000
_LOAD_NUMBER = (0x20, 0, 0, 0)
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1


def _filter():
    numbers = list(CALLS.values())
    lines = [_LOAD_NUMBER]
    lines += [(0x15, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    lines += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _NOTIFY)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines), len(lines)


class HangingFiles:
    """Give `before_start` to a program; `hang` and `resume` while it runs, `end` after it."""

    def __init__(self):
        self._here, self._there = socket.socketpair()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._code, self._lines = _filter()
        self._hangs = False
        self._waiting = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def before_start(self):
        """In the new process, before the program."""
        code = ctypes.create_string_buffer(self._code)
        program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", self._lines, ctypes.addressof(code)))
        assert self._libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
        listener = self._libc.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER, program)
        assert listener >= 0, ctypes.get_errno()
        self._there.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])

    def hang(self):
        """From now on every operation waits."""
        with self._lock:
            self._hangs = True

    def waiting(self):
        """The number of operations that wait."""
        with self._lock:
            return len(self._waiting)

    def resume(self):
        """What waits goes on."""
        with self._lock:
            self._hangs = False
            waiting, self._waiting = self._waiting, []
        for call in waiting:
            self._let_run(call)

    def end(self):
        self.resume()
        self._ended.set()
        self._thread.join()

    def _run(self):
        self._here.settimeout(60)
        _, ancillary, _, _ = self._here.recvmsg(1, socket.CMSG_SPACE(4))
        [self._listener] = array.array("i", ancillary[0][2])
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while not self._ended.is_set():
            for _, event in poll.poll(100):
                if event & select.POLLHUP:
                    return
                self._receive()

    def _receive(self):
        call = bytearray(80)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, call)
        except OSError:
            # Its thread was interrupted.
            return
        number = struct.unpack_from("=Q", call)[0]
        with self._lock:
            if self._hangs:
                self._waiting.append(number)
                return
        self._let_run(number)

    def _let_run(self, number):
        try:
            fcntl.ioctl(self._listener, _SEND, bytearray(struct.pack("=QqiI", number, 0, 0, _CONTINUE)))
        except OSError:
            pass
