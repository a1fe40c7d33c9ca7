/* Reading from and writing to a stream socket, with descriptors that come along; where there are none, it fails. */
#ifndef PARALLEL_DECO_STREAM_H
#define PARALLEL_DECO_STREAM_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* What a frame begins with: the size of its pickle, its kind, its large buffers, the sender's seconds. */
typedef struct {
    unsigned long long size;
    unsigned int kind;
    unsigned int count;
    double seconds;
} pd_head;

/* Descriptors that one read takes at most; the system ends a read behind the message that some came with. */
#define PD_RIGHTS 4

#if defined(_WIN32)

static ptrdiff_t pd_send(int descriptor, const pd_head *head, const void *body, size_t size, size_t sent) {
    (void)descriptor, (void)head, (void)body, (void)size, (void)sent;
    errno = ENOSYS;
    return -1;
}
static ptrdiff_t pd_receive(int descriptor, void *buffer, size_t size, int *rights, int *count) {
    (void)descriptor, (void)buffer, (void)size, (void)rights, (void)count;
    errno = ENOSYS;
    return -1;
}

#else

#include <sys/socket.h>
#include <sys/uio.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

/* Write what is left of a head and a body when so much of both was sent; return how much that was, or -1. */
static ptrdiff_t pd_send(int descriptor, const pd_head *head, const void *body, size_t size, size_t sent) {
    struct iovec parts[2];
    struct msghdr message;
    size_t behind = sent > sizeof *head ? sent - sizeof *head : 0;
    size_t before = sent - behind;
    memset(&message, 0, sizeof message);
    parts[0].iov_base = (char *)head + before;
    parts[0].iov_len = sizeof *head - before;
    parts[1].iov_base = (char *)body + behind;
    parts[1].iov_len = size - behind;
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    return sendmsg(descriptor, &message, MSG_NOSIGNAL);
}

/* Read what is there, up to a size, and the descriptors that come with it, -1 for those that were lost; return how
   much it is, 0 at the end, or -1. */
static ptrdiff_t pd_receive(int descriptor, void *buffer, size_t size, int *rights, int *count) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {buffer, size};
    struct msghdr message;
    struct cmsghdr *entry;
    ptrdiff_t got;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    *count = 0;
    got = recvmsg(descriptor, &message, MSG_CMSG_CLOEXEC);
    if (got < 0) return errno == ECONNRESET ? 0 : -1; /* the other end died with unread bytes of ours */
    for (entry = CMSG_FIRSTHDR(&message); entry != NULL; entry = CMSG_NXTHDR(&message, entry)) {
        size_t all = (entry->cmsg_len - CMSG_LEN(0)) / sizeof(int), at;
        if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
        for (at = 0; at < all && *count < PD_RIGHTS; at++)
            memcpy(&rights[(*count)++], CMSG_DATA(entry) + at * sizeof(int), sizeof(int));
    }
    if ((message.msg_flags & MSG_CTRUNC) && *count < PD_RIGHTS) rights[(*count)++] = -1;
    return got;
}

#endif

#endif
