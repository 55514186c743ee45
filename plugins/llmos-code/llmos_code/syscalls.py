"""Numbers of the system calls that the sandbox's filter names, for the two machines it knows."""

from __future__ import annotations

_X86_64 = """
read=0 readv=19 pread64=17 preadv=295 write=1 writev=20 pwrite64=18 pwritev=296 close=3
close_range=436 lseek=8 open=2 openat=257 stat=4 lstat=6 fstat=5 newfstatat=262 statx=332 statfs=137
fstatfs=138 access=21 faccessat=269 faccessat2=439 getdents=78 getdents64=217 getcwd=79 chdir=80
fchdir=81 readlink=89 readlinkat=267 mkdir=83 mkdirat=258 rmdir=84 unlink=87 unlinkat=263 rename=82
renameat=264 renameat2=316 symlink=88 symlinkat=266 ftruncate=77 fallocate=285 fsync=74 fdatasync=75
flock=73 copy_file_range=326 sendfile=40 fadvise64=221 umask=95 creat=85 mmap=9 mprotect=10
munmap=11 mremap=25 brk=12 madvise=28 msync=26 mincore=27 rt_sigaction=13 rt_sigprocmask=14
rt_sigreturn=15 rt_sigpending=127 rt_sigtimedwait=128 rt_sigsuspend=130 sigaltstack=131 pause=34
alarm=37 getitimer=36 setitimer=38 pipe=22 pipe2=293 dup=32 dup2=33 dup3=292 select=23 pselect6=270
poll=7 ppoll=271 epoll_create=213 epoll_create1=291 epoll_ctl=233 epoll_wait=232 epoll_pwait=281
eventfd2=290 timerfd_create=283 timerfd_settime=286 timerfd_gettime=287 socketpair=53 recvfrom=45
sendto=44 shutdown=48 getsockopt=55 getsockname=51 getpeername=52 nanosleep=35 clock_nanosleep=230
clock_gettime=228 clock_getres=229 gettimeofday=96 time=201 times=100 getpid=39 gettid=186
getppid=110 getuid=102 geteuid=107 getgid=104 getegid=108 getgroups=115 getresuid=118 getresgid=120
getpgrp=111 getpgid=121 getsid=124 uname=63 sysinfo=99 getrusage=98 getrlimit=97 setrlimit=160
prlimit64=302 sched_yield=24 sched_getaffinity=204 sched_getparam=143 sched_getscheduler=145
sched_get_priority_max=146 sched_get_priority_min=147 getcpu=309 futex=202 set_robust_list=273
get_robust_list=274 set_tid_address=218 rseq=334 arch_prctl=158 membarrier=324 restart_syscall=219
exit=60 exit_group=231 wait4=61 waitid=247 getrandom=318 clone=56 clone3=435 execve=59 ioctl=16
fcntl=72 prctl=157 kill=62 tgkill=234 chmod=90 fchmod=91 fchmodat=268 utime=132 utimes=235
futimesat=261 utimensat=280 truncate=76 link=86 linkat=265 listxattr=194 llistxattr=195
flistxattr=196 getxattr=191 lgetxattr=192 fgetxattr=193
"""

_AARCH64 = """
read=63 readv=65 pread64=67 preadv=69 write=64 writev=66 pwrite64=68 pwritev=70 close=57
close_range=436 lseek=62 openat=56 fstat=80 newfstatat=79 statx=291 statfs=43 fstatfs=44
faccessat=48 faccessat2=439 getdents64=61 getcwd=17 chdir=49 fchdir=50 readlinkat=78 mkdirat=34
unlinkat=35 renameat=38 renameat2=276 symlinkat=36 ftruncate=46 fallocate=47 fsync=82 fdatasync=83
flock=32 copy_file_range=285 sendfile=71 fadvise64=223 umask=166 mmap=222 mprotect=226 munmap=215
mremap=216 brk=214 madvise=233 msync=227 mincore=232 rt_sigaction=134 rt_sigprocmask=135
rt_sigreturn=139 rt_sigpending=136 rt_sigtimedwait=137 rt_sigsuspend=133 sigaltstack=132
getitimer=102 setitimer=103 pipe2=59 dup=23 dup3=24 pselect6=72 ppoll=73 epoll_create1=20
epoll_ctl=21 epoll_pwait=22 eventfd2=19 timerfd_create=85 timerfd_settime=86 timerfd_gettime=87
socketpair=199 recvfrom=207 sendto=206 shutdown=210 getsockopt=209 getsockname=204 getpeername=205
nanosleep=101 clock_nanosleep=115 clock_gettime=113 clock_getres=114 gettimeofday=169 times=153
getpid=172 gettid=178 getppid=173 getuid=174 geteuid=175 getgid=176 getegid=177 getgroups=158
getresuid=148 getresgid=150 getpgid=155 getsid=156 uname=160 sysinfo=179 getrusage=165 getrlimit=163
setrlimit=164 prlimit64=261 sched_yield=124 sched_getaffinity=123 sched_getparam=121
sched_getscheduler=120 sched_get_priority_max=125 sched_get_priority_min=126 getcpu=168 futex=98
set_robust_list=99 get_robust_list=100 set_tid_address=96 rseq=293 membarrier=283
restart_syscall=128 exit=93 exit_group=94 wait4=260 waitid=95 getrandom=278 clone=220 clone3=435
execve=221 ioctl=29 fcntl=25 prctl=167 kill=129 tgkill=131 fchmod=52 fchmodat=53 utimensat=88
truncate=45 linkat=37 listxattr=11 llistxattr=12 flistxattr=13 getxattr=8 lgetxattr=9 fgetxattr=10
"""


def _table(text: str) -> dict[str, int]:
    """Name to number, from ``name=number`` words."""
    return {name: int(number) for name, _, number in (word.partition("=") for word in text.split())}


#: ``platform.machine()`` to the audit architecture in a filter's data and the call numbers.
MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, _table(_X86_64)),
    "aarch64": (0xC00000B7, _table(_AARCH64)),
}
