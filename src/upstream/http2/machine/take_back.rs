//! Requests that are taken back before anything of them has left: whoever gives one up, or sends it elsewhere, must be
//! sure that it does not leave later.

use super::{FrameHead, Machine, kind, window};
use crate::message::http2::frame::FRAME_HEAD;

/// Its head says that we index nothing, which is true of those behind it too.
const FIRST: u32 = 1;

impl Machine {
    /// Takes a request back that TLS was given nothing of. Whether nothing of it has left, nor can any more.
    pub(in crate::upstream::http2) fn take_back(&mut self, id: u32) -> bool {
        let Some(stream) = self.streams.get(&id) else { return false };
        let Some(at) = stream.at else { return true };
        if at < self.out.left() {
            return false;
        }
        if self.end.is_some() {
            return true;
        }
        if id == FIRST {
            return false;
        }
        self.cut(at, |other| other == id);
        true
    }

    /// Takes those back that the bank will not process, as far as TLS was given nothing of them.
    pub(super) fn take_back_beyond(&mut self, last: u32) {
        let left = self.out.left();
        let unsent = self.streams.iter().filter_map(|(&id, stream)| Some((id, stream.at.filter(|at| *at >= left)?)));
        // Streams begin in the order of their numbers.
        if let Some((first, at)) = unsent.filter(|(id, _)| *id > last.max(FIRST)).min() {
            self.cut(at, |id| id >= first);
        }
    }

    /// Cuts frames of some streams out of what waits, from where the head of the first of them begins. A number that is
    /// left out is as good as a closed stream's (RFC 9113, section 5.1.1).
    fn cut(&mut self, at: u64, is_cut: impl Fn(u32) -> bool) {
        let mut content = 0;
        let (mut next, mut kept) = (self.out.index(at), self.out.index(at));
        while let Some(head) = self.out.bytes.get(next..).and_then(FrameHead::parse) {
            let end = next + FRAME_HEAD + head.length;
            let (from, to) = (self.out.position(next), self.out.position(kept));
            let begins = self.streams.get_mut(&head.stream).filter(|stream| stream.at == Some(from));
            if is_cut(head.stream) {
                content += if head.kind == kind::DATA { head.length } else { 0 };
                if let Some(stream) = begins {
                    (stream.at, stream.is_sent) = (None, true);
                }
            } else {
                if let Some(stream) = begins {
                    stream.at = Some(to);
                }
                self.out.bytes.copy_within(next..end, kept);
                kept += end - next;
            }
            next = end;
        }
        self.out.bytes.truncate(kept);
        self.send_window += window(content);
        self.wake_those_who_wait_for_room();
    }
}
