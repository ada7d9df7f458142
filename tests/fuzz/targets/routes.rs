//! Whatever path an app finds: if the routes let it through, no server that reads it as carelessly as servers do takes it
//! for one that is denied, nor for one that only another rule allows.
#![no_main]

use std::sync::LazyLock;

use bankside::config::Config;
use bankside::proxy::Routes;
use bankside::proxy::door::passes;
use http::Method;
use libfuzzer_sys::fuzz_target;

fn routes(routes: &str) -> Routes {
    let text = format!(
        "[admin]\nlisten = \"off\"\n[store]\nurl = \"sqlite:x.db\"\nkey = {{ file = \"x.key\" }}\n[banks.examplebank]\n\
         listen = \"127.0.0.1:1\"\nbase_url = \"https://bank.example\"\ngrant_type = \"fixed\"\n\
         token = {{ value = \"token\" }}\n[banks.examplebank.tls]\nclient_certificate = false\n{routes}"
    );
    let config = Config::parse(&text, "x.toml".as_ref(), "/nowhere".as_ref(), &|_: &str| None).expect("valid");
    Routes::new(config.banks[0].clone())
}

static DENYING: LazyLock<Routes> = LazyLock::new(|| {
    routes("[[banks.examplebank.routes]]\npath = \"/v1/pay/**\"\ndeny = true\n[[banks.examplebank.routes]]\npath = \"/**\"\n")
});
static ALLOWING: LazyLock<Routes> = LazyLock::new(|| routes("[[banks.examplebank.routes]]\npath = \"/v1/pay/**\"\n"));

/// What careless servers make of a path: decoded as often as there is something, look-alikes taken for what they look
/// like, backslashes turned, parameters cut, dots resolved, empty segments dropped, in small letters.
fn carelessly(path: &[u8]) -> String {
    let mut bytes = path.to_vec();
    loop {
        let decoded = with_plain_characters(decode(&bytes));
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/").to_uppercase().to_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment.split([';', '\0', '#', '?']).next().unwrap_or_default().trim_end_matches([' ', '.']) {
            "" if segment.starts_with("..") && segment.trim_end_matches([' ', '.']).is_empty() => {
                segments.pop();
            }
            "" => {}
            segment => segments.push(segment),
        }
    }
    format!("/{}/", segments.join("/"))
}

fn with_plain_characters(bytes: Vec<u8>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&bytes) else { return bytes };
    let plain = |char: char| match char {
        // The full-width forms stand in the order of ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(char) - 0xff00 + 0x20),
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => Some('/'),
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' => Some('\\'),
        '\u{2024}' | '\u{fe52}' => Some('.'),
        '\u{fe6a}' => Some('%'),
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => None,
        char => Some(char),
    };
    text.chars().filter_map(plain).collect::<String>().into_bytes()
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let path = data.split(|byte| *byte == b'?').next().unwrap_or_default();
    let careless = carelessly(path);
    if passes(&DENYING, &Method::GET, data) {
        // `/v1/pay` itself is not below `/v1/pay/`, and a careless reading adds no slash.
        let is_denied = careless.starts_with("/v1/pay/") && careless != "/v1/pay/";
        assert!(!is_denied, "{:?} {careless}", String::from_utf8_lossy(data));
    }
    if passes(&ALLOWING, &Method::GET, data) {
        assert!(careless.starts_with("/v1/pay/"), "{:?} {careless}", String::from_utf8_lossy(data));
    }
});
