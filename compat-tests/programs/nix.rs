//! Debian's Rust crate nix, which knows nothing of mqx: sends, receives in the order of priorities,
//! is told that a queue is empty and that there is none.  Leaves one message behind.  Its argument
//! is the queue's name.

use nix::errno::Errno;
use nix::mqueue::*;
use nix::sys::stat::Mode;
use std::ffi::CString;

fn main() {
    let name = CString::new(std::env::args().nth(1).expect("a name")).unwrap();
    let attr = MqAttr::new(0, 5, 32, 0);
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR;
    let mut text = [0u8; 32];
    let mut prio = 0;

    assert_eq!(mq_open(&name, MQ_OFlag::O_RDWR, Mode::empty(), None).unwrap_err(), Errno::ENOENT);
    let q = mq_open(&name, flags, Mode::S_IRWXU, Some(&attr)).unwrap();
    assert_eq!(mq_getattr(&q).unwrap().maxmsg(), 5);

    mq_send(&q, b"low", 1).unwrap();
    mq_send(&q, b"high", 9).unwrap();
    let n = mq_receive(&q, &mut text, &mut prio).unwrap();
    assert_eq!((&text[..n], prio), (&b"high"[..], 9));
    let n = mq_receive(&q, &mut text, &mut prio).unwrap();
    assert_eq!((&text[..n], prio), (&b"low"[..], 1));

    mq_set_nonblock(&q).unwrap();
    assert_eq!(mq_receive(&q, &mut text, &mut prio).unwrap_err(), Errno::EAGAIN);
    mq_remove_nonblock(&q).unwrap();
    assert_eq!(mq_getattr(&q).unwrap().flags(), 0);

    mq_send(&q, b"from Rust", 3).unwrap();
    mq_close(q).unwrap();
}
