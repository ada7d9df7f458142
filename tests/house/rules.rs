//! The laws of the house, as functions of source text.

use proc_macro2::{TokenStream, TokenTree};

/// A source file: its path below `src/`, and what is in it.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Rooms by floor. A file may use strictly lower floors and its own room.
const FLOORS: [&[&str]; 10] = [
    &["words"],
    &["config", "certificate", "message"],
    &["telemetry"],
    &["store", "upstream", "inbound"],
    &["oauth"],
    &["proxy"],
    &["admin", "sandbox"],
    &["app"],
    &["cli"],
    &["main"],
];

/// Banks are data: their names stand in profiles, and in the simulator.
const BANKS: [&str; 2] = ["icard", "cnb"];

/// The simulator, and the command that starts it, whose flags name its banks.
fn is_simulator(name: &str) -> bool {
    room(name) == "sandbox" || name == "cli/sandbox.rs"
}

/// Everything in these files that breaks a law of the house, a line each.
pub(crate) fn violations(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(|source| [opening_words(source), bank_names(source), floors(source)].concat()).collect()
}

/// Sleeps of a test beside the words for waiting and for time that passes. A benchmark measures, and may rest.
pub(crate) fn sleeps(source: &Source) -> Vec<String> {
    if source.name == "support/wait.rs" || source.name.starts_with("bench/") {
        return Vec::new();
    }
    let Ok(tokens) = source.text.parse::<TokenStream>() else {
        return vec![format!("{}: is not Rust", source.name)];
    };
    if has_word(tokens, &["sleep", "sleep_until"]) {
        vec![format!("{}: sleeps, and not by support/wait.rs", source.name)]
    } else {
        Vec::new()
    }
}

fn has_word(tokens: TokenStream, words: &[&str]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => has_word(group.stream(), words),
        TokenTree::Ident(word) => words.iter().any(|wanted| word == wanted),
        _ => false,
    })
}

fn opening_words(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty());
    if says_something {
        Vec::new()
    } else {
        vec![format!("{}: does not open with `//!` and what lives here", source.name)]
    }
}

fn bank_names(source: &Source) -> Vec<String> {
    if is_simulator(&source.name) {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let named = lines.filter(|(_, line)| BANKS.iter().any(|bank| line.to_lowercase().contains(bank)));
    named.map(|(index, _)| format!("{}:{}: names a bank", source.name, index + 1)).collect()
}

fn floors(source: &Source) -> Vec<String> {
    let own = room(&source.name);
    // The crate's front door lists all rooms.
    if own == "lib" {
        return Vec::new();
    }
    let Some(own_floor) = floor(own) else {
        return vec![format!("{}: the room {own} stands on no floor", source.name)];
    };
    let Ok(tokens) = source.text.parse::<TokenStream>() else {
        return vec![format!("{}: is not Rust", source.name)];
    };
    let mut used = Vec::new();
    collect_used(tokens, depth(&source.name), &mut used);
    used.iter()
        .filter(|room| *room != own)
        .filter(|room| floor(room).is_none_or(|floor| floor >= own_floor))
        .map(|room| format!("{}: uses {room}, which is not below {own}", source.name))
        .collect()
}

fn room(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap_or_default()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// How many `super::` lead from a file to the crate's root.
fn depth(name: &str) -> usize {
    name.matches('/').count() + 1
}

/// The rooms that a file uses: what follows `crate::`, `bankside::`, or `super::` up to the root.
fn collect_used(tokens: TokenStream, depth: usize, used: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut supers = 0;
    let mut is_module = false;
    while let Some(token) = tokens.next() {
        match token {
            // The root is one `super::` further from within a module of the file.
            TokenTree::Group(group) => {
                collect_used(group.stream(), depth + usize::from(is_module), used);
                is_module = false;
            }
            TokenTree::Ident(word) => {
                is_module = word == "mod" || (is_module && word != "super");
                supers = if word == "super" { supers + 1 } else { 0 };
                let is_root = word == "crate" || word == "bankside" || supers == depth;
                let at_visibility = word == "crate" && tokens.peek().is_none();
                if is_root && !at_visibility {
                    supers = 0;
                    collect_first_segments(&mut tokens, used);
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => {}
            _ => (supers, is_module) = (0, false),
        }
    }
}

/// The names right behind the root: one, or those at the top of a group.
fn collect_first_segments(tokens: &mut impl Iterator<Item = TokenTree>, used: &mut Vec<String>) {
    let mut tokens = tokens.skip_while(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':'));
    match tokens.next() {
        Some(TokenTree::Ident(room)) => used.push(room.to_string()),
        Some(TokenTree::Group(group)) => {
            let mut starts = true;
            for token in group.stream() {
                match token {
                    TokenTree::Ident(room) if starts => {
                        used.push(room.to_string());
                        starts = false;
                    }
                    TokenTree::Punct(mark) => starts = mark.as_char() == ',',
                    _ => starts = false,
                }
            }
        }
        // A glob or a rename of the root could bring in anything.
        Some(TokenTree::Punct(mark)) => used.push(mark.to_string()),
        _ => {}
    }
}
