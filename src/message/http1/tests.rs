//! What the tests of heads and of bodies share.

mod bodies;
mod heads;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::message::Fields;

fn request(bytes: &[u8]) -> Result<Option<RequestHead>, ParseError> {
    parse_request_head(&mut BytesMut::from(bytes), &mut HeadScan::default(), &HeadLimits::default())
}

fn response(bytes: &[u8]) -> Result<Option<ResponseHead>, ParseError> {
    parse_response_head(&mut BytesMut::from(bytes), &mut HeadScan::default(), &HeadLimits::default())
}

fn lines(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// `bytes` cut at these places (taken modulo its length).
fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| &bytes[start..end]).collect()
}

fn a_field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let value = proptest::collection::vec(prop_oneof![0x21_u8..=0x7e, 0x80_u8..=0xff], 0..20);
    ("[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", value).prop_filter("has meaning", |(name, _)| {
        !["host", "content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
            && !is_forbidden_trailer(name.as_bytes())
    })
}
