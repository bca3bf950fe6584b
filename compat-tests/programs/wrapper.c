/*
 * What faked-root environments do, preloaded beside mqx: stands before calls on
 * files, and tells of each in a message that is sent from inside the wrapper.
 * mqx must not make these calls itself: one that a message makes would want a
 * message again, without end.
 *
 * No headers that declare what is wrapped: one shape fits all of them on 64-bit
 * machines, where arguments are passed in registers.
 */
typedef unsigned long size_t;

void *dlsym(void *handle, const char *name);
int dprintf(int fd, const char *format, ...);
_Noreturn void abort(void);
size_t strlen(const char *text);
int mq_open(const char *name, int flags, ...);
int mq_send(int queue, const char *text, size_t size, unsigned prio);

/* Those that came by, for the program to look at. */
int wrapped_calls;
const char *wrapped_last = "";

static void tell(const char *call)
{
    static __thread int telling;
    static int queue = -1;

    wrapped_calls++;
    wrapped_last = call;
    if (telling) {
        dprintf(2, "wrapper: %s is called to tell of another call\n", call);
        abort();
    }
    telling = 1;
    if (queue < 0)
        queue = mq_open("/wrapped", 0102 | 04000, 0600, (void *)0); /* O_CREAT|O_RDWR|O_NONBLOCK */
    if (queue >= 0)
        mq_send(queue, call, strlen(call), 0);
    telling = 0;
}

#define WRAP(name)                                                                                 \
    long name(long a, long b, long c, long d, long e, long f);                                     \
    long name(long a, long b, long c, long d, long e, long f)                                      \
    {                                                                                              \
        static long (*next)(long, long, long, long, long, long);                                   \
                                                                                                   \
        if (!next)                                                                                 \
            *(void **)&next = dlsym((void *)-1l, #name); /* RTLD_NEXT */                           \
        tell(#name);                                                                               \
        return next(a, b, c, d, e, f);                                                             \
    }

WRAP(open)
WRAP(open64)
WRAP(openat)
WRAP(openat64)
WRAP(close)
WRAP(fopen)
WRAP(fopen64)
WRAP(opendir)
WRAP(stat)
WRAP(stat64)
WRAP(lstat)
WRAP(lstat64)
WRAP(fstat)
WRAP(fstat64)
WRAP(fstatat)
WRAP(fstatat64)
WRAP(statx)
WRAP(chown)
WRAP(fchown)
WRAP(fchownat)
WRAP(chmod)
WRAP(fchmod)
WRAP(fchmodat)
WRAP(mkdir)
WRAP(mkfifo)
WRAP(mknod)
WRAP(mknodat)
WRAP(link)
WRAP(linkat)
WRAP(rename)
WRAP(renameat)
WRAP(unlink)
WRAP(unlinkat)
WRAP(access)
WRAP(readlink)
WRAP(ftruncate)
WRAP(fcntl)
WRAP(dup)
WRAP(read)
WRAP(write)
WRAP(poll)
WRAP(ioctl)
WRAP(getuid)
WRAP(geteuid)
WRAP(getpid)
WRAP(kill)
