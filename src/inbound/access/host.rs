//! The value of a `Host` field, or an authority (RFC 9110, section 7.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host with perhaps a port. Hosts are compared without case, and without the dot that ends a full name.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    name: Name<'a>,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
enum Name<'a> {
    Registered(&'a [u8]),
    Address(IpAddr),
}

impl<'a> Host<'a> {
    /// Reads `uri-host [ ":" port ]`; `None` where it is malformed or empty. User information is malformed here.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        if let Some(rest) = value.strip_prefix(b"[") {
            let end = rest.iter().position(|byte| *byte == b']')?;
            let address: Ipv6Addr = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
            return Some(Self { name: Name::Address(address.into()), port: port(&rest[end + 1..])? });
        }
        let end = value.iter().position(|byte| *byte == b':').unwrap_or(value.len());
        let (name, port) = (&value[..end], port(&value[end..])?);
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() || !name.iter().all(|byte| is_of_name(*byte)) {
            return None;
        }
        let address = std::str::from_utf8(name).ok().and_then(|name| name.parse::<Ipv4Addr>().ok());
        let name = address.map_or(Name::Registered(name), |address| Name::Address(address.into()));
        Some(Self { name, port })
    }

    /// `localhost`, or an address that never leaves the machine (RFC 6761, section 6.3; RFC 1122, section 3.2.1.3).
    pub fn is_loopback(&self) -> bool {
        match self.name {
            Name::Registered(name) => name.eq_ignore_ascii_case(b"localhost"),
            Name::Address(address) => address.to_canonical().is_loopback(),
        }
    }

    /// Whether it is this address.
    pub fn is_address(&self, other: IpAddr) -> bool {
        matches!(self.name, Name::Address(address) if address.to_canonical() == other.to_canonical())
    }

    /// Whether it is an address and no name: what a web page cannot lead elsewhere.
    pub fn is_any_address(&self) -> bool {
        matches!(self.name, Name::Address(_))
    }

    /// Whether the hosts are the same, whatever the ports.
    pub fn same_name(&self, other: &Host<'_>) -> bool {
        match (self.name, other.name) {
            (Name::Registered(one), Name::Registered(two)) => one.eq_ignore_ascii_case(two),
            (Name::Address(one), Name::Address(two)) => one == two,
            _ => false,
        }
    }
}

/// Letters, digits and marks (RFC 3986, section 3.2.2).
fn is_of_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'
        | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

/// With the port, for which 80 need not be written.
impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.same_name(other) && self.port.unwrap_or(80) == other.port.unwrap_or(80)
    }
}

/// `[ ":" [ port ] ]`: the inner option is the port.
#[expect(clippy::option_option, reason = "malformed, absent and present are three things")]
fn port(rest: &[u8]) -> Option<Option<u16>> {
    let Some(digits) = rest.strip_prefix(b":") else { return rest.is_empty().then_some(None) };
    if digits.is_empty() {
        return Some(None);
    }
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().map(Some)
}
