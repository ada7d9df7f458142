//! How a bank reads requests here: so strictly that two readers cannot differ. It shares no code with the sidecar.

/// A request as a bank saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The request line.
    pub line: String,
    /// Names and values in order; a byte of them is a `char` of the same number.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
    /// The trailer section.
    pub trailers: Vec<(String, String)>,
}

impl Seen {
    /// The value of the first field of that name, in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The request target.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// All requests in these bytes, and what is left behind the last.
pub fn requests(mut bytes: &[u8]) -> Result<(Vec<Seen>, &[u8]), String> {
    let mut all = Vec::new();
    while let Some((seen, length)) = take_request(bytes)? {
        all.push(seen);
        bytes = &bytes[length..];
    }
    Ok((all, bytes))
}

/// The first request in these bytes and how long it is; `None` if there is more to come. What is ambiguous is an error.
pub fn take_request(bytes: &[u8]) -> Result<Option<(Seen, usize)>, String> {
    let Some(head_end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let mut lines = split_lines(&bytes[..head_end])?.into_iter();
    let line = lines.next().unwrap_or_default();
    if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") {
        return Err(format!("not a request line: {line:?}"));
    }
    let fields = lines.map(|line| field(&line)).collect::<Result<Vec<_>, _>>()?;
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    };
    if all("host").len() != 1 {
        return Err(format!("not one Host: {fields:?}"));
    }
    let start = head_end + 4;
    let (body, trailers, length) = match (all("content-length")[..].to_vec(), all("transfer-encoding")[..].to_vec()) {
        (lengths, codings) if lengths.is_empty() && codings.is_empty() => (Vec::new(), Vec::new(), start),
        (lengths, codings) if lengths.len() == 1 && codings.is_empty() => {
            let length = lengths[0];
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("not a length: {length:?}"));
            }
            let length: usize = length.parse().map_err(|_| "too long".to_owned())?;
            // The longest length that there is goes beyond any end: the rest of such a request never comes.
            let end = start.saturating_add(length);
            let Some(body) = bytes.get(start..end) else { return Ok(None) };
            (body.to_vec(), Vec::new(), end)
        }
        (lengths, codings) if lengths.is_empty() && codings == ["chunked"] => match chunks(&bytes[start..])? {
            Some((body, trailers, length)) => (body, trailers, start + length),
            None => return Ok(None),
        },
        (lengths, codings) => return Err(format!("ambiguous framing: {lengths:?} {codings:?}")),
    };
    Ok(Some((Seen { line, fields, body, trailers }, length)))
}

/// Content, trailers, and how many bytes they took.
type Chunked = (Vec<u8>, Vec<(String, String)>, usize);

fn chunks(bytes: &[u8]) -> Result<Option<Chunked>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let size = text(&bytes[at..at + end]);
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("not a chunk's size: {size:?}"));
        }
        let size = usize::from_str_radix(&size, 16).map_err(|error| error.to_string())?;
        at += end + 2;
        if size == 0 {
            break;
        }
        let end = at.saturating_add(size).saturating_add(2);
        let Some(chunk) = bytes.get(at..end) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk does not end".to_owned());
        }
        body.extend_from_slice(&chunk[..size]);
        at = end;
    }
    if bytes[at..].starts_with(b"\r\n") {
        return Ok(Some((body, Vec::new(), at + 2)));
    }
    let Some(end) = find(&bytes[at..], b"\r\n\r\n") else { return Ok(None) };
    let trailers = split_lines(&bytes[at..at + end])?.iter().map(|line| field(line)).collect::<Result<_, _>>()?;
    Ok(Some((body, trailers, at + end + 4)))
}

fn split_lines(section: &[u8]) -> Result<Vec<String>, String> {
    let section = text(section);
    let lines: Vec<String> = section.split("\r\n").map(str::to_owned).collect();
    match lines.iter().find(|line| line.contains(['\r', '\n', '\0'])) {
        Some(line) => Err(format!("a bare control character: {line:?}")),
        None => Ok(lines),
    }
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon: {line:?}"))?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("not a name: {name:?}"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// Each byte as the `char` of the same number.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
