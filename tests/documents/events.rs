//! The log's events, as the sources make them.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    /// What happened.
    pub(crate) message: String,
    /// The names of its fields.
    pub(crate) fields: Vec<String>,
}

/// The events that a source file makes with tracing's macros.
pub(crate) fn events(source: &str) -> Vec<Event> {
    let mut found = Vec::new();
    find(source.parse().expect("Rust"), &mut found);
    found
}

fn find(tokens: TokenStream, found: &mut Vec<Event>) {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let is_call = group.delimiter() == Delimiter::Parenthesis && index >= 2;
        if is_call && tokens[index - 1].to_string() == "!" && LEVELS.contains(&tokens[index - 2].to_string().as_str()) {
            found.push(event(group.stream()));
        } else {
            find(group.stream(), found);
        }
    }
}

/// `target: "…", name = value, %name, ?name, name, "message"`, of which the first and the last may be missing.
fn event(tokens: TokenStream) -> Event {
    let mut event = Event { message: String::new(), fields: Vec::new() };
    for argument in arguments(tokens) {
        let words: Vec<String> = argument.iter().map(ToString::to_string).collect();
        match argument.as_slice() {
            [TokenTree::Literal(text)] => text.to_string().trim_matches('"').clone_into(&mut event.message),
            [TokenTree::Ident(_), TokenTree::Punct(colon), ..] if colon.as_char() == ':' => {}
            [TokenTree::Punct(_), TokenTree::Ident(name), ..] | [TokenTree::Ident(name), ..] => {
                event.fields.push(name.to_string());
            }
            _ => panic!("an event that is not understood: {words:?}"),
        }
    }
    event
}

/// What stands between the commas.
fn arguments(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut arguments = vec![Vec::new()];
    for token in tokens {
        match &token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => arguments.push(Vec::new()),
            _ => arguments.last_mut().expect("there is one").push(token),
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    arguments
}
