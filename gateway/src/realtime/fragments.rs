//! Puts fragmented messages together, bounded in bytes and in pieces.

use actix_http::ws::Item;
use bytes::{Bytes, BytesMut};
use domain::limits::{MAX_CLIENT_MESSAGE_BYTES, MAX_FRAGMENTS};

use crate::realtime::close::Ending;

/// A message that is arriving in pieces.
#[derive(Debug, Default)]
pub struct Fragments {
    parts: Option<(bool, BytesMut, usize)>,
}

impl Fragments {
    /// Takes a piece; gives the message when it is whole, and whether it is text.
    ///
    /// # Errors
    /// The close code that the client has earned.
    pub fn push(&mut self, item: Item) -> Result<Option<(bool, Bytes)>, Ending> {
        let (piece, last) = match item {
            Item::FirstText(piece) => return self.begin(true, piece),
            Item::FirstBinary(piece) => return self.begin(false, piece),
            Item::Continue(piece) => (piece, false),
            Item::Last(piece) => (piece, true),
        };
        let Some((text, whole, pieces)) = &mut self.parts else {
            return Err(Ending::policy(1002, "a continuation without a beginning"));
        };
        *pieces += 1;
        if whole.len() + piece.len() > MAX_CLIENT_MESSAGE_BYTES || *pieces > MAX_FRAGMENTS {
            return Err(Ending::policy(1009, "the message is too long or has too many fragments"));
        }
        whole.extend_from_slice(&piece);
        if !last {
            return Ok(None);
        }
        let done = (*text, std::mem::take(whole).freeze());
        self.parts = None;
        Ok(Some(done))
    }

    fn begin(&mut self, text: bool, piece: Bytes) -> Result<Option<(bool, Bytes)>, Ending> {
        if self.parts.is_some() {
            return Err(Ending::policy(1002, "a message inside a fragmented one"));
        }
        self.parts = Some((text, BytesMut::from(&piece[..]), 1));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_a_message_and_a_million_of_them_do_not() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.push(Item::FirstText(Bytes::from_static(b"a"))), Ok(None));
        assert_eq!(fragments.push(Item::Continue(Bytes::from_static(b"b"))), Ok(None));
        assert_eq!(fragments.push(Item::Last(Bytes::from_static(b"c"))), Ok(Some((true, Bytes::from_static(b"abc")))));
        assert_eq!(fragments.push(Item::Last(Bytes::new())).unwrap_err().code, 1002);
        fragments.push(Item::FirstBinary(Bytes::new())).unwrap();
        let refused = (0..=MAX_FRAGMENTS).find_map(|_| fragments.push(Item::Continue(Bytes::new())).err());
        assert_eq!(refused.unwrap().code, 1009);
    }
}
