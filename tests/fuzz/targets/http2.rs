//! Whatever bytes a bank sends as its side of an HTTP/2 connection: an app gets field lines that are such, and no more
//! content than came.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // SETTINGS first, or hardly anything would get further.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let Some((size, data)) = data.split_first() else { return };
    let pieces = std::iter::once(&settings[..]).chain(data.chunks(usize::from(*size) + 1));
    let answers = bankside::upstream::fuzzing::http2_answers(pieces);
    let content: usize = answers.iter().map(|(_, content)| content.len()).sum();
    assert!(content <= data.len());
    for (name, value) in answers.iter().flat_map(|(sections, _)| sections).flat_map(|fields| fields.iter()) {
        assert!(!name.is_empty() && !name.iter().any(|byte| b":\r\n\0 \t".contains(byte) || byte.is_ascii_uppercase()));
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)));
    }
});
